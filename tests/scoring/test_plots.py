"""Plots of an evaluation: what stands where, whatever the font."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fassd.core.arrays import Image
from fassd.core.labels import LabelClass, LabelSpace
from fassd.core.types import Sample
from fassd.data.dataset import Dataset
from fassd.metrics.confusion import mean_iou
from fassd.metrics.counts import WIDTHS
from fassd.runtimes.runtime import Runtime
from fassd.scoring import plots
from fassd.scoring.count import ImageScore
from fassd.scoring.evaluate import evaluate

RED, GREEN, BLUE = (200, 30, 40), (20, 180, 60), (30, 60, 210)
SPACE = LabelSpace("three", (LabelClass("red", RED, 0), LabelClass("green", GREEN, 1), LabelClass("blue", BLUE, 2)))
PANEL, EM, GAP = 960, 22, 10
INK, PAPER = "#22262b", "#ffffff"


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that are drawn, before they become images."""
    made: list[Any] = []
    drawn = plots._drawn

    def noted(figure: Any) -> Image:
        made.append(figure)
        return drawn(figure)

    monkeypatch.setattr(plots, "_drawn", noted)
    return made


def test_a_confusion_plot_has_each_share_in_its_cell(figures: list[Any]) -> None:
    confusion = np.array([[60, 36, 4, 0], [5, 995, 0, 0], [0, 0, 0, 0]])
    image = plots.confusion_plot(confusion, ("a", "b", "c"), [0, 1, 2])
    (axes,) = figures[0].axes
    texts = {text.get_position(): (text.get_text(), text.get_color()) for text in axes.texts}
    assert texts == {
        (0, 0): ("60", PAPER),
        (1, 0): ("36", PAPER),
        (2, 0): ("4", INK),
        (0, 1): ("0", INK),  # 0.5 % is the least that is printed
        (1, 1): ("100", PAPER),
    }
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b", "c (absent)"]
    assert axes.get_xticks(minor=True).tolist() == axes.get_yticks(minor=True).tolist() == [0.5, 1.5]
    squares = np.asarray(axes.images[0].get_array(), np.float64) ** 2
    shares = np.array([[0.6, 0.36, 0.04], [0.005, 0.995, 0.0], [0.0, 0.0, 0.0]])
    assert np.allclose(squares, shares)
    assert (axes.images[0].get_clim(), axes.get_ylabel(), axes.get_xlabel()) == ((0, 1), "truth", "prediction")
    assert figures[0].get_size_inches() == pytest.approx((0.42 * 3 + 3.0, 0.42 * 3 + 2.3))
    assert image.shape[:2] == tuple(int(side * 110) for side in figures[0].get_size_inches()[::-1])


def test_predictions_that_are_no_class_have_a_column_of_their_own_and_a_third_is_in_dark_ink(
    figures: list[Any],
) -> None:
    plots.confusion_plot(np.array([[65, 35, 0], [0, 0, 0]]), ("a", "b"), [0])
    (axes,) = figures[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a"]
    plots.confusion_plot(np.array([[65, 0, 35], [0, 0, 0]]), ("a", "b"), [0])
    (axes,) = figures[1].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "no class"]
    assert [(text.get_position(), text.get_text(), text.get_color()) for text in axes.texts] == [
        ((0, 0), "65", PAPER),
        ((1, 0), "35", INK),
    ]


def test_a_trimap_plot_draws_the_mean_iou_of_each_band(
    figures: list[Any], tiny_runtime: Runtime, dataset: Dataset
) -> None:
    report = evaluate(tiny_runtime, dataset)
    plots.trimap_plot(report)
    (axes,) = figures[0].axes
    part = report.parts[0]
    expected = [100 * (mean_iou(band, part.annotated) or 0.0) for band in part.counts.bands]
    curve, everything = axes.lines
    assert list(curve.get_xdata()) == list(WIDTHS)
    assert list(curve.get_ydata()) == pytest.approx(expected)
    assert everything.get_ydata()[0] == pytest.approx(100 * (part.mean_iou or 0.0))
    assert [text.get_text() for text in axes.texts] == [
        *(f"{value:.1f}" for value in expected),
        f"all pixels {100 * (part.mean_iou or 0.0):.1f}",
    ]
    placed = np.array([text.xy for text in axes.texts[:-1]], np.float64)
    assert np.allclose(placed, np.transpose([WIDTHS, expected]))
    assert axes.get_ylim() == (0, 105)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == [str(width) for width in WIDTHS]


