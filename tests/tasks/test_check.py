"""What programs get from a check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.checks.scenes import make_values

from fassd.checks.findings import FINDING_KINDS
from fassd.checks.repair import repair
from fassd.checks.report import report_as_json
from fassd.tasks.check import check


@pytest.fixture
def town(tmp_path: Path) -> Path:
    make_values(tmp_path / "town")
    return tmp_path / "town"


def test_the_report_is_json_with_paths_below_the_set(town: Path) -> None:
    (town / "masks/train/train_1.png").unlink()
    report = json.loads(json.dumps(report_as_json(check(f"folder:{town}", processes=1))))
    assert (report["errors"], report["data"]) == (1, f"folder:{town}")
    assert report["splits"][0]["images"] == 8
    assert report["splits"][0]["sizes"] == {"160x120": 7}
    (fault,) = (one for one in report["findings"] if one["severity"] == "error")
    assert fault["kind"] in FINDING_KINDS
    assert fault["files"] == ["images/train/train_1.jpg"]
    assert all(fault[key] for key in ("title", "split", "found", "expected", "fix"))


def test_a_repair_is_in_the_report(town: Path) -> None:
    (town / "masks/train/train_1.png").write_bytes(b"")
    checked = check(f"folder:{town}", processes=1)
    report = report_as_json(checked, repair(checked, town.with_name("copy")))
    assert report["repaired"]["data"] == f"folder:{town.with_name('copy')}"
    assert [one["kind"] for one in report["repaired"]["done"]] == ["empty-file"]
    assert report["repaired"]["left"] == []
