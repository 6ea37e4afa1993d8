"""ONNX networks in int8: near the original layer by layer, and no sum of products that overflows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fassd.core.checkpoint import METADATA_KEY, RGB_NORMALIZATION, Checkpoint, Normalization
from fassd.core.errors import UsageError
from fassd.networks.graph import CLASS_MAP, LOGITS
from fassd.networks.network import SegmentationNetwork
from fassd.runtimes.exported import ExportSpec
from fassd.runtimes.onnx import read_model
from fassd.runtimes.onnx_export import ONNXFile, write
from fassd.runtimes.onnx_graph import build_model
from fassd.runtimes.onnx_quantize import quantize

Lively = Callable[[str, Normalization], tuple[SegmentationNetwork, Checkpoint]]


def _pictures(count: int) -> list[np.ndarray[Any, Any]]:
    coarse = np.random.default_rng(3).integers(0, 256, (count, 12, 16, 3), np.uint8)
    return [picture[None].repeat(8, 1).repeat(8, 2) for picture in coarse]


@pytest.fixture(scope="module")
def checkpoint(lively: Lively) -> Checkpoint:
    return lively("fassd-net-l2", RGB_NORMALIZATION)[1]


@pytest.fixture(scope="module")
def original(checkpoint: Checkpoint) -> onnx.ModelProto:
    return build_model(checkpoint.header, checkpoint.arrays, LOGITS)


@pytest.fixture(scope="module")
def quantized(original: onnx.ModelProto) -> onnx.ModelProto:
    return quantize(original, _pictures(4))


def test_every_layer_stays_near(original: onnx.ModelProto, quantized: onnx.ModelProto) -> None:
    expected, found = (ONNXFile(model).layers(_pictures(2)[1]) for model in (original, quantized))
    assert found.keys() == expected.keys()
    errors = {
        name: float(np.sqrt(np.square(found[name] - maps).mean() / np.square(maps).mean()))
        for name, maps in expected.items()
    }
    assert 0 < max(errors.values()) < 0.2, max(errors, key=errors.__getitem__)


def test_no_sum_of_two_products_overflows_16_bits(quantized: onnx.ModelProto) -> None:
    constants = [numpy_helper.to_array(one) for one in quantized.graph.initializer]
    kernels = [one.astype(np.int64) for one in constants if one.dtype == np.int8 and one.ndim == 4]
    assert len(kernels) == sum(node.op_type == "Conv" for node in quantized.graph.node) - 1
    assert max(2 * 255 * np.abs(kernel).max() for kernel in kernels) < 2**15


def test_a_file_says_what_is_in_int8_and_nothing_is_printed_or_logged(
    checkpoint: Checkpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        facts = write(ExportSpec(checkpoint, CLASS_MAP, "int8", _pictures(1)), tmp_path / "net.onnx")
    assert (facts["calibrated_on"], facts["floating_layers"]) == (1, ["classifier"])
    assert {"encoder.stem.0", "context.far.0.1", "decoder.2.refine.detail"} <= set(facts["int8_layers"])
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])
    assert read_model(tmp_path / "net.onnx")[1] == checkpoint.header


def test_the_model_given_stays_as_it_is(
    checkpoint: Checkpoint, original: onnx.ModelProto, quantized: onnx.ModelProto
) -> None:
    assert original == build_model(checkpoint.header, checkpoint.arrays, LOGITS)
    assert [entry.key for entry in quantized.metadata_props] == [METADATA_KEY]


def test_without_images_there_is_nothing_to_calibrate_on(original: onnx.ModelProto) -> None:
    with pytest.raises(UsageError, match="no images"):
        quantize(original, [])
