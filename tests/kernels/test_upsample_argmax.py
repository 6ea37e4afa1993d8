"""The fused kernel against three oracles: exact whole numbers, float64 in NumPy, float64 in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from fassd.core.errors import UsageError
from fassd.kernels import upsample_argmax as module
from fassd.kernels.upsample_argmax import upsample_argmax, upsample_confidence
from fassd.kernels.upsample_in_numpy import Layout

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True, scope="module")
def _threads_for_small_maps() -> Iterator[None]:
    """Small answers are shared out too, as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIXELS_PER_THREAD", 1)
        yield


def _weights(places: int, pixels: int) -> Array:
    """(pixels, places) whole numbers: how much each coarse place counts, times `pixels - 1`."""
    weights = np.zeros((pixels, places), np.int64)
    for pixel in range(pixels):
        cell, far = divmod(pixel * (places - 1), max(pixels - 1, 1))
        weights[pixel, cell] = max(pixels - 1, 1) - far
        if far:
            weights[pixel, cell + 1] = far
    return weights


def _enlarged(logits: Array, size: tuple[int, int]) -> Array:
    """(N, C, H, W): the enlarged logits times a positive number; exact for whole numbers."""
    down, right = _weights(logits.shape[2], size[0]), _weights(logits.shape[3], size[1])
    large: Array = np.einsum("nchw,yh,xw->ncyx", logits, down, right)
    return large


@st.composite
def _cases(draw: st.DrawFn) -> dict[str, Any]:
    """Shapes, sizes, layouts, allowed classes, threads; also smaller answers than the logits."""
    side, pixels = st.integers(1, 9), st.integers(1, 60)
    classes = draw(st.integers(1, 12))
    return {
        "shape": (draw(st.integers(1, 3)), classes, draw(side), draw(side)),
        "size": (draw(pixels), draw(pixels)),
        "layout": draw(st.sampled_from(["nchw", "nhwc"])),
        "classes": draw(st.none() | st.lists(st.integers(0, classes - 1), min_size=1, max_size=5)),
        "threads": draw(st.none() | st.integers(1, 5)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def _turned(logits: Array, layout: Layout) -> Array:
    return logits if layout == "nchw" else np.ascontiguousarray(np.moveaxis(logits, 1, 3))


def _best(large: Array, classes: list[int] | None) -> Array:
    allowed = np.arange(large.shape[1]) if classes is None else np.unique(classes)
    best: Array = allowed[large[:, allowed].argmax(1)]
    return best


@settings(max_examples=150, deadline=None)
@given(case=_cases(), values=st.integers(1, 50))
def test_small_whole_numbers_are_predicted_exactly_ties_included(case: dict[str, Any], values: int) -> None:
    whole = np.random.default_rng(case["seed"]).integers(-values, values + 1, case["shape"])
    given_ = _turned(whole.astype(np.float32), case["layout"])
    found = upsample_argmax(
        given_, case["size"], layout=case["layout"], classes=case["classes"], threads=case["threads"]
    )
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, _best(_enlarged(whole, case["size"]), case["classes"]))


@settings(max_examples=100, deadline=None)
@given(case=_cases(), power=st.floats(-20, 20), smooth=st.booleans())
def test_equals_float64_wherever_the_best_two_differ(case: dict[str, Any], power: float, smooth: bool) -> None:
    rng = np.random.default_rng(case["seed"])
    logits = (rng.standard_normal(case["shape"]) * 10**power).astype(np.float32)
    if smooth:  # large settled regions
        logits += (rng.standard_normal((*case["shape"][:2], 1, 1)) * 10**power).astype(np.float32)
    found = upsample_argmax(
        _turned(logits, case["layout"]), case["size"], layout=case["layout"], classes=case["classes"]
    )
    large = _enlarged(logits.astype(np.float64), case["size"])
    scale = (case["size"][0] or 1) * (case["size"][1] or 1)
    chosen = np.take_along_axis(large, found[:, None].astype(np.int64), 1)[:, 0]
    allowed = np.arange(large.shape[1]) if case["classes"] is None else np.unique(case["classes"])
    assert np.isin(found, allowed).all()
    lost = large[:, allowed].max(1) - chosen
    assert lost.max() <= 1e-14 * scale * np.abs(logits).max()


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((1, 19, 45, 60), (360, 480)),
        ((2, 11, 23, 40), (181, 319)),
        ((1, 256, 7, 9), (50, 67)),
        ((1, 5, 40, 50), (13, 17)),
        ((1, 3, 1, 30), (64, 64)),
        ((1, 3, 30, 1), (64, 64)),
        ((1, 1, 8, 8), (64, 64)),
    ],
)
def test_equals_pytorch_in_float64(shape: tuple[int, ...], size: tuple[int, int], layout: Layout) -> None:
    logits = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    large = F.interpolate(torch.from_numpy(logits).double(), size, mode="bilinear", align_corners=True)
    found = upsample_argmax(_turned(logits, layout), size, layout=layout)
    np.testing.assert_array_equal(found, large.argmax(1).numpy())


