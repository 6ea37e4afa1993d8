"""An exported file compared with its source: both predict the same images, and every pixel is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fassd.core.arrays import ClassMaps, Confusion, Image, Images, Labels
from fassd.core.errors import UsageError
from fassd.core.types import Event, Watch, ignore_events
from fassd.kernels.upsample_argmax import upsample_argmax
from fassd.metrics.borders import near_borders
from fassd.metrics.confusion import confusion_of, mean_iou
from fassd.networks.graph import LOGITS
from fassd.runtimes.exported import AccuracyBound, Array, ExportedFile

BORDER = 2
"""Pixels at most this far from a border of the source's class map are at the border."""

_DRAWN, _MAIN_VIOLATIONS = 4, 3
# The maps of all layers take some 500 times as many bytes.
_LAYER_PIXELS = 500_000
# In a small image, a share of so few differing pixels says nothing.
_ROUNDED = 5


@dataclass(frozen=True)
class Tolerance:
    """How far an export may be from its source.

    Attributes:
        min_equal: share of all pixels that must be equal, 0 to 1.
        min_equal_per_batch: the same for every single batch, so that a fault in one size is not lost in the mean.
        max_iou_drop: largest loss of mean IoU, 0 to 1. Where there are labels, this replaces `min_equal`; None: it
            does not.
    """

    min_equal: float
    min_equal_per_batch: float
    max_iou_drop: float | None = None


TOLERANCES = {
    "float32": Tolerance(0.9999, 0.9995),
    "bfloat16": Tolerance(0.995, 0.97),
    "int8": Tolerance(0.98, 0.9, max_iou_drop=0.005),
}


class Source(Protocol):
    """What an export is compared with: a runtime in float32."""

    def segment(self, images: Images) -> ClassMaps:
        """See `Runtime.segment`."""
        ...


@dataclass(frozen=True)
class Case:
    """Images that are predicted at once.

    Attributes:
        name: for people.
        images: (N, H, W, 3) uint8 RGB.
        labels: (H, W) of the only image, a class or IGNORE; None without ground truth.
    """

    name: str
    images: Images
    labels: Labels | None = None


@dataclass(frozen=True)
class ComparedCase:
    """The comparison of one case.

    Attributes:
        name: of the case.
        images: how many, `height` x `width` each.
        pixels: of all its images.
        differing: pixels whose predictions differ.
        inner: pixels farther than `BORDER` from every border of the source's class map.
        inner_differing: differing pixels among these.
        problem: why the file gave no class maps; every pixel then counts as differing. None: it gave some.
    """

    name: str
    images: int
    height: int
    width: int
    pixels: int
    differing: int
    inner: int
    inner_differing: int
    problem: str | None = None


@dataclass(frozen=True)
class Disagreement:
    """An image with the predictions of source and export, to be drawn."""

    name: str
    image: Image
    source: Labels
    export: Labels


@dataclass(frozen=True)
class Agreement:
    """How an export compares with its source.

    Attributes:
        tolerance: that it is held to.
        cases: in the order of comparison.
        source_iou, export_iou: mean IoU on the labeled images; None without labels.
        labeled: number of images with labels.
        worst: those with the largest shares of differing pixels, the largest first; without any, the largest images.
        worst_small: of the cases that are small enough to compare every layer, the images of the one with the
            largest share; None if the file predicted none of them.
    """

    tolerance: Tolerance
    cases: tuple[ComparedCase, ...]
    source_iou: float | None
    export_iou: float | None
    labeled: int
    worst: tuple[Disagreement, ...]
    worst_small: Images | None

    @property
    def equal(self) -> float:
        """Share of all pixels that are equal."""
        return 1 - sum(one.differing for one in self.cases) / sum(one.pixels for one in self.cases)

    @property
    def inner_differing(self) -> float:
        """Share of the pixels away from borders that differ."""
        return sum(one.inner_differing for one in self.cases) / max(1, sum(one.inner for one in self.cases))

    @property
    def violations(self) -> tuple[str, ...]:
        """What exceeds the tolerance, one sentence each; empty if nothing does."""
        found = []
        allowed = self.tolerance
        if allowed.max_iou_drop is not None and self.source_iou is not None:
            drop = self.source_iou - (self.export_iou or 0.0)
            if drop > allowed.max_iou_drop:
                found.append(f"mean IoU drops by {100 * drop:.2f} points; at most {100 * allowed.max_iou_drop:g} may")
        elif self.equal < allowed.min_equal:
            equal, least = percent_below_100(self.equal), percent_below_100(allowed.min_equal)
            found.append(f"{equal} of the pixels are equal; at least {least} must")
        for one in self.cases:
            if one.problem is not None:
                found.append(f"{one.name}: {one.problem}")
            elif one.differing > max(_ROUNDED, (1 - allowed.min_equal_per_batch) * one.pixels):
                equal = percent_below_100(1 - one.differing / one.pixels)
                found.append(
                    f"{one.name}: {equal} equal; at least {percent_below_100(allowed.min_equal_per_batch)} must"
                )
        return tuple(found)

    @property
    def main_violations(self) -> tuple[str, ...]:
        """The first violations, and how many more batches exceed the tolerance."""
        violations = self.violations
        more = len(violations) - _MAIN_VIOLATIONS
        return violations if more <= 1 else (*violations[:_MAIN_VIOLATIONS], f"and {more} more batches exceed it")


