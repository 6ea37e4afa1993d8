"""How much mean IoU an export in int8 may cost, as a bound that layers are put back into floating point for."""

from __future__ import annotations

import numpy as np

from fassd.exports.images import Cases
from fassd.kernels.upsample_argmax import upsample_argmax
from fassd.metrics.confusion import confusion_of, mean_iou
from fassd.runtimes.exported import Bound, ExportedFile


def bound_of(points: float, classes: int, cases: Cases) -> Bound:
    """A bound on what the mean IoU may lose, counted as the comparison afterwards counts it, on the same images.

    Args:
        points: of mean IoU, 0 to 100.
        classes: how many there are.
        cases: those with labels are scored on.
    """

    def score(made: ExportedFile) -> float:
        confusion = np.zeros((classes, classes), np.int64)
        for case in (make() for make in cases.whole):
            if case.labels is not None:
                logits = np.ascontiguousarray(made.answer(case.images))
                confusion += confusion_of(case.labels, upsample_argmax(logits, case.images.shape[1:3])[0], classes)
        return mean_iou(confusion) or 0.0

    return Bound(score, points / 100)
