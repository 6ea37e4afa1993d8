"""A layer drifts above the limit of its precision."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fassd.core.arrays import Images
from fassd.core.checkpoint import Checkpoint, read_checkpoint
from fassd.exports.layer_drift import compare_layers, find_layer_drift
from fassd.runtimes import torch_export
from fassd.runtimes.exported import Array, LayerMaps
from fassd.runtimes.rows import RUNTIMES
from fassd.runtimes.torch_export import layer_maps


@pytest.mark.parametrize(
    ("precision", "error", "said"),
    [
        (
            "float32",
            5e-5,
            "every layer is within the limit of float32 (largest relative error 5e-05, in b, limit 0.0001)",
        ),
        ("int8", 0.18, "every layer is within the limit of int8 (largest relative error 0.18, in b, limit 0.2)"),
        ("int8", 0.25, "the first layer that drifts is b (relative error 0.25, limit 0.2)"),
        ("bfloat16", 0.18, "the first layer that drifts is b (relative error 0.18, limit 0.04)"),
    ],
)
def test_a_layer_is_judged_by_what_its_precision_may_cost(precision: str, error: float, said: str) -> None:
    source = {name: np.ones((1, 2, 3, 4), np.float32) for name in "abc"}
    found = compare_layers(source, {**source, "b": source["b"] * np.float32(1 + error)}, precision)
    assert said in found.sentence
    assert "agree" not in found.sentence


LIMIT = {"float32": 1e-4, "bfloat16": 0.04, "int8": 0.2}


@pytest.mark.parametrize("precision", LIMIT)
@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_layer_drifts_just_above_the_limit(precision: str, factor: float) -> None:
    source = {"a": np.ones((1, 2, 3, 4))}
    found = compare_layers(source, {"a": source["a"] * (1 + LIMIT[precision] * factor)}, precision)
    assert found.limit == LIMIT[precision]
    assert (found.first is None) == (factor < 1)
    assert found.layers[0].error == pytest.approx(LIMIT[precision] * factor)


@pytest.mark.parametrize(
    ("expected", "found", "error"),
    [
        ([3.0, 4.0], [3.0, 4.0], 0.0),
        ([3.0, 4.0], [4.0, 4.0], 1 / 5),
        ([3.0, 4.0], [0.0, 0.0], 1.0),
        ([3.0, 4.0], [6.0, 8.0], 1.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1.0], math.inf),
        ([3.0, 4.0], [math.nan, 4.0], math.inf),
        ([3.0, 4.0], [math.inf, 4.0], math.inf),
        ([3.0, 4.0], [3.0, 4.0, 5.0], math.inf),
        ([3.0, 4.0], [3.0], math.inf),
        ([3e30, 4e30], [4e30, 4e30], 1 / 5),
    ],
)
def test_the_relative_error_is_of_root_mean_squares(expected: list[float], found: list[float], error: float) -> None:
    source, export = (np.array(values, np.float32) for values in (expected, found))
    (layer,) = compare_layers({"a": source}, {"a": export}, "float32").layers
    assert layer.error == pytest.approx(error)


def test_layers_that_both_have_are_compared_in_the_order_of_computation() -> None:
    one, two = np.ones((1, 1, 2, 2), np.float32), np.full((1, 1, 2, 2), 2, np.float32)
    found = compare_layers({"c": one, "b": one, "a": one}, {"a": two, "c": two, "x": two}, "int8")
    assert [(layer.layer, layer.error) for layer in found.layers] == [("c", 1.0), ("a", 1.0)]
    assert found.first == "c"


def test_a_file_without_layers_is_told() -> None:
    found = compare_layers({"a": np.ones(3, np.float32)}, {}, "float32")
    assert found.sentence == "its layers cannot be compared: they have no names, or cannot be executed"


class Broken:
    """A file that its library cannot execute."""

    def run(self, images: Images) -> Array:
        raise NotImplementedError

    def layers(self, images: Images) -> LayerMaps:
        raise ValueError("no layers")


class Sourced:
    """A file with the layers of its source."""

    def __init__(self, maps: LayerMaps) -> None:
        self._maps = maps

    def run(self, images: Images) -> Array:
        raise NotImplementedError

    def layers(self, images: Images) -> LayerMaps:
        return self._maps


@pytest.mark.parametrize("with_pytorch", [True, False])
def test_the_source_is_executed_in_pytorch_or_else_in_openvino(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, with_pytorch: bool
) -> None:
    """Both name the same layers and give nearly the same maps."""
    checkpoint = read_checkpoint(tiny_weights)
    images = np.random.default_rng(0).integers(0, 256, (2, 57, 65, 3), np.uint8)
    maps = layer_maps(checkpoint, tiny_weights, images)
    executed: list[Images] = []

    def watched(checkpoint: Checkpoint, path: Path, images: Images) -> LayerMaps:
        executed.append(images)
        return maps

    monkeypatch.setattr(torch_export, "layer_maps", watched)
    if not with_pytorch:
        monkeypatch.setitem(RUNTIMES, "pytorch", replace(RUNTIMES["pytorch"], package="not_installed_here"))
    found = find_layer_drift(checkpoint, tiny_weights, Sourced(maps), images, "float32")
    assert len(executed) == with_pytorch
    assert sorted(one.layer for one in found.layers) == sorted(maps)
    assert found.first is None
    broken = find_layer_drift(checkpoint, tiny_weights, Broken(), images, "float32")
    assert (broken.layers, broken.first) == ((), None)
