"""The graph that is built from rows and weights computes what the PyTorch network computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from fassd.core.arrays import Images, Logits
from fassd.core.checkpoint import BGR_NORMALIZATION, RGB_NORMALIZATION, Checkpoint, Normalization
from fassd.networks.graph import CLASS_MAP, LOGITS
from fassd.networks.inference import class_map, normalize
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import NETWORKS
from fassd.runtimes import onnx_graph, openvino_graph
from fassd.runtimes.onnxruntime_without_telemetry import onnxruntime
from fassd.runtimes.openvino_core import core

Lively = Callable[[str, Normalization], tuple[SegmentationNetwork, Checkpoint]]
Array = np.ndarray[Any, Any]


def _images(*shape: int) -> Images:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)


def _expected(network: SegmentationNetwork, images: Images, pixels: Normalization) -> Logits:
    with torch.inference_mode():
        logits: Logits = network(normalize(torch.from_numpy(images), pixels)).numpy()
    return logits


def _by_openvino(checkpoint: Checkpoint, images: Images, ending: str = LOGITS) -> Array:
    model = openvino_graph.build_logits(checkpoint.header, checkpoint.arrays)
    if ending == CLASS_MAP:
        model = openvino_graph.with_class_map(model)
    answer: Array = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(images)[0]
    return answer


def _by_onnx(checkpoint: Checkpoint, images: Images, ending: str = LOGITS) -> Array:
    model = onnx_graph.build_model(checkpoint.header, checkpoint.arrays, ending)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answer: Array = session.run(None, {"images": images})[0]
    return answer


GRAPHS = pytest.mark.parametrize("answer", [_by_openvino, _by_onnx])


@GRAPHS
@pytest.mark.parametrize(
    ("name", "pixels"), [(name, [RGB_NORMALIZATION, BGR_NORMALIZATION][i % 2]) for i, name in enumerate(NETWORKS)]
)
def test_the_graph_gives_the_networks_logits_to_the_very_border(
    lively: Lively, name: str, pixels: Normalization, answer: Callable[..., Array]
) -> None:
    network, checkpoint = lively(name, pixels)
    images = _images(1, 123, 131)
    expected = _expected(network, images, pixels)
    assert np.abs(answer(checkpoint, images) - expected).max() <= 2e-5 * np.abs(expected).max()


@GRAPHS
@pytest.mark.parametrize("value", [0, 255])
def test_the_border_is_padded_with_the_mean_color_and_not_with_black(
    lively: Lively, answer: Callable[..., Array], value: int
) -> None:
    """Where the mean is far from every pixel, padding with anything else shows at once."""
    far = Normalization("bgr", (0.1, 0.5, 0.9), (0.05, 0.2, 0.4))
    network, checkpoint = lively("fassd-net-l2", far)
    images = np.full((1, 64, 64, 3), value, np.uint8)
    expected = _expected(network, images, far)
    assert np.abs(answer(checkpoint, images) - expected).max() <= 2e-5 * np.abs(expected).max()


@GRAPHS
@pytest.mark.parametrize("size", [(57, 57), (64, 300), (131, 77)])
def test_one_model_answers_every_size_and_batch(
    lively: Lively, answer: Callable[..., Array], size: tuple[int, int]
) -> None:
    network, checkpoint = lively("fassd-net-l2", RGB_NORMALIZATION)
    images = _images(2, *size)
    expected = class_map(torch.from_numpy(_expected(network, images, RGB_NORMALIZATION)), size).numpy()
    found = answer(checkpoint, images, CLASS_MAP)
    assert (found.dtype, found.shape) == (np.uint8, (2, *size))
    assert (found == expected).mean() > 0.9999


@pytest.mark.parametrize("lanes", [1, 16])
def test_convolutions_shared_or_not_compute_the_same(
    lively: Lively, monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    network, checkpoint = lively("fassd-net", RGB_NORMALIZATION)
    monkeypatch.setattr(openvino_graph.OpenVINOOperations, "lanes", lanes)
    images = _images(1, 65, 66)
    expected = _expected(network, images, RGB_NORMALIZATION)
    assert np.abs(_by_openvino(checkpoint, images) - expected).max() <= 2e-5 * np.abs(expected).max()


def _layers(checkpoint: Checkpoint) -> list[str]:
    model = openvino_graph.build_logits(checkpoint.header, checkpoint.arrays)
    return [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]


def test_layers_are_called_like_their_weights(lively: Lively) -> None:
    _, checkpoint = lively("fassd-net", RGB_NORMALIZATION)
    layers = _layers(checkpoint)
    own = {name.removesuffix(".weight").removesuffix(".conv") for name in checkpoint.arrays if name.endswith(".weight")}
    assert len(layers) == len(set(layers)) > 70
    assert {layer.removesuffix(".coarse") for layer in layers if not layer.endswith(".input")} <= own


def test_layers_share_a_convolution_only_where_lanes_would_be_wasted(lively: Lively) -> None:
    """Widths 28 and 46 fill 2 and 3 registers of 16 apart and 5 together; 18 and 28 fill 2 and 2, and 3 together."""
    _, checkpoint = lively("fassd-net", RGB_NORMALIZATION)
    shared = {layer for layer in _layers(checkpoint) if layer.endswith(".input")}
    assert "encoder.stages.0.block.input" in shared
    assert "encoder.stages.1.block.input" not in shared
