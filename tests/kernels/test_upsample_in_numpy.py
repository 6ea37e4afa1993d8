"""NumPy against the compiled kernel: the same class maps, bit for bit, and the same refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fassd.core.errors import UsageError
from fassd.kernels import upsample_in_numpy as module
from fassd.kernels.upsample_argmax import upsample_argmax
from fassd.kernels.upsample_in_numpy import Layout, upsample_argmax_in_numpy


@settings(max_examples=200, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), at_once=st.integers(1, 500))
def test_equals_the_kernel(data: st.DataObject, seed: int, at_once: int) -> None:
    side, pixels, count = st.integers(1, 9), st.integers(1, 60), data.draw(st.integers(1, 12))
    rng = np.random.default_rng(seed)
    shape = (data.draw(st.integers(1, 3)), count, data.draw(side), data.draw(side))
    logits = (rng.standard_normal(shape) * 10.0 ** data.draw(st.integers(-20, 20))).astype(np.float32)
    if data.draw(st.booleans()):  # ties
        logits = rng.integers(-2, 3, shape).astype(np.float32)
    if data.draw(st.booleans()):  # large regions of one class
        logits += rng.standard_normal((*shape[:2], 1, 1)).astype(np.float32) * 4
    layout: Layout = data.draw(st.sampled_from(["nchw", "nhwc"]))
    if layout == "nhwc":
        logits = np.ascontiguousarray(np.moveaxis(logits, 1, 3))
    classes = data.draw(st.none() | st.lists(st.integers(0, count - 1), min_size=1, max_size=5))
    size = data.draw(pixels), data.draw(pixels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIXELS_AT_ONCE", at_once)
        found = upsample_argmax_in_numpy(logits, size, layout=layout, classes=classes)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, upsample_argmax(logits, size, layout=layout, classes=classes))


def test_equals_the_kernel_at_the_size_of_a_photo() -> None:
    rng = np.random.default_rng(0)
    coarse = rng.standard_normal((1, 19, 12, 20)).repeat(8, 2).repeat(8, 3)
    logits = (coarse + rng.standard_normal(coarse.shape) * 0.3).astype(np.float32)
    np.testing.assert_array_equal(upsample_argmax_in_numpy(logits, (721, 1283)), upsample_argmax(logits, (721, 1283)))


@pytest.mark.parametrize("classes", [[], [0, 4], [-1], ["road"]])
def test_refuses_classes_as_the_kernel_does(classes: list[Any]) -> None:
    logits = np.zeros((1, 4, 5, 6), np.float32)
    refusals = []
    for one in (upsample_argmax, upsample_argmax_in_numpy):
        with pytest.raises(UsageError) as refused:
            one(logits, (50, 60), classes=classes)
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_logits_that_are_no_numbers_as_the_kernel_does(value: float, layout: Layout) -> None:
    logits = np.zeros((2, 4, 5, 6), np.float32)
    logits[1, 2, 3, 4] = value
    refusals = []
    for one in (upsample_argmax, upsample_argmax_in_numpy):
        with pytest.raises(UsageError, match="expected finite numbers") as refused:
            one(logits, (50, 60), layout=layout)
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]