def compare(
    source: Source,
    export: ExportedFile,
    ending: str,
    classes: int,
    cases: Iterable[Case],
    tolerance: Tolerance,
    watch: Watch = ignore_events,
) -> Agreement:
    """Compares the predictions of source and export, case by case.

    Args:
        source: in float32.
        export: executed by its library alone.
        ending: `graph.LOGITS` if the export ends in them; the kernel that every runtime uses then upsamples them.
        classes: how many there are.
        cases: at least one; read one by one.
        tolerance: that the export is held to.
        watch: gets "compared" after each case.
    """
    compared: list[ComparedCase] = []
    worst = _Worst()
    labeled = 0
    source_confusion: Confusion = np.zeros((classes, classes), np.int64)
    export_confusion = source_confusion.copy()
    for case in cases:
        expected = source.segment(case.images)
        found, problem = _predict(export, ending, case.images)
        compared.append(_compared(case, expected, found, problem))
        if found is not None:
            worst.add(case, expected, found)
        if found is not None and case.labels is not None:
            labeled += 1
            source_confusion += confusion_of(case.labels, expected[0], classes)
            # A value that is no class must count as a miss of the true class, not stop the comparison.
            miss = (case.labels.astype(np.int64) + 1) % classes
            counted: Array = np.where(found[0] < classes, found[0], miss).astype(np.uint8)
            export_confusion += confusion_of(case.labels, counted, classes)
        watch(Event("compared", {"done": len(compared), "name": case.name}))
    ious = mean_iou(source_confusion), mean_iou(export_confusion)
    return Agreement(tolerance, tuple(compared), *ious, labeled, worst.largest(), worst.small)


def mean_iou_bound(points: float, classes: int, cases: Sequence[Callable[[], Case]]) -> AccuracyBound:
    """A bound on the loss of mean IoU, scored on the same images and in the same way as `compare` does afterwards.

    Args:
        points: of mean IoU, 0 to 100.
        classes: how many there are.
        cases: each makes a case; those with labels are scored.
    """

    def score(export: ExportedFile) -> float:
        confusion = np.zeros((classes, classes), np.int64)
        for make in cases:
            case = make()
            if case.labels is not None:
                logits = np.ascontiguousarray(export.run(case.images))
                confusion += confusion_of(case.labels, upsample_argmax(logits, case.images.shape[1:3])[0], classes)
        return mean_iou(confusion) or 0.0

    return AccuracyBound(score, points / 100)


def percent_below_100(share: float) -> str:
    """A share near 1 in per cent, with so many digits that only 1 itself reads "100.00 %"."""
    for digits in (2, 3, 4, 5):
        text = f"{100 * share:.{digits}f}"
        if share == 1 or float(text) < 100:
            break
    return f"{text} %"


def worst_cases(cases: Sequence[ComparedCase], count: int) -> list[ComparedCase]:
    """Those with the largest shares of differing pixels, the largest first."""
    return sorted(cases, key=lambda one: -one.differing / one.pixels)[:count]


def _predict(export: ExportedFile, ending: str, images: Images) -> tuple[ClassMaps | None, str | None]:
    """The export's class maps, or why there are none."""
    try:
        output = export.run(images)
    except Exception as error:
        # Errors of these libraries share no base class.
        return None, f"the file cannot be executed: {' '.join(str(error).split())[:160]}"
    if ending == LOGITS:
        if output.ndim != 4 or output.dtype != np.float32 or len(output) != len(images):
            return None, f"the file gives {output.dtype} {output.shape}, which are not logits of these images"
        try:
            return upsample_argmax(np.ascontiguousarray(output), images.shape[1:3]), None
        except UsageError as error:
            return None, f"its logits cannot be upsampled: {error}"
    if output.dtype != np.uint8 or output.shape != images.shape[:3]:
        return None, f"the file gives {output.dtype} {output.shape} instead of uint8 {images.shape[:3]}"
    return output, None


def _compared(case: Case, expected: ClassMaps, found: ClassMaps | None, problem: str | None) -> ComparedCase:
    inner = np.stack([near_borders(one, BORDER) == 0 for one in expected])
    differing = np.ones_like(inner) if found is None else found != expected
    return ComparedCase(
        name=case.name,
        images=len(expected),
        height=expected.shape[1],
        width=expected.shape[2],
        pixels=expected.size,
        differing=int(differing.sum()),
        inner=int(inner.sum()),
        inner_differing=int((differing & inner).sum()),
        problem=problem,
    )


class _Worst:
    """The images on which the predictions differ most; memory for only `_DRAWN` of them is held."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, int, int, Disagreement]] = []
        self._seen = 0
        self._small_share = -1.0
        self.small: Images | None = None

    def add(self, case: Case, expected: ClassMaps, found: ClassMaps) -> None:
        share = float((expected != found).mean())
        if expected.size <= _LAYER_PIXELS and share > self._small_share:
            self._small_share, self.small = share, case.images
        for number, (image, one, other) in enumerate(zip(case.images, expected, found, strict=True), 1):
            name = case.name if len(case.images) == 1 else f"{case.name}, image {number}"
            self._seen += 1
            share = float((one != other).mean())
            self._kept.append((-share, -one.size, self._seen, Disagreement(name, image, one, other)))
        self._kept.sort(key=lambda kept: kept[:3])
        del self._kept[_DRAWN:]

    def largest(self) -> tuple[Disagreement, ...]:
        return tuple(kept[3] for kept in self._kept)
