"""An export answers as its source does, or leaves no file."""

from __future__ import annotations

import base64
import hashlib
import io
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
from fassd.core.checkpoint import read_checkpoint, read_header
from fassd.core.errors import CheckpointError, FileError, UnknownName, UsageError
from fassd.core.labels import CAMVID
from fassd.exports.agreement import TOLERANCES, Agreement, ComparedCase, Disagreement
from fassd.exports.images import SHIPPED, Cases, comparison_cases
from fassd.exports.layer_drift import LayerDrift, compare_layers
from fassd.exports.page import disagreement_figure
from fassd.exports.result import ExportConfig, Exported
from fassd.runtimes import onnx_graph, openvino_graph
from fassd.runtimes.onnx_export import ONNXFile
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_core import has_bfloat16
from fassd.tasks.export import export

ASSETS = locate_weights(DEFAULT_WEIGHTS).parents[1] / "assets"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pictures that ship, small."""
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
def test_an_export_keeps_its_contract_and_opens_again(
    config: Callable[..., ExportConfig], tmp_path: Path, to: str, name: str, precision: str, logits: bool
) -> None:
    asked = config(to, tmp_path / name, precision=precision, logits=logits)
    # In small pictures every other pixel is at a border, where bfloat16 decides otherwise.
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


def test_what_does_not_answer_alike_is_removed_and_its_layer_named(
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


FIXES = [
    ({"precision": "bfloat16"}, "--precision float32"),
    ({"precision": "int8", "to": "onnx"}, "labeled --data"),
    ({"precision": "int8", "data": "camvid:x"}, "--max-iou-drop 0.5"),
    ({"precision": "int8", "to": "onnx", "data": "camvid:x"}, "calibrate on more images"),
    ({"precision": "float32"}, ""),
]


@pytest.mark.parametrize(("choices", "fix"), FIXES)
def test_many_small_errors_get_a_remedy(choices: dict[str, str], fix: str) -> None:
    asked = replace(ExportConfig(DEFAULT_WEIGHTS, "openvino", Path("net.xml")), **choices)  # type: ignore[arg-type]
    agreement = Agreement(TOLERANCES["float32"], (ComparedCase("x", 1, 9, 9, 81, 80, 40, 40),), None, None, 0, (), None)
    drift = LayerDrift((), asked.precision, None)
    done = Exported(
        asked, read_checkpoint(locate_weights(DEFAULT_WEIGHTS)), "pytorch", {}, agreement, 0, drift, 1, "", False
    )
    assert not done.kept
    assert fix in done.fix
    assert bool(done.fix) == bool(fix)


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
def test_int8_keeps_to_the_loss_that_was_allowed(
    config: Callable[..., ExportConfig],
    tmp_path: Path,
    pictures: str,
    camvid_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ranking the layers takes minutes: here they are put back from the last to the first."""
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


@pytest.mark.parametrize("place", [None, (1, 2), (-2, -3)])
@pytest.mark.parametrize("size", [(57, 57), (359, 639), (540, 405), (2433, 65), (65, 2433), (40, 90), (1080, 1920)])
def test_pictures_of_a_disagreement_are_of_one_shape_and_wide_enough(
    size: tuple[int, int], place: tuple[int, int] | None
) -> None:
    """Whatever the image's shape, and wherever it differs."""
    source = np.full(size, 3, np.uint8)
    answer = source.copy()
    if place is not None:
        answer[place] = 8
    one = Disagreement("street", np.full((*size, 3), 200, np.uint8), source, answer)
    figure = disagreement_figure(one, CAMVID)
    drawn = [
        np.array(Pillow.open(io.BytesIO(base64.b64decode(shot.source.partition(",")[2])))).astype(int)
        for shot in figure.shots
    ]
    assert len(drawn) == 3
    assert {picture.shape[1] for picture in drawn} == {330}
    heights = [picture.shape[0] for picture in drawn]
    assert max(heights) - min(heights) <= 4
    assert 330 / 2.2 <= min(heights) <= max(heights) <= 330 / 0.69
    pink = (np.abs(drawn[0] - (255, 0, 200)).max(-1) < 90).any()
    assert bool(pink) == (place is not None)
    assert [label.name for label in figure.classes] == (["Road"] if place is None else ["Road", "Car"])
    if place is not None:  # what differs stands out in full color, the rest is pale
        colors = [CAMVID.classes[number].color for number in (3, 8)]
        for picture, color in zip(drawn[1:], colors, strict=True):
            full = np.abs(picture - color).max(-1) < 40
            assert 0 < full.mean() < 0.05
