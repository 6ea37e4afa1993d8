"""Scores from an integer confusion matrix over a whole split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fassd.core.arrays import ClassMap, Confusion, Labels


def confusion_of(labels: Labels, answer: ClassMap, classes: int) -> Confusion:
    """Pixels counted by (true class, predicted class).

    A pixel whose label is no class is skipped, whatever was answered there.

    Args:
        labels: (H, W) of any integer type; a value outside 0..classes - 1 is no class.
        answer: the same shape; 0..classes - 1 wherever the label is a class.
        classes: how many there are.

    Returns:
        (classes, classes) int64, row = true class, column = predicted class.

    Raises:
        ValueError: the shapes differ, or the answer at a labelled pixel is no class.
    """
    if labels.shape != answer.shape:
        raise ValueError(f"labels are {labels.shape} but the answer is {answer.shape}")
    valid = (labels >= 0) & (labels < classes)
    predicted = answer[valid].astype(np.int64)
    if predicted.size and not 0 <= int(predicted.min()) <= int(predicted.max()) < classes:
        raise ValueError(f"the answer holds values from {predicted.min()} to {predicted.max()}, classes are {classes}")
    pairs = labels[valid].astype(np.int64) * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def class_iou(confusion: Confusion) -> list[float | None]:
    """TP / (TP + FP + FN) of each class; None for a class that is in neither labels nor answer."""
    hits = np.diag(confusion)
    unions = confusion.sum(0) + confusion.sum(1) - hits
    return [float(hit / union) if union else None for hit, union in zip(hits, unions, strict=True)]


def mean_iou(confusion: Confusion, among: Sequence[int] | None = None) -> float | None:
    """Mean over the classes that occur in labels or answer; None when none does.

    Args:
        confusion: counted pixels.
        among: only these classes; None means all.
    """
    scores = class_iou(confusion)
    present = [scores[label] for label in (among if among is not None else range(len(scores)))]
    counted = [score for score in present if score is not None]
    return sum(counted) / len(counted) if counted else None


def pixel_accuracy(confusion: Confusion) -> float | None:
    """Share of labelled pixels that were answered right; None without labelled pixels."""
    total = int(confusion.sum())
    return float(np.diag(confusion).sum() / total) if total else None
