"""Networks in int8: near the original, right on every processor, within the bound that was set."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fassd.core.catalog import WEIGHTS
from fassd.core.checkpoint import METADATA_KEY, Checkpoint, Normalization, read_checkpoint
from fassd.core.errors import MissingExtra, UsageError
from fassd.data.open_dataset import open_dataset
from fassd.networks.graph import LOGITS
from fassd.networks.network import SegmentationNetwork
from fassd.runtimes.exported import AccuracyBound, ExportedFile
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_core import core
from fassd.runtimes.openvino_file import OpenVINOFile, write_model
from fassd.runtimes.openvino_graph import build_logits, logits_of
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.runtimes.quantize import QuantizationReport, _unrounded, centered_on_whole_numbers, quantize

pytest.importorskip("nncf")

op = openvino.opset13

Array = np.ndarray[Any, Any]
Lively = Callable[[str, Normalization], tuple[SegmentationNetwork, Checkpoint]]

SIZE = (96, 128)
# A mean as far from whole gray levels as can be.
BGR = Normalization(channel_order="bgr", mean=(100.49 / 255, 90.51 / 255, 110.45 / 255), std=(0.2, 0.25, 0.3))

ALONE = """
import sys, numpy, openvino
compiled = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
numpy.save(sys.argv[3], compiled(numpy.load(sys.argv[2]))[0])
"""


def _pictures(count: int, size: tuple[int, int] = SIZE) -> list[Array]:
    """Colored blocks with a little noise: as varied as photos are, each (1, H, W, 3)."""
    random = np.random.default_rng(3)
    coarse = random.integers(0, 250, (count, size[0] // 8, size[1] // 8, 3))
    fine = coarse.repeat(8, 1).repeat(8, 2) + random.integers(0, 6, (count, *size, 3))
    return [picture[None].astype(np.uint8) for picture in fine]


@cache
def _compiled(model: openvino.Model) -> openvino.CompiledModel:
    return core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def _logits(model: openvino.Model, images: Array) -> Array:
    found: Array = _compiled(model)(images)[0].copy()
    return found


def _error(found: Array, expected: Array) -> float:
    return float(np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()))


@pytest.fixture(scope="module")
def original(lively: Lively) -> openvino.Model:
    checkpoint = lively("fassd-net-l2", BGR)[1]
    return build_logits(checkpoint.header, checkpoint.arrays)


@pytest.fixture(scope="module")
def done(original: openvino.Model) -> tuple[openvino.Model, QuantizationReport]:
    return quantize(original, _pictures(4))


def test_the_answer_stays_near_at_every_size(
    original: openvino.Model, done: tuple[openvino.Model, QuantizationReport]
) -> None:
    for size, count in ((SIZE, 1), ((72, 144), 2)):
        images = np.concatenate(_pictures(count, size))
        assert _error(_logits(done[0], images), _logits(original, images)) < 0.12


def test_a_rounded_mean_color_changes_next_to_nothing(original: openvino.Model) -> None:
    images = np.concatenate(_pictures(2))
    assert 0 < _error(_logits(centered_on_whole_numbers(original), images), _logits(original, images)) < 2e-4


def test_every_convolution_computes_in_int8(done: tuple[openvino.Model, QuantizationReport]) -> None:
    report = done[1]
    assert (report.images, report.floating) == (4, ())
    assert {"encoder.stem.0", "context.far.0.1", "decoder.2.refine.detail", "classifier"} <= set(report.quantized)


def test_the_processor_runs_every_convolution_in_int8(done: tuple[openvino.Model, QuantizationReport]) -> None:
    """The plan that OpenVINO compiles says so; one layer whose input it cannot take would fall back in silence."""
    model = done[0].clone()
    model.reshape([1, *SIZE, 3])
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = {
        node.get_friendly_name(): node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    }
    assert len(kinds) == len(done[1].quantized)
    assert set(kinds.values()) <= {"u8", "i8"}


def test_what_it_knows_of_itself_stays(
    original: openvino.Model, done: tuple[openvino.Model, QuantizationReport]
) -> None:
    assert done[0].get_rt_info([METADATA_KEY]).astype(str) == original.get_rt_info([METADATA_KEY]).astype(str)
    assert LOGITS in logits_of(done[0]).get_names()


def test_a_written_file_is_an_int8_runtime(done: tuple[openvino.Model, QuantizationReport], tmp_path: Path) -> None:
    write_model(done[0], tmp_path / "net.xml")
    with open_runtime(tmp_path / "net.xml", "cpu") as runtime:
        assert runtime.precision == "int8"
        assert _error(runtime.logits(_pictures(1)[0]), _logits(done[0], _pictures(1)[0])) < 0.05


def test_no_sum_of_two_products_overflows_16_bits(done: tuple[openvino.Model, QuantizationReport]) -> None:
    """What processors without VNNI add up in 16 bits: the law behind the test below."""
    kernels = [
        node.data.astype(np.int64)
        for node in done[0].get_ops()
        if node.get_type_name() == "Constant" and node.get_element_type() == openvino.Type.i8
    ]
    assert len(kernels) == len(done[1].quantized)
    assert max(2 * 255 * np.abs(kernel).max() for kernel in kernels) < 2**15


@pytest.mark.parametrize("instructions", ["AVX2", pytest.param("AVX512_CORE", marks=pytest.mark.slow)])
def test_a_processor_without_vnni_answers_alike(
    done: tuple[openvino.Model, QuantizationReport], tmp_path: Path, instructions: str
) -> None:
    """The instructions that oneDNN uses for OpenVINO can be limited."""
    images = np.concatenate(_pictures(2))
    openvino.save_model(done[0], tmp_path / "net.xml", compress_to_fp16=False)
    np.save(tmp_path / "images.npy", images)
    names = [str(tmp_path / name) for name in ("net.xml", "images.npy", "logits.npy")]
    surroundings = os.environ | {"ONEDNN_MAX_CPU_ISA": instructions}
    subprocess.run([sys.executable, "-c", ALONE, *names], env=surroundings, check=True, capture_output=True)
    assert _error(np.load(tmp_path / "logits.npy"), _logits(done[0], images)) < 1e-4


def test_it_changes_and_prints_nothing_and_stays_in_int8_within_the_bound(
    original: openvino.Model, capfd: pytest.CaptureFixture[str]
) -> None:
    before = [node.data.tobytes() for node in original.get_ops() if node.get_type_name() == "Constant"]
    report = quantize(original, _pictures(1), bound=AccuracyBound(lambda _: 0.5, 0.003))[1]
    assert (report.floating, report.reference_score, report.score) == ((), 0.5, 0.5)
    assert [node.data.tobytes() for node in original.get_ops() if node.get_type_name() == "Constant"] == before
    assert capfd.readouterr().out == ""


def test_without_images_there_is_nothing_to_calibrate_on(original: openvino.Model) -> None:
    with pytest.raises(UsageError, match="no images"):
        quantize(original, [])


def test_without_nncf_the_extra_is_named(original: openvino.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtra, match=r"fassd\[quantize\]"):
        quantize(original, _pictures(1))


class Bounded:
    """Layers that must not be in int8, as a score: 1 less 0.1 for each that is."""

    def __init__(self, *precious: str) -> None:
        self.precious = precious
        self.scored = 0

    def __call__(self, file: ExportedFile) -> float:
        self.scored += 1
        assert isinstance(file, OpenVINOFile)
        nodes = (node for node in file.model.get_ops() if node.get_type_name() == "Convolution")
        kernels = {node.get_friendly_name(): node.input_value(1).get_node() for node in nodes}
        return 1 - 0.1 * len([name for name in self.precious if kernels[name].get_type_name() != "Constant"])


@pytest.mark.slow
def test_layers_that_cost_too_much_stay_in_floating_point(original: openvino.Model) -> None:
    score = Bounded("encoder.stem.1", "decoder.2.block")
    model, report = quantize(original, _pictures(2), bound=AccuracyBound(score, 0.05))
    assert set(score.precious) <= set(report.floating)
    assert 0 < len(report.quantized) < 68
    assert (report.reference_score, report.score) == (1, 1)
    assert score.scored < 16  # of 68 layers
    images = np.concatenate(_pictures(2))
    before = _error(_logits(quantize(original, _pictures(2))[0], images), _logits(original, images))
    assert _error(_logits(model, images), _logits(original, images)) < before


@pytest.mark.slow
def test_a_bound_that_cannot_be_kept_is_said(original: openvino.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fassd.runtimes.quantize._ranked", lambda model, quantized, layers, images: list(layers))
    scores = iter([1.0] + [0.0] * 99)
    with pytest.raises(UsageError, match="no int8 network stays within"):
        quantize(original, _pictures(1), bound=AccuracyBound(lambda _: next(scores), 0.003))


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_shipped_networks_lose_at_most_three_tenths_of_a_point(name: str, data_root: Path, tmp_path: Path) -> None:
    from fassd.media.images import read_image
    from fassd.scoring.evaluate import evaluate

    checkpoint = read_checkpoint(WEIGHTS[name].path)
    spec = f"camvid:{data_root / 'camvid'}"
    pairs = open_dataset(spec, "train").pairs[::4]
    model = build_logits(checkpoint.header, checkpoint.arrays)
    quantized, _ = quantize(model, [read_image(pair.image)[None] for pair in pairs])
    write_model(quantized, tmp_path / "net.xml")
    scores = []
    for weights, precision in ((WEIGHTS[name].path, "float32"), (tmp_path / "net.xml", "int8")):
        with open_runtime(weights, "cpu", precision, "openvino") as runtime:
            scores.append(evaluate(runtime, open_dataset(spec, "val", runtime.label_space)).parts[0].mean_iou or 0)
    assert scores[1] >= scores[0] - 0.003


def test_rounding_is_removed_before_a_layer_and_before_what_its_input_is_joined_from() -> None:
    maps = op.parameter([1, 3, 5, 5], np.float32)
    low, high = op.constant(np.float32(0)), op.constant(np.float32(1))
    plain = op.relu(maps)
    rounded = op.fake_quantize(plain, low, high, low, high, 256)
    assert _unrounded(rounded.output(0)) == plain.output(0)
    for other in (plain, maps, op.add(plain, plain), op.abs(rounded)):
        assert _unrounded(other.output(0)) == other.output(0)
    inner = op.concat([rounded, plain], 2)
    joined = _unrounded(op.concat([inner, inner], 1).output(0)).get_node()
    assert (joined.get_type_name(), joined.get_axis(), list(joined.shape)) == ("Concat", 1, [1, 6, 10, 5])
    for part in joined.input_values():
        node = part.get_node()
        assert node.get_axis() == 2
        assert [value == plain.output(0) for value in node.input_values()] == [True, True]