def test_settled_cells_are_filled_and_the_lowest_of_equal_classes_wins() -> None:
    logits = np.zeros((1, 4, 6, 6), np.float32)
    logits[:, 1:3, :, :3] = 1
    logits[:, 3, :, 3:] = 1
    found = upsample_argmax(logits, (6, 11))
    assert np.unique(found, axis=1).tolist() == [[[1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3]]]


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_narrow_types_give_the_class_maps_of_their_float32_values(layout: Layout) -> None:
    logits = np.random.default_rng(2).standard_normal((2, 7, 9, 8)).astype(np.float32)
    for narrow in (np.float16, ml_dtypes.bfloat16):
        rounded = _turned(logits, layout).astype(narrow)
        expected = upsample_argmax(rounded.astype(np.float32), (50, 61), layout=layout)
        np.testing.assert_array_equal(upsample_argmax(rounded, (50, 61), layout=layout), expected)
    bits = rounded.view(np.uint16)
    np.testing.assert_array_equal(upsample_argmax(bits, (50, 61), layout=layout, bfloat16_bits=True), expected)


def test_logits_are_read_however_they_lie_in_memory() -> None:
    logits = np.random.default_rng(3).standard_normal((2, 5, 6, 7)).astype(np.float32)
    expected = upsample_argmax(logits, (40, 41))
    last = np.ascontiguousarray(logits.transpose(0, 2, 3, 1))
    every_second = np.repeat(logits, 2, axis=3)[..., ::2]
    off_by_one = np.frombuffer(b"\0" + logits.tobytes(), np.uint8)[1:].view(np.float32).reshape(logits.shape)
    assert not off_by_one.flags.aligned
    read_only = logits.copy()
    read_only.flags.writeable = False
    for given_ in (last.transpose(0, 3, 1, 2), every_second, off_by_one, read_only):
        np.testing.assert_array_equal(upsample_argmax(given_, (40, 41)), expected)
    np.testing.assert_array_equal(upsample_argmax(logits.transpose(0, 2, 3, 1), (40, 41), layout="nhwc"), expected)


def test_the_class_map_does_not_depend_on_the_number_of_threads() -> None:
    logits = np.random.default_rng(4).standard_normal((3, 6, 17, 13)).astype(np.float32)
    expected = upsample_argmax(logits, (70, 90), threads=1)
    for threads in (2, 3, 7, 64, None):
        np.testing.assert_array_equal(upsample_argmax(logits, (70, 90), threads=threads), expected)


def test_several_threads_may_call_at_once() -> None:
    rng = np.random.default_rng(5)
    many = [rng.standard_normal((1, 8, 12, 16)).astype(np.float32) for _ in range(24)]
    expected = [upsample_argmax(logits, (96, 128), threads=1) for logits in many]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda logits: upsample_argmax(logits, (96, 128)), many))
    np.testing.assert_array_equal(found, expected)


def test_out_is_filled_and_returned() -> None:
    logits = np.random.default_rng(6).standard_normal((1, 4, 5, 5)).astype(np.float32)
    out = np.full((1, 30, 20), 99, np.uint8)
    assert upsample_argmax(logits, (30, 20), out=out) is out
    np.testing.assert_array_equal(out, upsample_argmax(logits, (30, 20)))


_LOGITS = np.zeros((1, 3, 4, 4), np.float32)
_READ_ONLY = np.zeros((1, 8, 8), np.uint8)
_READ_ONLY.flags.writeable = False


