"""An exported file against its source: the same images to both, every pixel of the two answers compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from fassd.runtimes.exported import Array, ExportedFile

BORDER = 2
"""Pixels so near to a border of the source's class map, or nearer, are at the border."""

_DRAWN, _TOLD = 4, 3
# The maps of all layers take some 500 times as many bytes.
_LAYER_PIXELS = 500_000
# A small picture may have as many differing pixels before its share of them says anything.
_ROUNDED = 5


@dataclass(frozen=True)
class Tolerance:
    """How far an export may be from its source.

    Attributes:
        equal: share of all pixels that must be answered alike.
        each: the same for every single batch, so that a fault in one size is not lost among others.
        iou_drop: where labels are given, what the mean IoU may lose, instead of `equal`; None: `equal` holds anyway.
    """

    equal: float
    each: float
    iou_drop: float | None = None


TOLERANCES = {
    "float32": Tolerance(0.9999, 0.9995),
    "bfloat16": Tolerance(0.995, 0.97),
    "int8": Tolerance(0.98, 0.9, iou_drop=0.005),
}


class Source(Protocol):
    """What an export is compared with: a runtime in float32."""

    def segment(self, images: Images) -> ClassMaps:
        """See `Runtime.segment`."""
        ...


@dataclass(frozen=True)
class Case:
    """Images that are answered at once.

    Attributes:
        name: what they are, for people.
        images: (N, H, W, 3) uint8 RGB.
        labels: (H, W) of the only image, a class or IGNORE; None where the truth is not known.
    """

    name: str
    images: Images
    labels: Labels | None = None


@dataclass(frozen=True)
class Compared:
    """One case, compared.

    Attributes:
        name: of the case.
        images: how many, `height` x `width` each.
        pixels: of all its images.
        differing: pixels that were answered otherwise.
        inner: pixels farther than `BORDER` from every border of the source's class map.
        inner_differing: of those, the ones that were answered otherwise.
        problem: why the file gave no class maps, if it gave none; every pixel then counts as differing.
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
    """An image and both answers, to be drawn."""

    name: str
    image: Image
    source: Labels
    export: Labels


@dataclass(frozen=True)
class Agreement:
    """How an export compares with its source.

    Attributes:
        contract: that it has to keep.
        cases: in the order of comparison.
        source_iou, export_iou: mean IoU on the labeled images; None without labels.
        labeled: how many images had labels.
        worst: those with the largest shares of differing pixels, the largest first; without any, the largest images.
        telling: the images of the case with the largest share, of those that are small enough to look at every layer;
            None if the file answered none of them.
    """

    contract: Tolerance
    cases: tuple[Compared, ...]
    source_iou: float | None
    export_iou: float | None
    labeled: int
    worst: tuple[Disagreement, ...]
    telling: Images | None

    @property
    def equal(self) -> float:
        """Share of all pixels that were answered alike."""
        return 1 - sum(one.differing for one in self.cases) / sum(one.pixels for one in self.cases)

    @property
    def inner_differing(self) -> float:
        """Share of the pixels away from borders that were answered otherwise."""
        return sum(one.inner_differing for one in self.cases) / max(1, sum(one.inner for one in self.cases))

    @property
    def violations(self) -> tuple[str, ...]:
        """What breaks the contract, a sentence each; none where it is kept."""
        found = []
        judged_by_iou = self.contract.iou_drop is not None and self.source_iou is not None
        if judged_by_iou:
            assert self.source_iou is not None
            assert self.contract.iou_drop is not None
            drop = self.source_iou - (self.export_iou or 0.0)
            if drop > self.contract.iou_drop:
                found.append(f"mean IoU drops by {100 * drop:.2f} points; at most {100 * self.contract.iou_drop:g} may")
        elif self.equal < self.contract.equal:
            found.append(f"{percent(self.equal)} of the pixels are equal; at least {percent(self.contract.equal)} must")
        for one in self.cases:
            if one.problem is not None:
                found.append(f"{one.name}: {one.problem}")
            elif one.differing > max(_ROUNDED, (1 - self.contract.each) * one.pixels):
                share = 1 - one.differing / one.pixels
                found.append(f"{one.name}: {percent(share)} equal; at least {percent(self.contract.each)} must")
        return tuple(found)

    @property
    def told(self) -> tuple[str, ...]:
        """The breaches, without those batches that say the same as the ones before."""
        violations = self.violations
        more = len(violations) - _TOLD
        return violations if more <= 1 else (*violations[:_TOLD], f"and so in {more} more batches")


def compare(
    source: Source,
    export: ExportedFile,
    ending: str,
    classes: int,
    cases: Iterable[Case],
    contract: Tolerance,
    watch: Watch = ignore_events,
) -> Agreement:
    """Gives each case to source and export and compares the answers.

    Args:
        source: in float32.
        export: executed by its library alone.
        ending: `graph.LOGITS` if the export ends in them: they are then enlarged as everywhere here.
        classes: how many there are.
        cases: at least one; taken one by one.
        contract: to keep.
        watch: gets "compared" after each.
    """
    compared, worst = [], _Worst()
    confusions = _Confusions(classes)
    for case in cases:
        expected = source.segment(case.images)
        found, problem = _answer(export, ending, case.images)
        compared.append(_compared(case, expected, found, problem))
        if found is not None:
            worst.offer(case, expected, found)
            confusions.add(case, expected, found)
        watch(Event("compared", {"done": len(compared), "name": case.name}))
    ious = confusions.mean_ious()
    return Agreement(contract, tuple(compared), *ious, confusions.images, worst.taken(), worst.telling)


def percent(share: float) -> str:
    """A share near 1, with as many digits as keep it from reading 100 % where it is not."""
    for digits in (2, 3, 4, 5):
        text = f"{100 * share:.{digits}f}"
        if share == 1 or float(text) < 100:
            break
    return f"{text} %"


def _answer(export: ExportedFile, ending: str, images: Images) -> tuple[ClassMaps | None, str | None]:
    """The export's class maps, or why there are none."""
    try:
        answer = export.answer(images)
    except Exception as error:
        # Whatever a library raises, the file cannot answer; their errors share no class.
        return None, f"the file cannot be executed: {' '.join(str(error).split())[:160]}"
    if ending == LOGITS:
        if answer.ndim != 4 or answer.dtype != np.float32 or len(answer) != len(images):
            return None, f"the file answers with {answer.dtype} {answer.shape}, which are no logits of these images"
        try:
            return upsample_argmax(np.ascontiguousarray(answer), images.shape[1:3]), None
        except UsageError as error:
            return None, f"its logits cannot be enlarged: {error}"
    if answer.dtype != np.uint8 or answer.shape != images.shape[:3]:
        return None, f"the file answers with {answer.dtype} {answer.shape} instead of uint8 {images.shape[:3]}"
    return answer, None


