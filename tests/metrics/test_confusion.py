from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import parameters  # type: ignore[import-not-found]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fassd.metrics.confusion import (
    class_accuracy,
    class_iou,
    confusion_of,
    frequency_weighted_iou,
    mean_iou,
    mean_of,
    pixel_accuracy,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metric.json").read_text())["cases"]
CASES = pytest.mark.parametrize("case", GOLDEN, ids=range(len(GOLDEN)))


def _images(case: dict[str, Any]) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    if "truth" in case:
        truths, predictions = case["truth"], case["prediction"]
    else:
        truths = parameters.labels("metric", 3, 40, 60, 19)
        hit = (parameters.uniform("metric:hit", (3, 40, 60), 0, 1) < 0.7) & (truths != parameters.IGNORE)
        predictions = np.where(hit, truths, np.floor(parameters.uniform("metric:other", (3, 40, 60), 0, 19)))
    return [
        (np.array(truth), np.array(prediction, np.uint8)) for truth, prediction in zip(truths, predictions, strict=True)
    ]


def _pooled(case: dict[str, Any]) -> np.ndarray[Any, Any]:
    return sum(
        (confusion_of(truth, prediction, case["classes"]) for truth, prediction in _images(case)),
        np.zeros((case["classes"], case["classes"]), np.int64),
    )


@CASES
def test_the_golden_matrices_are_met_exactly(case: dict[str, Any]) -> None:
    assert _pooled(case).tolist() == case["confusion_rows_truth_columns_prediction"]


@CASES
def test_the_golden_scores_are_met(case: dict[str, Any]) -> None:
    confusion = _pooled(case)
    assert class_iou(confusion) == case["iou"]
    assert mean_iou(confusion) == pytest.approx(case["mean_iou"], rel=1e-15)
    assert pixel_accuracy(confusion) == pytest.approx(case["overall_accuracy"], rel=1e-15)


@st.composite
def _labeled(draw: st.DrawFn) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    classes = draw(st.integers(1, 20))
    height, width, seed = draw(st.integers(1, 12)), draw(st.integers(1, 12)), draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, (height, width), np.uint8)
    labels[random.random((height, width)) < 0.2] = draw(st.sampled_from([classes, 250, 255]))
    return labels, random.integers(0, classes, (height, width), np.uint8), classes


@given(_labeled())
@settings(max_examples=60, deadline=None)
def test_counting_pixel_by_pixel_gives_the_same(
    case: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int],
) -> None:
    labels, prediction, classes = case
    counted = [[0] * classes for _ in range(classes)]
    for truth, predicted in zip(labels.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if truth < classes:
            counted[truth][predicted] += 1
    assert confusion_of(labels, prediction, classes).tolist() == counted


@given(_labeled(), st.data())
@settings(max_examples=30, deadline=None)
def test_the_matrices_of_two_parts_add_up_to_that_of_the_whole(
    case: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int], data: st.DataObject
) -> None:
    labels, prediction, classes = case
    cut = data.draw(st.integers(0, labels.shape[0]))
    parts = confusion_of(labels[:cut], prediction[:cut], classes) + confusion_of(
        labels[cut:], prediction[cut:], classes
    )
    assert (parts == confusion_of(labels, prediction, classes)).all()


@given(_labeled())
@settings(max_examples=30, deadline=None)
def test_scores_follow_their_definition(case: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]) -> None:
    labels, prediction, classes = case
    labeled = labels < classes
    confusion = confusion_of(labels, prediction, classes)
    for label, score in enumerate(class_iou(confusion)):
        true, predicted = labels == label, (prediction == label) & labeled
        union = int((true | predicted).sum())
        assert score == (None if union == 0 else (true & predicted).sum() / union)
    right = (labels == prediction)[labeled]
    assert pixel_accuracy(confusion) == (pytest.approx(right.mean()) if right.size else None)


def test_a_perfect_prediction_scores_one() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % 5
    confusion = confusion_of(labels, labels, 5)
    assert class_iou(confusion) == [1.0] * 5
    assert (mean_iou(confusion), pixel_accuracy(confusion)) == (1.0, 1.0)