@pytest.mark.parametrize(
    ("logits", "size", "options", "said"),
    [
        (_LOGITS.astype(np.float64), (8, 8), {}, "logits are float64; expected float32 or float16 or bfloat16"),
        (_LOGITS.tolist(), (8, 8), {}, r"logits are of type list; expected a NumPy array \(n, c, h, w\) of float32 or"),
        (None, (8, 8), {}, "logits are of type NoneType"),
        (torch.zeros(1, 3, 4, 4), (8, 8), {"layout": "nhwc"}, r"logits are of type Tensor; .* \(n, h, w, c\)"),
        (_LOGITS.astype(np.int64), (8, 8), {}, "logits are int64; expected float32"),
        (_LOGITS.astype(object), (8, 8), {}, "logits are object"),
        (_LOGITS.astype(bool), (8, 8), {}, "logits are bool"),
        (_LOGITS.astype(np.complex64), (8, 8), {}, "logits are complex64"),
        (_LOGITS.astype("U4"), (8, 8), {}, "logits are <U4"),
        (_LOGITS, (8.5, 8), {}, r"size is \(8\.5, 8\); expected \(height, width\) as integers"),
        (_LOGITS, (8, 8, 3), {}, r"expected \(height, width\)"),
        (_LOGITS, 8, {}, r"size is 8; expected \(height, width\)"),
        (_LOGITS, (8, 8), {"classes": [0.5]}, r"classes is \[0\.5\]; expected class numbers"),
        (_LOGITS, (8, 8), {"classes": 3}, "classes is 3; expected class numbers"),
        (_LOGITS, (8, 8), {"out": [[[0]]]}, "out is of type list"),
        (_LOGITS.astype(">f4"), (8, 8), {}, "logits are >f4"),
        (_LOGITS.astype(np.uint16), (8, 8), {}, "logits are uint16; expected"),
        (_LOGITS, (8, 8), {"bfloat16_bits": True}, "logits are float32; expected uint16"),
        (_LOGITS[0], (8, 8), {}, r"logits are \(3, 4, 4\); expected \(n, c, h, w\)"),
        (_LOGITS[:0], (8, 8), {}, "each at least 1"),
        (np.zeros((1, 257, 2, 2), np.float32), (8, 8), {}, "c at most 256"),
        (_LOGITS, (8, 8), {"layout": "chwn"}, "no layout 'chwn'"),
        (_LOGITS, (0, 8), {}, "size is 0x8; expected at least 1x1"),
        (_LOGITS, (8, 8), {"classes": []}, r"classes is \[\], but the classes are 0 to 2"),
        (_LOGITS, (8, 8), {"classes": [1, 3]}, r"classes is \[1, 3\]"),
        (_LOGITS, (8, 8), {"classes": [-1]}, r"classes is \[-1\]"),
        (_LOGITS, (8, 8), {"threads": 0}, "threads is 0"),
        (_LOGITS, (8, 8), {"out": np.zeros((1, 8, 9), np.uint8)}, "out is uint8"),
        (_LOGITS, (8, 8), {"out": np.zeros((1, 8, 8), np.int8)}, "out is int8"),
        (_LOGITS, (8, 8), {"out": np.zeros((1, 8, 16), np.uint8)[..., ::2]}, "out is uint8"),
        (_LOGITS, (8, 8), {"out": _READ_ONLY}, "writable"),
    ],
)
def test_what_cannot_be_is_refused(logits: Any, size: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        upsample_argmax(logits, size, **options)


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("size", [(40, 40), (3, 3)])
def test_what_is_not_finite_is_refused_with_its_place(layout: Layout, value: float, size: tuple[int, int]) -> None:
    logits = np.zeros((2, 5, 6, 7), np.float32)
    logits[1, 2, 5, 4] = value
    place = r"\(image 1, class 2, row 5, column 4\)"
    turned = _turned(logits, layout)
    for answer in (upsample_argmax, upsample_confidence):
        with pytest.raises(UsageError, match=f"a logit is {value} {place}"):
            answer(turned, size, layout=layout)
    bits = turned.astype(ml_dtypes.bfloat16).view(np.uint16)
    with pytest.raises(UsageError, match=place):
        upsample_argmax(bits, size, layout=layout, bfloat16_bits=True)
    assert not upsample_argmax(turned, size, layout=layout, classes=[0, 1, 3]).any()


@settings(max_examples=60, deadline=None)
@given(case=_cases())
def test_confidence_is_the_softmax_of_the_best_and_its_lead(case: dict[str, Any]) -> None:
    logits = np.random.default_rng(case["seed"]).standard_normal(case["shape"]).astype(np.float32) * 5
    options = {name: case[name] for name in ("layout", "classes", "threads")}
    turned = _turned(logits, case["layout"])
    found = upsample_confidence(turned, case["size"], **options)
    allowed = np.arange(case["shape"][1]) if case["classes"] is None else np.unique(case["classes"])
    scale = max(case["size"][0] - 1, 1) * max(case["size"][1] - 1, 1)
    large = np.sort(_enlarged(logits[:, allowed].astype(np.float64), case["size"]) / scale, axis=1)
    np.testing.assert_array_equal(found.class_maps, upsample_argmax(turned, case["size"], **options))
    expected = 1 / np.exp(large - large[:, -1:]).sum(1)
    np.testing.assert_allclose(found.probability, expected, rtol=2e-6)
    second = large[:, -2] if len(allowed) > 1 else -np.inf
    np.testing.assert_allclose(found.margin, large[:, -1] - second, atol=1e-5)


def test_far_apart_logits_give_full_confidence() -> None:
    logits = np.zeros((1, 2, 2, 2), np.float32)
    logits[:, 1] = 3e38
    found = upsample_confidence(logits, (9, 9))
    assert (found.class_maps == 1).all()
    assert (found.probability == 1).all()
    np.testing.assert_allclose(found.margin, 3e38, rtol=1e-6)


def test_as_many_threads_are_taken_as_the_container_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "usable_cores", lambda: 3)
    assert module._parts(None, 10**6) == 3
    assert module._parts(5, 10**6) == 5
