"""Where a convolution of an OpenVINO graph is complete, on graphs of a few operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fassd.runtimes.openvino_file import _completed, _is_summand, _only_reader, is_quantized
from fassd.runtimes.openvino_without_telemetry import openvino

op = openvino.opset13


def _maps() -> Any:
    return op.parameter([1, 3, 5, 5], np.float32)


def _convolution(maps: Any) -> Any:
    kernel = op.constant(np.ones((3, 3, 1, 1), np.float32))
    return op.convolution(maps, kernel, [1, 1], [0, 0], [0, 0], [1, 1])


def _rounded(maps: Any) -> Any:
    low, high = op.constant(np.float32(0)), op.constant(np.float32(1))
    return op.fake_quantize(maps, low, high, low, high, 256)


def _bias() -> Any:
    return op.constant(np.ones((1, 3, 1, 1), np.float32))


def test_a_value_has_an_only_reader_or_none() -> None:
    maps = _maps()
    assert _only_reader(maps.output(0)) is None
    first = op.relu(maps)
    found = _only_reader(maps.output(0))
    assert found is not None
    assert found.get_friendly_name() == first.get_friendly_name()
    second = op.relu(maps)
    assert _only_reader(maps.output(0)) is None
    assert second is not None


@pytest.mark.parametrize("turned", [False, True])
def test_a_convolution_is_complete_after_its_bias_and_its_other_half(turned: bool) -> None:
    maps = _maps()
    one, other, bias = _convolution(maps), _convolution(maps), _bias()
    halves = op.add(other, one) if turned else op.add(one, other)
    biased = op.add(bias, halves) if turned else op.add(halves, bias)
    end = op.relu(biased)
    for layer in (one, other):
        assert _completed(layer.output(0)) == biased.output(0)
    assert end is not None


def test_an_addition_of_something_else_does_not_belong_to_a_convolution() -> None:
    maps = _maps()
    layer = _convolution(maps)
    total = op.add(layer, op.relu(maps))
    assert _completed(layer.output(0)) == layer.output(0)
    assert total is not None


def test_a_convolution_that_two_read_is_complete_at_once() -> None:
    layer = _convolution(_maps())
    readers = op.add(layer, _bias()), op.relu(layer)
    assert _completed(layer.output(0)) == layer.output(0)
    assert len(readers) == 2


def test_rounding_before_an_addition_is_part_of_the_layer() -> None:
    maps = _maps()
    one, other = _convolution(maps), _convolution(maps)
    total = op.add(_rounded(one), _rounded(other))
    assert _completed(one.output(0)) == _completed(other.output(0)) == total.output(0)
    lonely = _convolution(maps)
    rounded = _rounded(lonely)
    assert _completed(lonely.output(0)) == lonely.output(0)
    several = op.relu(rounded), op.relu(rounded)
    assert _completed(lonely.output(0)) == lonely.output(0)
    assert len(several) == 2


def test_summands_are_told_through_rounding() -> None:
    maps = _maps()
    for summand in (_bias(), _convolution(maps), op.convert(_rounded(_convolution(maps)), "f32")):
        assert _is_summand(summand.output(0))
    for other in (maps, op.relu(maps), _rounded(op.relu(maps))):
        assert not _is_summand(other.output(0))


@pytest.mark.parametrize("quantized", [True, False])
def test_a_model_is_quantized_if_it_rounds(quantized: bool) -> None:
    maps = _maps()
    result = op.result(_convolution(_rounded(maps) if quantized else op.relu(maps)))
    assert is_quantized(openvino.Model([result], [maps], "test")) == quantized
