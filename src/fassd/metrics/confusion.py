"""Scores from an integer confusion matrix over a split.

A row is a true class and a column a predicted class. An extra last column counts pixels that were predicted as no
class: misses of the true class, false positives of none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fassd.core.arrays import ClassMap, Confusion, Labels


def confusion_of(labels: Labels, prediction: ClassMap, classes: int) -> Confusion:
    """Counts pixels by (true class, predicted class).

    Pixels whose label is no class are skipped, whatever was predicted there.

    Args:
        labels: (H, W) of any integer type; a value outside 0..classes - 1 is no class.
        prediction: the same shape; 0..classes - 1 wherever the label is a class.
        classes: how many there are.

    Returns:
        (classes, classes) int64, row = true class, column = predicted class.

    Raises:
        ValueError: the shapes differ, or the prediction at a labeled pixel is no class.
    """
    if labels.shape != prediction.shape:
        raise ValueError(f"labels are {labels.shape} but the prediction is {prediction.shape}")
    valid = (labels >= 0) & (labels < classes)
    predicted = prediction[valid].astype(np.int64)
    if predicted.size and not 0 <= int(predicted.min()) <= int(predicted.max()) < classes:
        raise ValueError(
            f"the prediction holds values from {predicted.min()} to {predicted.max()}, classes are {classes}"
        )
    pairs = labels[valid].astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def class_iou(confusion: Confusion) -> list[float | None]:
    """TP / (TP + FP + FN) of every class; None for a class that is in neither labels nor predictions."""
    hits = np.diag(confusion)
    unions = confusion.sum(0)[: len(hits)] + confusion.sum(1) - hits
    return _ratios(hits, unions)


def mean_iou(confusion: Confusion, classes: Sequence[int] | None = None) -> float | None:
    """Mean over the classes that occur in labels or predictions; None when none does.

    Args:
        confusion: counted pixels.
        classes: only these classes; None means all.
    """
    return mean_of(class_iou(confusion), classes)


def class_accuracy(confusion: Confusion) -> list[float | None]:
    """TP / (TP + FN) of every class, its recall; None for a class that is not in the labels."""
    return _ratios(np.diag(confusion), confusion.sum(1))


def pixel_accuracy(confusion: Confusion) -> float | None:
    """Share of labeled pixels that were predicted right; None without labeled pixels."""
    total = int(confusion.sum())
    return float(np.diag(confusion).sum() / total) if total else None


def frequency_weighted_iou(confusion: Confusion) -> float | None:
    """IoU averaged with weights: a class weighs its share of the labeled pixels. None without labeled pixels."""
    total = int(confusion.sum())
    # A class that has labeled pixels has an IoU.
    weighted = zip(confusion.sum(1).tolist(), class_iou(confusion), strict=True)
    return sum(pixels * (score or 0.0) for pixels, score in weighted) / total if total else None


def mean_of(scores: Sequence[float | None], classes: Sequence[int] | None = None) -> float | None:
    """The mean of the scores that exist; None when none does.

    Args:
        scores: by class.
        classes: only these classes; None means all.
    """
    chosen = scores if classes is None else [scores[label] for label in classes]
    counted = [score for score in chosen if score is not None]
    return sum(counted) / len(counted) if counted else None


def _ratios(parts: Confusion, totals: Confusion) -> list[float | None]:
    return [float(part / total) if total else None for part, total in zip(parts, totals, strict=True)]