def _compared(case: Case, expected: ClassMaps, found: ClassMaps | None, problem: str | None) -> Compared:
    inner = np.stack([near_borders(one, BORDER) == 0 for one in expected])
    differing = np.ones_like(inner) if found is None else found != expected
    return Compared(
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


class _Confusions:
    """Labels against both answers."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._source: Confusion = np.zeros((classes, classes), np.int64)
        self._export = self._source.copy()
        self.images = 0

    def add(self, case: Case, expected: ClassMaps, found: ClassMaps) -> None:
        if case.labels is None:
            return
        self.images += 1
        self._source += confusion_of(case.labels, expected[0], self._classes)
        known = found[0] < self._classes
        # No class at all is a miss of the true class; it must not stop the count.
        wrong: Array = np.where(known, found[0], (case.labels.astype(np.int64) + 1) % self._classes).astype(np.uint8)
        self._export += confusion_of(case.labels, wrong, self._classes)

    def mean_ious(self) -> tuple[float | None, float | None]:
        return mean_iou(self._source), mean_iou(self._export)


class _Worst:
    """The images on which the answers differ most."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, int, int, Disagreement]] = []
        self._seen = 0
        self._share = -1.0
        self.telling: Images | None = None

    def offer(self, case: Case, expected: ClassMaps, found: ClassMaps) -> None:
        share = float((expected != found).mean())
        if expected.size <= _LAYER_PIXELS and share > self._share:
            self._share, self.telling = share, case.images
        for number, (image, one, other) in enumerate(zip(case.images, expected, found, strict=True), 1):
            name = case.name if len(case.images) == 1 else f"{case.name}, image {number}"
            self._seen += 1
            share = float((one != other).mean())
            self._kept.append((-share, -one.size, self._seen, Disagreement(name, image, one, other)))
        self._kept.sort(key=lambda kept: kept[:3])
        del self._kept[_DRAWN:]

    def taken(self) -> tuple[Disagreement, ...]:
        return tuple(kept[3] for kept in self._kept)


def worst_cases(cases: Sequence[Compared], count: int) -> list[Compared]:
    """Those with the largest shares of differing pixels, the largest first."""
    return sorted(cases, key=lambda one: -one.differing / one.pixels)[:count]
