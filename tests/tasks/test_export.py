"""An export answers as its source does, or leaves no file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_header
from fassd.core.errors import CheckpointError, FileError, UnknownName, UsageError
from fassd.runtimes import onnx_graph, openvino_graph
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino import has_bfloat16
from fassd.tasks.export import Order, export
from fassd.tasks.export_images import SHIPPED, Cases, comparison_cases

ASSETS = locate_weights(DEFAULT_WEIGHTS).parents[1] / "assets"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pictures that ship, small."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in SHIPPED:
        Pillow.open(ASSETS / name).resize((256, 144)).save(folder / f"{name}.png")
    return str(folder)


@pytest.fixture
def order(pictures: str) -> Callable[..., Order]:
    def make(to: str, out: Path, **choices: object) -> Order:
        return Order(DEFAULT_WEIGHTS, to, out, images=(pictures,), **choices)  # type: ignore[arg-type]

    return make


BFLOAT16 = pytest.mark.skipif(not has_bfloat16(), reason="this processor does not multiply in bfloat16")


@pytest.mark.parametrize(
    ("to", "name", "precision", "logits"),
    [
        ("onnx", "net.onnx", "float32", False),
        ("openvino", "net.xml", "float32", True),
        pytest.param("onnx", "net.onnx", "float32", True, marks=pytest.mark.slow),
        pytest.param("openvino", "net.xml", "float32", False, marks=pytest.mark.slow),
        pytest.param("openvino", "net.xml", "bfloat16", False, marks=[pytest.mark.slow, BFLOAT16]),
        pytest.param("torch", "net.pt2", "float32", False, marks=pytest.mark.slow),
        pytest.param("torch", "net.pt2", "float32", True, marks=pytest.mark.slow),
        pytest.param("torch", "net.pt2", "bfloat16", False, marks=pytest.mark.slow),
    ],
)
def test_an_export_keeps_its_contract_and_opens_again(
    order: Callable[..., Order], tmp_path: Path, to: str, name: str, precision: str, logits: bool
) -> None:
    asked = order(to, tmp_path / name, precision=precision, logits=logits)
    # In small pictures every other pixel is at a border, where bfloat16 decides otherwise.
    done = export(asked if precision == "float32" else replace(asked, images=()))
    assert done.kept, done.agreement.breaches
    report = json.loads((tmp_path / f"{name}.report.json").read_text())
    assert (report["kept"], report["kind"], report["compared_with"]) == (True, to, "pytorch in float32")
    assert "<h1>net" in (tmp_path / f"{name}.report.html").read_text()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    header = read_header(locate_weights(DEFAULT_WEIGHTS))
    with open_runtime(tmp_path / name) as opened, open_runtime(DEFAULT_WEIGHTS, precision="float32") as source:
        assert opened.header == header
        images = _cases().first[None, :144, :256]
        share = float((opened.segment(images) == source.segment(images)).mean())
        assert share > (0.97 if opened.precision == "bfloat16" else 0.9999)


def _cases() -> Cases:
    return comparison_cases(read_header(locate_weights(DEFAULT_WEIGHTS)), None, "val", ())


class BlueFirst(onnx_graph.ONNXOperations):
    def centre(self, images: str, mean: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
        return self._node("Gather", [super().centre(images, mean), self._integers(2, 1, 0)], axis=1)


def test_what_does_not_answer_alike_is_removed_and_its_layer_named(
    order: Callable[..., Order], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"an earlier file")
    monkeypatch.setattr(onnx_graph, "ONNXOperations", BlueFirst)
    done = export(order("onnx", tmp_path / "net.onnx", force=True))
    assert not done.kept
    assert done.drift is not None
    assert done.drift.first == "encoder.stem.0"
    assert (tmp_path / "net.onnx").read_bytes() == b"an earlier file"
    report = json.loads((tmp_path / "net.onnx.report.json").read_text())
    assert (report["kept"], report["first_drifting_layer"]) == (False, "encoder.stem.0")
    assert "encoder.stem.0" in (tmp_path / "net.onnx.report.html").read_text()
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
def test_labels_give_the_change_of_mean_iou(tmp_path: Path, camvid_root: Path) -> None:
    done = export(Order(DEFAULT_WEIGHTS, "onnx", tmp_path / "net.onnx", data=f"camvid:{camvid_root}"))
    assert done.agreement.labelled == 2
    assert done.agreement.source_iou == done.agreement.export_iou is not None


@pytest.mark.slow
@pytest.mark.parametrize(("to", "name"), [("openvino", "net.xml"), ("onnx", "net.onnx")])
def test_int8_is_calibrated_and_compared(
    order: Callable[..., Order], tmp_path: Path, pictures: str, to: str, name: str
) -> None:
    done = export(order(to, tmp_path / name, precision="int8", calibrate=pictures))
    report = json.loads((tmp_path / f"{name}.report.json").read_text())
    assert report["details"]["calibrated_on"] == 2
    assert report["details"]["int8_layers"]
    assert done.kept == (tmp_path / name).exists()
    assert done.agreement.equal > 0.9


@pytest.mark.slow
def test_int8_keeps_to_the_loss_that_was_allowed(
    order: Callable[..., Order], tmp_path: Path, pictures: str, camvid_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranking the layers takes minutes: here they are put back from the last to the first."""
    monkeypatch.setattr("fassd.runtimes.quantize._ranked", lambda model, quantized, layers, images: [*layers][::-1])
    asked = order("openvino", tmp_path / "net.xml", precision="int8", calibrate=pictures)
    done = export(replace(asked, images=(), data=f"camvid:{camvid_root}", at_most=0.1))
    agreement = done.agreement
    assert agreement.contract.iou_drop == 0.001
    assert agreement.source_iou is not None
    assert agreement.export_iou is not None
    assert done.kept, agreement.breaches
    assert agreement.export_iou >= agreement.source_iou - 0.001


