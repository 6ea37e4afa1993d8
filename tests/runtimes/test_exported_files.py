"""Exported files with faults are refused with a sentence, and never give wrong class maps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from fassd.core.checkpoint import RGB_NORMALIZATION, Header, read_checkpoint
from fassd.core.errors import CheckpointError, UsageError
from fassd.runtimes import onnx as onnx_runtime
from fassd.runtimes import onnx_graph, openvino_file, openvino_graph
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_without_telemetry import openvino


@pytest.fixture(scope="module")
def exported(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with net.xml, net.bin and net.onnx."""
    folder = tmp_path_factory.mktemp("exported")
    read = read_checkpoint(tiny_weights)
    openvino_file.write_model(openvino_graph.build_logits(read.header, read.arrays), folder / "net.xml")
    onnx_runtime.write_model(onnx_graph.build_model(read.header, read.arrays), folder / "net.onnx")
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    """The same folder, to be damaged."""
    return shutil.copytree(exported, tmp_path / "copy")


def _flip_a_bit(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "weights missing": ("net.xml", lambda folder: (folder / "net.bin").unlink(), "net.bin, are not beside it"),
    "weights altered": (
        "net.xml",
        lambda folder: _flip_a_bit(folder / "net.bin", 0.5),
        "is damaged, or they do not belong together",
    ),
    "weights cut": ("net.xml", lambda folder: _cut(folder / "net.bin"), "damaged"),
    "model cut": ("net.xml", lambda folder: _cut(folder / "net.xml"), "is damaged, its end is missing"),
    "no model": (
        "net.xml",
        lambda folder: (folder / "net.xml").write_text("hello"),
        "is not an OpenVINO model; name an",
    ),
    "empty model": ("net.xml", lambda folder: (folder / "net.xml").write_bytes(b""), "is not an OpenVINO model"),
    "a name cut in two": (
        "net.xml",
        lambda folder: (folder / "net.xml").write_bytes(
            (folder / "net.xml").read_bytes().replace(b"<layer ", b"<lay", 1)
        ),
        "net.bin is damaged, or they do not belong together",
    ),
    "onnx altered": ("net.onnx", lambda folder: _flip_a_bit(folder / "net.onnx", 0.5), "damaged"),
    "onnx cut": ("net.onnx", lambda folder: _cut(folder / "net.onnx"), "damaged"),
    "no onnx": ("net.onnx", lambda folder: (folder / "net.onnx").write_text("hello"), "damaged|without a fassd header"),
    "empty onnx": ("net.onnx", lambda folder: (folder / "net.onnx").write_bytes(b""), "without a fassd header"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused(copy: Path, damage: str) -> None:
    name, harm, complaint = DAMAGES[damage]
    harm(copy)
    with pytest.raises(CheckpointError, match=complaint):
        open_runtime(copy / name)


def test_a_foreign_model_is_refused(tmp_path: Path) -> None:
    op = openvino.opset13
    images = op.parameter([1, 3, 8, 8])
    foreign = openvino.Model([op.relu(images)], [images])
    openvino.save_model(foreign, tmp_path / "net.xml")
    with pytest.raises(CheckpointError, match="without a fassd header"):
        open_runtime(tmp_path / "net.xml")
    header = Header(network="fassd-net", label_space=None, normalization=RGB_NORMALIZATION)
    foreign.set_rt_info(msgspec.json.encode(header).decode(), ["fassd"])
    openvino_file.write_model(foreign, tmp_path / "net.xml")
    with pytest.raises(CheckpointError, match="nothing in it is called 'logits'"):
        open_runtime(tmp_path / "net.xml")


@pytest.mark.parametrize(
    ("sound", "changed"),
    [(b'dilations="8, 1"', b'dilations="9, 1"'), (b"Road", b"Toad"), (b'from-layer="9"', b'from-layer="8"')],
)
def test_a_graph_or_header_that_was_changed_is_refused(copy: Path, sound: bytes, changed: bytes) -> None:
    content = (copy / "net.xml").read_bytes()
    assert sound in content
    (copy / "net.xml").write_bytes(content.replace(sound, changed))
    with pytest.raises(CheckpointError, match="damaged"):
        open_runtime(copy / "net.xml")


def test_an_onnx_graph_that_was_changed_is_refused(copy: Path) -> None:
    model = onnx.load(copy / "net.onnx")
    convolution = next(node for node in model.graph.node if node.op_type == "Conv")
    convolution.name += "x"
    onnx.save(model, copy / "net.onnx")
    with pytest.raises(CheckpointError, match="is damaged"):
        open_runtime(copy / "net.onnx")


@pytest.mark.parametrize("name", ["net.xml", "net.onnx"])
def test_a_precision_that_is_not_the_files_is_refused(exported: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is not an int8 network; omit --precision"):
        open_runtime(exported / name, precision="int8")


def test_a_header_of_another_version_is_refused(copy: Path) -> None:
    text = (copy / "net.xml").read_text(encoding="utf-8")
    (copy / "net.xml").write_text(text.replace("fassd-net-l2", "fassd-net-l9"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="is damaged"):
        open_runtime(copy / "net.xml")


def _with_other_kernel(exported: Path, out: Path, change: Callable[[onnx.TensorProto], object]) -> Path:
    """The ONNX file with its classifier changed, and a digest that fits."""
    model = onnx.load(exported / "net.onnx")
    del model.metadata_props[1:]
    for constant in model.graph.initializer:
        if constant.name.startswith("classifier"):
            change(constant)
    onnx_runtime.write_model(model, out)
    return out


def _with_fewer_classes(constant: onnx.TensorProto) -> None:
    values = onnx.numpy_helper.to_array(constant)
    constant.CopyFrom(onnx.numpy_helper.from_array(values[:3].copy(), constant.name))


def _with_fewer_inputs(constant: onnx.TensorProto) -> None:
    values = onnx.numpy_helper.to_array(constant)
    if values.ndim == 4 and values.shape[1] > 1:
        constant.CopyFrom(onnx.numpy_helper.from_array(values[:, :3].copy(), constant.name))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_with_fewer_classes, "it names 11 classes but predicts 3; make the file again"),
        (
            _with_fewer_inputs,
            r"onnx cannot run it on an image of 96x64 \(.*\); try another|cannot be executed",
        ),
    ],
)
def test_a_file_that_passes_for_whole_but_cannot_answer_is_told_in_a_sentence(
    exported: Path, tmp_path: Path, change: Callable[[onnx.TensorProto], object], complaint: str
) -> None:
    path = _with_other_kernel(exported, tmp_path / "net.onnx", change)
    with pytest.raises(CheckpointError, match=complaint), open_runtime(path) as runtime:
        runtime.segment(np.zeros((1, 64, 96, 3), np.uint8))


@pytest.mark.parametrize("name", ["net.xml", "net.onnx"])
def test_what_a_library_raises_is_told_in_a_sentence(
    exported: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("[ONNXRuntimeError] : 6 :\nsomewhere in its sources\n Mul_120\n\n")

    with open_runtime(exported / name, precision="float32") as runtime:
        place, broken_one = {"net.xml": ("_graph", broken), "net.onnx": ("_session", SimpleNamespace(run=broken))}[name]
        monkeypatch.setattr(runtime, place, broken_one)
        for answer in (runtime.segment, runtime.logits):
            with pytest.raises(
                CheckpointError, match=rf"{name}: \w+ cannot run it on 2 images of 96x64 \(Mul_120\); try"
            ):
                answer(np.zeros((2, 64, 96, 3), np.uint8))


@pytest.mark.parametrize("name", ["net.xml", "net.onnx"])
def test_the_header_travels_inside(exported: Path, tiny_weights: Path, name: str) -> None:
    with open_runtime(exported / name) as runtime:
        assert runtime.header == read_checkpoint(tiny_weights).header