def test_rows_are_the_truth_and_columns_the_prediction() -> None:
    confusion = confusion_of(np.array([[0, 0, 1]]), np.array([[1, 1, 1]], np.uint8), 2)
    assert confusion.tolist() == [[0, 2], [0, 1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.int64])
def test_matrices_are_int64_whatever_comes_in(dtype: type[np.integer[Any]]) -> None:
    labels = np.full((4, 4), 17, dtype)
    confusion = confusion_of(labels, np.full((4, 4), 18, np.uint8), 19)
    assert (confusion.dtype, confusion[17, 18]) == (np.int64, 16)


@pytest.mark.parametrize("predicted", [0, 4, 5, 200, 255])
def test_an_ignored_pixel_never_counts_whatever_was_predicted(predicted: int) -> None:
    labels = np.array([[0, 255, 250, 5]], np.uint8)
    prediction = np.array([[0, predicted, predicted, predicted]], np.uint8)
    confusion = confusion_of(labels, prediction, 5)
    assert (confusion.sum(), confusion[0, 0]) == (1, 1)


def test_a_negative_label_is_no_class() -> None:
    assert confusion_of(np.array([[-1, 1]]), np.array([[0, 0]], np.uint8), 2).tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("foreign", [5, 255])
def test_a_foreign_prediction_at_a_labeled_pixel_is_refused(foreign: int) -> None:
    with pytest.raises(ValueError, match=f"from 1 to {foreign}, classes are 5"):
        confusion_of(np.zeros((1, 2), np.uint8), np.array([[1, foreign]], np.uint8), 5)


def test_labels_and_prediction_of_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="but the prediction is"):
        confusion_of(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 5)


def test_without_labeled_pixels_there_is_no_score() -> None:
    nothing = confusion_of(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8), 3)
    assert class_iou(nothing) == [None] * 3
    assert (mean_iou(nothing), pixel_accuracy(nothing)) == (None, None)


@pytest.mark.parametrize(
    ("among", "mean"), [(None, 0.4), ([0, 1], 0.6), ([1], 0.2), ([2], 0.0), ([3], None), ([], None)]
)
def test_the_mean_is_over_the_classes_that_occur_among_those_asked_for(
    among: list[int] | None, mean: float | None
) -> None:
    confusion = np.diag([1, 1, 0, 0])
    confusion[1, 2] = 4
    assert class_iou(confusion) == [1.0, 0.2, 0.0, None]
    assert mean_iou(confusion, among) == (None if mean is None else pytest.approx(mean))


@given(
    st.integers(1, 5).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(0, 40), min_size=classes + 1, max_size=classes + 1), min_size=classes, max_size=classes
        )
    )
)
def test_the_other_scores_are_their_definitions(rows: list[list[int]]) -> None:
    """By sums over pixels, with a last column for predictions that were no class."""
    confusion, classes = np.array(rows, np.int64), range(len(rows))
    true = [sum(row) for row in rows]
    predicted = [sum(row[label] for row in rows) for label in classes]
    unions = [true[label] + predicted[label] - rows[label][label] for label in classes]
    iou = [rows[label][label] / unions[label] if unions[label] else None for label in classes]
    assert class_iou(confusion) == iou
    assert class_accuracy(confusion) == [rows[label][label] / true[label] if true[label] else None for label in classes]
    total = sum(true)
    weighted = sum(true[label] * (iou[label] or 0.0) for label in classes) / total if total else None
    assert frequency_weighted_iou(confusion) == (None if weighted is None else pytest.approx(weighted))
    hits = sum(rows[label][label] for label in classes)
    assert pixel_accuracy(confusion) == (hits / total if total else None)
    present = [score for score in iou if score is not None]
    assert mean_iou(confusion) == (pytest.approx(sum(present) / len(present)) if present else None)


def test_a_mean_leaves_out_what_has_no_score() -> None:
    assert mean_of([1.0, None, 0.5]) == 0.75
    assert mean_of([1.0, None, 0.5], classes=[1, 2]) == 0.5
    assert mean_of([None]) is None
