"""An export agrees with its source, or leaves no file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_header
from fassd.core.errors import CheckpointError, FileError, UnknownName, UsageError
from fassd.exports.images import SHIPPED, Cases, comparison_cases
from fassd.exports.result import ExportConfig
from fassd.runtimes import onnx_graph, openvino_graph
from fassd.runtimes.onnx_export import ONNXFile
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_core import has_bfloat16
from fassd.tasks.export import export

ASSETS = locate_weights(DEFAULT_WEIGHTS).parents[1] / "assets"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The images that ship, small."""
    folder = tmp_path_factory.mktemp("pictures")
    for name in SHIPPED:
        Pillow.open(ASSETS / name).resize((256, 144)).save(folder / f"{name}.png")
    return str(folder)


@pytest.fixture
def config(pictures: str) -> Callable[..., ExportConfig]:
    def make(to: str, out: Path, **choices: object) -> ExportConfig:
        return ExportConfig(DEFAULT_WEIGHTS, to, out, images=(pictures,), **choices)  # type: ignore[arg-type]

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
def test_an_export_agrees_with_its_source_and_opens_again(
    config: Callable[..., ExportConfig], tmp_path: Path, to: str, name: str, precision: str, logits: bool
) -> None:
    asked = config(to, tmp_path / name, precision=precision, logits=logits)
    # In small images every other pixel is at a border, where bfloat16 differs.
    done = export(asked if precision == "float32" else replace(asked, images=()))
    assert done.kept, done.agreement.violations
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
    def center(self, images: str, mean: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
        return self._node("Gather", [super().center(images, mean), self._integers(2, 1, 0)], axis=1)


def test_an_export_that_differs_is_removed_and_its_layer_named(
    config: Callable[..., ExportConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = {name: name.encode() for name in ("net.onnx", "net.onnx.report.json", "net.onnx.report.html")}
    for name, content in earlier.items():
        (tmp_path / name).write_bytes(content)
    with monkeypatch.context() as patch:
        patch.setattr(onnx_graph, "ONNXOperations", BlueFirst)
        done = export(config("onnx", tmp_path / "net.onnx", force=True))
    assert not done.kept
    assert done.drift is not None
    assert (done.drift.first, done.fix) == ("encoder.stem.0", "")
    assert {name: (tmp_path / name).read_bytes() for name in earlier} == earlier
    refused = [tmp_path / "net.onnx.refused.json", tmp_path / "net.onnx.refused.html"]
    assert [*done.reports] == refused
    report = json.loads(refused[0].read_text())
    assert (report["kept"], report["first_drifting_layer"]) == (False, "encoder.stem.0")
    assert "encoder.stem.0" in refused[1].read_text()
    assert len(list(tmp_path.iterdir())) == 5
    # The next attempt succeeds: file and report are of one make, and nothing tells of the failure any more.
    export(config("onnx", tmp_path / "net.onnx", force=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(earlier)
    said = json.loads((tmp_path / "net.onnx.report.json").read_text())["sha256"]
    assert said == hashlib.sha256((tmp_path / "net.onnx").read_bytes()).hexdigest()


def _strict(path: Path) -> Any:
    """JSON as everybody reads it, which knows no Infinity and no NaN."""
    return json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.mark.parametrize(
    ("to", "name", "library"),
    [
        ("openvino", "net.xml", "openvino.save_model"),
        ("onnx", "net.onnx", "pathlib.Path.write_bytes"),
        pytest.param("torch", "net.pt2", "torch.export.save", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_told_of_the_file_that_was_asked_for(
    config: Callable[..., ExportConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    name: str,
    library: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device") if to == "onnx" else RuntimeError("basic_ios::clear: iostream")

    out = tmp_path / name
    asked = config(to, out)
    monkeypatch.setattr(library, fail)
    with pytest.raises(FileError, match=r"cannot be written \(.*\); choose another folder or make room") as raised:
        export(asked)
    assert raised.value.path == out
    assert not list(tmp_path.iterdir())


def test_a_file_that_its_library_cannot_execute_is_refused_with_a_report(
    config: Callable[..., ExportConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unheard of: Frobnicate(99)")

    for name in ("run", "layers"):
        monkeypatch.setattr(ONNXFile, name, fail)
    done = export(config("onnx", tmp_path / "net.onnx"))
    assert not done.kept
    assert "Frobnicate" in done.agreement.main_violations[1]
    assert done.drift is not None
    assert done.drift.sentence == "its layers cannot be compared: they have no names, or cannot be executed"
    assert _strict(tmp_path / "net.onnx.refused.json")["layers"] == []


def test_a_layer_that_gives_no_numbers_is_told_in_json(
    config: Callable[..., ExportConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoNumbers(onnx_graph.ONNXOperations):
        def prelu(self, maps: str, weights: np.ndarray[Any, Any]) -> str:
            return super().prelu(maps, weights * np.nan)

    monkeypatch.setattr(onnx_graph, "ONNXOperations", NoNumbers)
    assert not export(config("onnx", tmp_path / "net.onnx")).kept
    report = _strict(tmp_path / "net.onnx.refused.json")
    errors = {one["layer"]: one["error"] for one in report["layers"]}
    assert errors[report["first_drifting_layer"]] is None
    assert errors["encoder.stem.0"] < 1e-4


@pytest.mark.slow
def test_labels_give_the_change_of_mean_iou(tmp_path: Path, camvid_root: Path) -> None:
    done = export(ExportConfig(DEFAULT_WEIGHTS, "onnx", tmp_path / "net.onnx", data=f"camvid:{camvid_root}"))
    assert done.agreement.labeled == 2
    assert done.agreement.source_iou == done.agreement.export_iou is not None


@pytest.mark.slow
@pytest.mark.parametrize(("to", "name"), [("openvino", "net.xml"), ("onnx", "net.onnx")])
def test_int8_is_calibrated_and_compared(
    config: Callable[..., ExportConfig], tmp_path: Path, pictures: str, to: str, name: str
) -> None:
    done = export(config(to, tmp_path / name, precision="int8", calibrate=pictures))
    report = json.loads(done.reports[0].read_text())
    assert report["details"]["calibrated_on"] == 2
    assert report["details"]["int8_layers"]
    assert done.kept == (tmp_path / name).exists()
    assert done.agreement.equal > 0.9


@pytest.mark.slow
def test_int8_stays_within_the_allowed_loss(
    config: Callable[..., ExportConfig],
    tmp_path: Path,
    pictures: str,
    camvid_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ranking the layers takes minutes: here they are restored from the last to the first."""
    monkeypatch.setattr("fassd.runtimes.quantize._ranked", lambda model, quantized, layers, images: [*layers][::-1])
    asked = config("openvino", tmp_path / "net.xml", precision="int8", calibrate=pictures)
    done = export(replace(asked, images=(), data=f"camvid:{camvid_root}", max_iou_drop=0.1))
    agreement = done.agreement
    assert agreement.tolerance.max_iou_drop == 0.001
    assert agreement.source_iou is not None
    assert agreement.export_iou is not None
    assert done.kept, agreement.violations
    assert agreement.export_iou >= agreement.source_iou - 0.001


@pytest.mark.slow
def test_int8_that_saturates_is_refused(
    config: Callable[..., ExportConfig], tmp_path: Path, pictures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Saturating(openvino_graph.OpenVINOOperations):
        def relu(self, maps: openvino_graph.Node) -> openvino_graph.Node:
            return openvino_graph.op.clamp(maps, 0.0, 1.0)

    monkeypatch.setattr(openvino_graph, "OpenVINOOperations", Saturating)
    done = export(config("openvino", tmp_path / "net.xml", precision="int8", calibrate=pictures))
    assert done.agreement.violations
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
    (ExportConfig("stret", "onnx"), UnknownName, "stret"),
    (ExportConfig(DEFAULT_WEIGHTS, "tflite"), UnknownName, "tflite"),
    (ExportConfig(DEFAULT_WEIGHTS, "onnx", precision="float16"), UnknownName, "float16"),
    (ExportConfig(DEFAULT_WEIGHTS, "onnx", precision="bfloat16"), UsageError, "no onnx files in bfloat16"),
    (ExportConfig(DEFAULT_WEIGHTS, "torch", precision="int8", calibrate="x"), UsageError, "no torch files in int8"),
    (ExportConfig(DEFAULT_WEIGHTS, "openvino", precision="int8"), UsageError, "--calibrate"),
    (ExportConfig(DEFAULT_WEIGHTS, "openvino", calibrate="x"), UsageError, "--calibrate"),
    (
        ExportConfig(DEFAULT_WEIGHTS, "onnx", precision="int8", calibrate="x", data="x", max_iou_drop=1),
        UsageError,
        "--to openvino",
    ),
    (
        ExportConfig(DEFAULT_WEIGHTS, "openvino", precision="int8", calibrate="x", max_iou_drop=1),
        UsageError,
        "with --data",
    ),
    (
        ExportConfig(DEFAULT_WEIGHTS, "openvino", precision="int8", calibrate="x", data="x", max_iou_drop=float("nan")),
        UsageError,
        "0 to 100",
    ),
    (ExportConfig(DEFAULT_WEIGHTS, "onnx", Path("net.xml")), UsageError, "end in .onnx"),
    (ExportConfig("net.onnx", "openvino"), CheckpointError, "exported file already"),
    (ExportConfig(DEFAULT_WEIGHTS, "onnx", data="camvid:nowhere"), FileError, "nowhere"),
    (ExportConfig(DEFAULT_WEIGHTS, "onnx", images=("nowhere.jpg",)), FileError, "nowhere.jpg"),
]


@pytest.mark.parametrize(("config", "kind", "named"), BAD, ids=[row[2] for row in BAD])
def test_what_cannot_be_exported_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: ExportConfig, kind: type[Exception], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=named):
        export(config)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["net.xml", "net.bin"])
def test_an_earlier_file_is_not_replaced_unasked(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(FileError, match=r"exists already; .* --force"):
        export(ExportConfig(DEFAULT_WEIGHTS, "openvino", tmp_path / "net.xml"))
    assert (tmp_path / there).read_bytes() == b"mine"