def _panels(height: int = 60, width: int = 80) -> tuple[np.ndarray[Any, Any], int]:
    """Error panels of a made sample, and the height of a panel; the left half is red, the right green, one blue row."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 1
    labels[: height // 4] = 255
    prediction = labels.copy()
    prediction[prediction == 255] = 0
    prediction[-height // 4 :] = 2
    gray = np.full((height, width, 3), 100, np.uint8)
    score = ImageScore(0, "street", (height, width), (0.75, 0.25, 0.0), 1 / 3, 0.6)
    return plots.error_panels(Sample("street", gray, labels), prediction, SPACE, score), PANEL * height // width


def test_error_panels_lie_in_a_square() -> None:
    shown, height = _panels()
    top, pitch = 3 * EM, height + round(1.9 * EM)
    left, right = GAP, PANEL + 2 * GAP
    assert shown.shape[1] == 2 * PANEL + 3 * GAP
    wrong, ignored, plain = (235, 52, 52), (58, 62, 70), (70 + 50 + 12,) * 3
    for column, row, corners in (
        (left, top, [(100, 100, 100)] * 3),
        (right, top, [(0, 0, 0), RED, RED]),
        (left, top + pitch, [RED, RED, BLUE]),
        (right, top + pitch, [ignored, plain, wrong]),
    ):
        first, middle, last = shown[row, column], shown[row + height // 2, column], shown[row + height - 1, column]
        assert [tuple(pixel) for pixel in (first, middle, last)] == corners
        # One pixel further out there is background, but for the caption below.
        assert tuple(shown[row - 1, column]) == tuple(shown[row, column - 1]) == (23, 25, 29)
        assert tuple(shown[row + height // 2, column + PANEL]) == (23, 25, 29)
    assert tuple(shown[top + height // 2, right + PANEL - 1]) == GREEN
    assert tuple(shown[0, 0]) == tuple(shown[-1, -1]) == (23, 25, 29)


def test_the_legend_of_error_panels_has_the_lowest_iou_first() -> None:
    shown, height = _panels()
    top, pitch = 3 * EM, height + round(1.9 * EM)
    under = shown[top + 2 * pitch :]
    assert under.shape[0] == round(1.7 * EM * 2) + EM + GAP
    centers = {}
    for name, color in (("red", RED), ("green", GREEN), ("blue", BLUE)):
        rows, columns = np.nonzero((under == color).all(-1))
        assert rows.size > 0.8 * EM * EM, name  # only the outline and slightly rounded corners are missing
        centers[name] = (float(rows.mean()), float(columns.mean()), np.ptp(rows) + 1, np.ptp(columns) + 1)
    rows_of, columns_of, heights, widths = zip(*centers.values(), strict=True)
    assert np.allclose(rows_of, round(2.9 * EM), atol=0.1)
    assert set(heights) == set(widths) == {EM - 1}
    assert columns_of[2] == pytest.approx(GAP + EM / 2, abs=0.1)
    pitch_of_cells = columns_of[1] - columns_of[2]
    assert columns_of[0] - columns_of[1] == pytest.approx(pitch_of_cells)
    assert pitch_of_cells > 6 * EM
    assert (under == (240, 241, 243)).all(-1).any(), "names are written in nearly white"
    # Name and share stand between a swatch and the next one.
    text = (under[round(2.9 * EM) - EM // 2 : round(2.9 * EM) + EM // 2] != (23, 25, 29)).any(-1).any(0)
    start = round(GAP + 1.5 * EM)
    assert not text[GAP + EM + 2 : start].any()
    assert text[start : start + EM].any()
    assert not text[round(GAP + pitch_of_cells - 1.2 * EM) + 2 : round(GAP + pitch_of_cells) - 1].any()


def test_captions_and_headline_stand_beside_their_panels() -> None:
    shown, height = _panels()
    top, background = 3 * EM, (23, 25, 29)
    assert (shown[:top, GAP:] != background).any()
    assert not (shown[:4] != background).any()
    caption = shown[top + height : top + height + round(1.6 * EM), GAP : GAP + 200]
    rows = np.nonzero((caption != background).any(-1).any(1))[0]
    assert abs((rows.min() + rows.max()) / 2 - 0.8 * EM) < 4