@pytest.mark.slow
def test_int8_that_saturates_is_refused(
    order: Callable[..., Order], tmp_path: Path, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Saturating(openvino_graph.OpenVINOOperations):
        def relu(self, maps: openvino_graph.Node) -> openvino_graph.Node:
            return openvino_graph.op.clamp(maps, 0.0, 1.0)

    monkeypatch.setattr(openvino_graph, "OpenVINOOperations", Saturating)
    done = export(order("openvino", tmp_path / "net.xml", precision="int8", calibrate=pictures))
    assert done.agreement.breaches
    assert done.drift is not None
    assert done.drift.first is not None
    assert not (tmp_path / "net.xml").exists()


@pytest.mark.parametrize(("to", "name"), [("onnx", "net.onnx"), ("openvino", "net.xml")])
@pytest.mark.slow
def test_exported_files_and_exporting_need_no_pytorch(tmp_path: Path, pictures: str, to: str, name: str) -> None:
    script = f"""
import sys
sys.modules["torch"] = None
from fassd.cli.main import run
out = {str(tmp_path / name)!r}
assert run(["export", "{DEFAULT_WEIGHTS}", "--to", "{to}", "--out", out, "--images", {pictures!r}]) == 0
picture = {str(ASSETS / "street.jpg")!r}
assert run(["predict", picture, "--weights", out, "--out", {str(tmp_path / "predictions")!r}]) == 0
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / f"{name}.report.json").read_text())
    assert report["compared_with"] == "openvino in float32"


BAD = [
    (Order("stret", "onnx"), UnknownName, "stret"),
    (Order(DEFAULT_WEIGHTS, "tflite"), UnknownName, "tflite"),
    (Order(DEFAULT_WEIGHTS, "onnx", precision="float16"), UnknownName, "float16"),
    (Order(DEFAULT_WEIGHTS, "onnx", precision="bfloat16"), UsageError, "no onnx files in bfloat16"),
    (Order(DEFAULT_WEIGHTS, "torch", precision="int8", calibrate="x"), UsageError, "no torch files in int8"),
    (Order(DEFAULT_WEIGHTS, "openvino", precision="int8"), UsageError, "--calibrate"),
    (Order(DEFAULT_WEIGHTS, "openvino", calibrate="x"), UsageError, "--calibrate"),
    (Order(DEFAULT_WEIGHTS, "onnx", precision="int8", calibrate="x", data="x", at_most=1), UsageError, "--to openvino"),
    (Order(DEFAULT_WEIGHTS, "openvino", precision="int8", calibrate="x", at_most=1), UsageError, "with --data"),
    (
        Order(DEFAULT_WEIGHTS, "openvino", precision="int8", calibrate="x", data="x", at_most=float("nan")),
        UsageError,
        "0 to 100",
    ),
    (Order(DEFAULT_WEIGHTS, "onnx", Path("net.xml")), UsageError, "end in .onnx"),
    (Order("net.onnx", "openvino"), CheckpointError, "exported file already"),
    (Order(DEFAULT_WEIGHTS, "onnx", data="camvid:nowhere"), FileError, "nowhere"),
    (Order(DEFAULT_WEIGHTS, "onnx", images=("nowhere.jpg",)), FileError, "nowhere.jpg"),
]


@pytest.mark.parametrize(("order", "kind", "named"), BAD, ids=[row[2] for row in BAD])
def test_what_cannot_be_exported_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Order, kind: type[Exception], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=named):
        export(order)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["net.xml", "net.bin"])
def test_an_earlier_file_is_not_replaced_unasked(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(FileError, match=r"is there already; .* --force"):
        export(Order(DEFAULT_WEIGHTS, "openvino", tmp_path / "net.xml"))
    assert (tmp_path / there).read_bytes() == b"mine"


def test_pictures_are_cut_to_sizes_on_which_faults_show() -> None:
    """Odd sizes, a batch, and strips longer than the largest dilation reaches."""
    cases = list(_cases())
    shapes = [case.images.shape for case in cases]
    assert len(cases) == len(_cases())
    assert min(shapes[0][1:3]) == 57
    assert all(side % 2 for shape in shapes[:6] for side in shape[1:3])
    assert [shape[0] for shape in shapes] == [1, 1, 1, 2, 1, 1, 1, 1]
    assert max(shapes[4][1:3]) == max(shapes[5][1:3]) > 36 * 64
    assert not (cases[3].images[0] == cases[3].images[1]).all()
