"""What to try after an export is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_checkpoint
from fassd.exports.agreement import TOLERANCES, Agreement, ComparedCase
from fassd.exports.layer_drift import LayerDrift
from fassd.exports.result import ExportConfig, Exported

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
