"""What came of an export: what to try after a refusal, its reports, and the report as JSON."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_checkpoint
from fassd.exports.agreement import TOLERANCES, Agreement, ComparedCase
from fassd.exports.layer_drift import LayerDrift, LayerError
from fassd.exports.report import as_json
from fassd.exports.result import ExportConfig, Exported, reports_on

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


def _done(differing: int = 0, drift: LayerDrift | None = None, labels: Any = (), **choices: Any) -> Exported:
    config = replace(ExportConfig(DEFAULT_WEIGHTS, "openvino", Path("a/net.xml")), **choices)
    case = ComparedCase("x", 1, 100, 100, 10_000, differing, 8_000, differing // 2)
    source_iou, export_iou, labeled, available = labels or (None, None, 0, 0)
    agreement = Agreement(TOLERANCES[config.precision], (case,), source_iou, export_iou, labeled, (), None)
    checkpoint = read_checkpoint(locate_weights(DEFAULT_WEIGHTS))
    return Exported(config, checkpoint, "pytorch", {"opset": 18}, agreement, available, drift, 12, "abc", False)


DRIFT = LayerDrift((LayerError("a", 0.01),), "int8", None)
NAMED = LayerDrift((LayerError("a", 0.5),), "int8", "a")


@pytest.mark.parametrize(
    ("differing", "drift", "choices", "fix"),
    [
        (0, None, {"precision": "int8"}, ""),
        (0, DRIFT, {"precision": "int8"}, ""),
        (9000, None, {"precision": "int8"}, ""),
        (9000, NAMED, {"precision": "int8"}, ""),
        (9000, DRIFT, {"precision": "int8"}, "calibrate on images more like these, or name labeled --data"),
        (9000, DRIFT, {"precision": "int8", "data": "camvid:x", "max_iou_drop": 0.5}, "calibrate on more images"),
        (9000, DRIFT, {"precision": "int8", "data": "camvid:x", "max_iou_drop": 0.0}, "calibrate on more images"),
    ],
)
def test_only_a_refusal_without_a_drifting_layer_gets_a_fix(
    differing: int, drift: LayerDrift | None, choices: dict[str, Any], fix: str
) -> None:
    done = _done(differing, drift, **choices)
    assert done.kept == (differing == 0)
    assert done.fix.startswith(fix)
    assert bool(done.fix) == bool(fix)


@pytest.mark.parametrize(
    ("labeled", "available", "text"),
    [(5, 5, "5 images of camvid:x test"), (60, 101, "60 of 101 in camvid:x test")],
)
def test_what_was_scored_is_told(labeled: int, available: int, text: str) -> None:
    done = _done(labels=(0.7, 0.7, labeled, available), data="camvid:x", split="test")
    assert done.labeled_images == text


def test_reports_on_a_refused_file_have_names_of_their_own() -> None:
    assert reports_on(Path("a/net.xml"), True) == (Path("a/net.xml.report.json"), Path("a/net.xml.report.html"))
    assert reports_on(Path("a/net.xml"), False) == (Path("a/net.xml.refused.json"), Path("a/net.xml.refused.html"))
    assert _done(9000).reports == reports_on(Path("a/net.xml"), False)
    assert _done().reports == reports_on(Path("a/net.xml"), True)


def test_the_report_in_json_is_complete() -> None:
    done = _done(100, labels=(0.7, 0.75, 5, 9), data="camvid:x", split="test", precision="int8", logits=True)
    report = as_json(done)
    machine = report.pop("machine")
    assert machine
    assert report == {
        "file": "a/net.xml",
        "kept": True,
        "violations": [],
        "kind": "openvino",
        "precision": "int8",
        "ends_in": "logits",
        "bytes": 12,
        "sha256": "abc",
        "weights": DEFAULT_WEIGHTS,
        "network": done.checkpoint.header.network,
        "compared_with": "pytorch",
        "fix": "",
        "tolerance": {"min_equal": 0.98, "min_equal_per_batch": 0.9, "max_iou_drop": 0.005},
        "equal": 0.99,
        "differing_away_from_borders": 50 / 8000,
        "mean_iou": {
            "data": "camvid:x",
            "split": "test",
            "images": 5,
            "available": 9,
            "source": 0.7,
            "export": 0.75,
            "drop": 0.7 - 0.75,
        },
        "first_drifting_layer": None,
        "layers": None,
        "cases": [asdict(case) for case in done.agreement.cases],
        "details": {"opset": 18},
    }


@pytest.mark.parametrize("labels", [(None, None, 0, 0), (0.7, None, 1, 1), (None, 0.7, 1, 1)])
def test_the_report_has_no_mean_iou_without_labels(labels: tuple[Any, ...]) -> None:
    report = as_json(_done(labels=labels))
    assert report["mean_iou"] is None
    assert report["ends_in"] == "class_map"


def test_the_report_lists_layers_and_writes_infinite_errors_as_null() -> None:
    layers = (LayerError("a", 0.01), LayerError("b", float("inf")))
    report = as_json(_done(9000, LayerDrift(layers, "float32", "b")))
    assert report["first_drifting_layer"] == "b"
    assert report["layers"] == [{"layer": "a", "error": 0.01}, {"layer": "b", "error": None}]
    assert report["violations"]
    assert report["kept"] is False
