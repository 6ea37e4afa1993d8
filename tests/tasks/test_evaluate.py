"""Evaluation as a program calls it: its events, and what it does beside scoring."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pillow

from fassd.core.errors import DataError, UsageError
from fassd.core.types import Event
from fassd.scoring.conventions import parse_number
from fassd.tasks.evaluate import EvaluateConfig, evaluate


def test_one_evaluation_scores_saves_reports_and_explains(
    tiny_weights: Path, camvid_root: Path, tmp_path: Path
) -> None:
    seen: list[Event] = []
    config = EvaluateConfig(
        (f"camvid:{camvid_root}",),
        weights=str(tiny_weights),
        save_predictions=tmp_path / "kept",
        report=tmp_path / "report",
        number=parse_number("50.0"),
    )
    (one,) = evaluate(config, seen.append)
    assert [event.kind for event in seen] == ["image", "image", "drawn", "drawn", "explained", "explained"]
    assert [event.values["done"] for event in seen] == [1, 2] * 3
    assert one.conventions
    assert (tmp_path / "report/report.json").is_file()
    (again,) = evaluate(EvaluateConfig(config.data, predictions=tmp_path / "kept"))
    assert again.report.parts[0].confusion.tolist() == one.report.parts[0].confusion.tolist()
    assert again.conventions is None


def test_every_data_set_is_checked_before_the_first_is_scored(
    tiny_weights: Path, camvid_root: Path, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    seen: list[Event] = []
    bad = make_camvid(tmp_path, {"val": 1})
    Pillow.new("L", (128, 96), 12).save(bad / "valannot/val_000.png")
    data = (f"camvid:{camvid_root}", f"camvid:{bad}")
    with pytest.raises(DataError, match="holds the value 12"):
        evaluate(EvaluateConfig(data, weights=str(tiny_weights)), seen.append)
    assert seen == []


def test_a_misspelt_option_is_refused_before_any_file_is_opened(tmp_path: Path) -> None:
    config = EvaluateConfig(("camvid:nowhere",), weights="nothing", report=tmp_path / "report", scales="a")
    with pytest.raises(UsageError, match="--scales is a"):
        evaluate(config)
    assert not (tmp_path / "report").exists()
