"""The plot of speed against accuracy, by its pixels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image as Pillow
from tests.speed.made_reports import made, report_on

from fassd.core.arrays import Image
from fassd.core.errors import MissingExtra, UsageError
from fassd.speed.plot import _accuracy, _beside_published, draw_speed
from fassd.speed.report import (
    ScoredOn,
)
from fassd.speed.table_iv import PAPER_SIZE


def _pixels(path: Path) -> Image:
    with Pillow.open(path) as image:
        return np.array(image.convert("RGB"))


def _colors(path: Path) -> set[tuple[int, ...]]:
    return {tuple(int(part) for part in color) for color in np.unique(_pixels(path).reshape(-1, 3), axis=0)}


BLUE, ORANGE, GRAY = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x8D, 0x93, 0x9B)


def test_the_plot_shows_published_points_in_gray_and_measured_ones_in_color(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / "speed.png"
    draw_speed(report_on(made(1000), made(100, "openvino")), path)
    assert _pixels(path).shape == (960, 1500, 3)
    assert {BLUE, ORANGE, GRAY} <= _colors(path)
    draw_speed(report_on(made(1000)), path)
    assert {BLUE, GRAY} <= _colors(path)
    assert ORANGE not in _colors(path)
    assert [file.name for file in path.parent.iterdir()] == ["speed.png"]


@pytest.mark.parametrize("change", [{"size": (64, 96)}, {"network": "peers:mine"}, {"batch": 4}])
def test_a_speed_of_unknown_accuracy_is_a_line_from_top_to_bottom(tmp_path: Path, change: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "speed.png"
    draw_speed(report_on(made(1000, **change)), path)
    blue = (_pixels(path) == BLUE).all(2)
    assert blue.any(1).sum() > 300


CAMVID = ScoredOn("camvid:x", "val", 101, (360, 480))
FULL = ScoredOn("cityscapes:x", "val", 500, PAPER_SIZE)


@pytest.mark.parametrize(
    ("scored_on", "variant", "gray", "point"),
    [
        (None, {"size": PAPER_SIZE}, True, True),
        (None, {"size": PAPER_SIZE, "weights": "w"}, True, False),
        (CAMVID, {"size": (360, 480), "weights": "w"}, False, True),
        (CAMVID, {"size": PAPER_SIZE, "weights": "w"}, False, False),
        (CAMVID, {"size": PAPER_SIZE}, False, False),
        (FULL, {"size": PAPER_SIZE, "weights": "w"}, True, True),
        (FULL, {"size": PAPER_SIZE}, True, True),
        (msgspec.structs.replace(FULL, split="train"), {"size": PAPER_SIZE, "weights": "w"}, False, True),
    ],
)
def test_speeds_stand_only_at_accuracies_that_are_theirs(
    scored_on: ScoredOn | None, variant: dict[str, Any], gray: bool, point: bool
) -> None:
    mean_iou = None if "weights" in variant and scored_on is None else 60.0
    one = msgspec.structs.replace(made(100, **variant), mean_iou=mean_iou)
    report = report_on(one, scored_on=scored_on)
    assert _beside_published(report) == gray
    assert (_accuracy(report, one) is not None) == point


def test_measured_accuracy_is_drawn_without_points_of_other_data(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    one = msgspec.structs.replace(made(100, size=(360, 480), weights="$w"), mean_iou=3.0)
    draw_speed(report_on(one, scored_on=CAMVID), tmp_path / "speed.png")
    pixels = _pixels(tmp_path / "speed.png")
    plot = pixels[200:800, 130:1450]
    assert (plot == BLUE).all(2).any()
    assert not (plot == GRAY).all(2).any()


@pytest.mark.parametrize("suffix", [".svg", ".pdf"])
def test_the_plot_may_be_drawn_in_lines(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"speed{suffix}"
    draw_speed(report_on(made(1000, network="$a_{$strange:name")), path)
    assert path.stat().st_size > 5000


@pytest.mark.parametrize("name", ["speed.gif", "speed", "speed.png.txt"])
def test_a_plot_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"must end in \.png"):
        draw_speed(report_on(made(1000)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_plot_without_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"fassd\[plots\]"):
        draw_speed(report_on(made(1000)), tmp_path / "speed.png")
