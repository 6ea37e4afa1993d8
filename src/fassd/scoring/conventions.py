"""Which convention gives somebody's number: the same answers scored again in the ways that people mix up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import PIL.Image

from fassd.core.arrays import IGNORE, ClassMap, Confusion, Image, Labels
from fassd.core.errors import FassdError, UsageError
from fassd.core.labels import CITYSCAPES
from fassd.core.types import Event, Sample, Watch, ignore_events
from fassd.metrics.confusion import (
    class_accuracy,
    class_iou,
    frequency_weighted_iou,
    mean_iou,
    mean_of,
    pixel_accuracy,
)
from fassd.scoring.count import Report, truth_of
from fassd.scoring.evaluate import NetworkPredictions
from fassd.scoring.prediction_files import FileAnswers

SHRUNK = (2, 4, 8)
"""By how much labels are made smaller before they are scored, where that is the convention."""

_NONE = 256  # What stands for "no class" among counts of 8-bit values.


@dataclass(frozen=True)
class GivenNumber:
    """A score as somebody wrote it.

    Attributes:
        value: as a fraction.
        digits: of it that were given, behind the point of the fraction.
        text: as it was written.
    """

    value: float
    digits: int
    text: str

    def is_met_by(self, score: float) -> bool:
        """Whether the score, cut or rounded to the digits given, is the number."""
        return abs(score - self.value) < 0.5000001 * 10.0**-self.digits or (
            0 <= score - self.value < 10.0**-self.digits
        )


@dataclass(frozen=True)
class Convention:
    """One way to score: what is done, and what comes out; None where it says nothing."""

    what: str
    score: float | None


@dataclass
class _Tallies:
    """What the conventions need, counted in one pass."""

    classes: int
    pairs: Confusion = field(default_factory=lambda: np.zeros((_NONE, _NONE), np.int64))
    floats: Any = None
    images: list[list[float | None]] = field(default_factory=list)
    other: dict[str, Confusion] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)

    def plus(self, name: str, labels: Labels, answer: ClassMap) -> None:
        """Adds an image to one of the other ways of counting."""
        self.other.setdefault(name, np.zeros((_NONE, _NONE), np.int64))
        self.other[name] += _pairs(labels, answer)
        self.counted[name] += 1


def parse_number(text: str) -> GivenNumber:
    """Reads "76.3", "76.3%" or "0.763": above 1, or with a per cent sign, it is per cent.

    Raises:
        UsageError: not a number from 0 to 100, or a lone 0 or 1, which may mean either.
    """
    try:
        given = Decimal(text.strip().rstrip("%").strip())
    except InvalidOperation:
        given = Decimal(-1)
    if not given.is_finite() or not 0 <= given <= 100:
        raise UsageError(f"--explain {text}: expected a score such as 76.3 (per cent) or 0.763 (a fraction)")
    exponent = given.as_tuple().exponent
    assert isinstance(exponent, int)
    per_cent = "%" in text or given > 1
    if not per_cent and exponent >= 0:
        raise UsageError(
            f"--explain {text}: is it a share or per cent? Write {given}% or {100 * given}%, or more digits"
        )
    return GivenNumber(float(given / 100 if per_cent else given), max(0, -exponent) + 2 * per_cent, text.strip())


def explain(
    number: GivenNumber, report: Report, answers: NetworkPredictions | FileAnswers, watch: Watch = ignore_events
) -> list[Convention]:
    """Scores the fully annotated frames under every convention.

    Those that give the number come first, the most ordinary of them at the top; then the others, the nearest first.

    Args:
        number: what is to be explained.
        report: of the same answers.
        answers: a network's, which allow more conventions, or a folder's.
        watch: gets "image" after each image.
    """
    tallies = _Tallies(len(report.label_space))
    for index, sample in enumerate(answers.dataset):
        if sample.annotated is None:
            _count(tallies, answers, index, sample)
        watch(Event("image", {"done": index + 1, "total": len(answers.dataset), "name": sample.name}))
    found = [*_from_counts(tallies), *_from_official(report), *_from_images(tallies), *_from_other_counts(tallies)]
    told = [(convention, convention.score) for convention in found if convention.score is not None]
    # Asked from the most ordinary to the least, which a stable sort keeps among those that give the number.
    told.sort(key=lambda one: -1.0 if number.is_met_by(one[1]) else abs(one[1] - number.value))
    return [convention for convention, _ in told]


def _count(tallies: _Tallies, answers: NetworkPredictions | FileAnswers, index: int, sample: Sample) -> None:
    answer = answers(index, sample).class_map
    counted = _pairs(sample.labels, answer)
    tallies.pairs += counted
    # As a program counts that keeps its matrix in single precision: beyond 16.7 million, small additions are lost.
    floats = counted[: tallies.classes, : tallies.classes].astype(np.float32)
    tallies.floats = floats if tallies.floats is None else tallies.floats + floats
    tallies.images.append(class_iou(_of_classes(counted, tallies.classes)))
    for name, labels, other in _other_maps(answers, index, sample, answer):
        tallies.plus(name, labels, other)


def _other_maps(
    answers: NetworkPredictions | FileAnswers, index: int, sample: Sample, answer: ClassMap
) -> Iterator[tuple[str, Labels, ClassMap]]:
    """Labels and answers that are not the ones to be scored, by the name of the convention."""
    height, width = sample.labels.shape
    raw = truth_of(answers.dataset, index, sample.labels).labels.raw
    if raw is not None:
        yield "label ids in the labels taken for train ids", raw, answer
        table = np.full(256, IGNORE, np.uint8)
        table[: len(CITYSCAPES)] = [label.label_id for label in CITYSCAPES.classes]
        yield "train ids in the labels, label ids in the answers", sample.labels, table[answer]
    for factor in SHRUNK:
        if min(height, width) >= factor:
            made = f"labels and class maps made {factor} times smaller (nearest, {{}} of each block) before scoring"
            yield made.format("the first pixel"), sample.labels[::factor, ::factor], answer[::factor, ::factor]
            yield made.format("as Pillow, the center"), _centers(sample.labels, factor), _centers(answer, factor)
    if isinstance(answers, NetworkPredictions):
        yield from _other_answers(answers, sample)


def _centers(labels: Labels, factor: int) -> Labels:
    height, width = labels.shape
    size = width // factor, height // factor
    return np.array(PIL.Image.fromarray(labels).resize(size, PIL.Image.Resampling.NEAREST))


def _other_answers(answers: NetworkPredictions, sample: Sample) -> Iterator[tuple[str, Labels, ClassMap]]:
    """What the network says when it is asked in another way."""
    runtime, labels = answers.runtime, sample.labels
    height, width = labels.shape
    half = labels[::2, ::2]
    ways: dict[str, tuple[Labels, Callable[[], Any]]] = {
        "blue and red exchanged in the input (BGR for RGB)": (
            labels,
            lambda: runtime.segment(np.ascontiguousarray(sample.image[None, :, :, ::-1])),
        ),
        "logits enlarged to half the labels' size, labels halved": (
            half,
            lambda: runtime.segment(sample.image[None], size=half.shape),
        ),
        "the picture and its labels halved": (half, lambda: runtime.segment(_halved(sample.image)[None])),
        "the picture halved, the class map enlarged (nearest)": (
            labels,
            lambda: runtime.segment(_halved(sample.image)[None]).repeat(2, 1).repeat(2, 2)[:, :height, :width],
        ),
    }
    for name, (scored, segment) in ways.items():
        try:
            yield name, scored, segment()[0]
        except FassdError:
            continue


def _halved(image: Image) -> Image:
    height, width = image.shape[:2]
    return np.array(
        PIL.Image.fromarray(image).resize(((width + 1) // 2, (height + 1) // 2), PIL.Image.Resampling.BILINEAR)
    )


def _pairs(labels: Labels, answer: ClassMap) -> Confusion:
    """Pixels by (label, answer), every 8-bit value for itself."""
    pairs = labels.astype(np.uint16)
    pairs <<= 8
    pairs |= answer
    return np.bincount(pairs.ravel(), minlength=_NONE * _NONE).reshape(_NONE, _NONE).astype(np.int64)


def _of_classes(pairs: Confusion, classes: int) -> Confusion:
    """The confusion matrix with a last column for answers that are no class."""
    rows = pairs[:classes]
    return np.concatenate([rows[:, :classes], rows[:, classes:].sum(1, keepdims=True)], 1)


def _from_counts(tallies: _Tallies) -> Iterator[Convention]:
    """What one matrix over the split can give."""
    classes = tallies.classes
    confusion = _of_classes(tallies.pairs, classes)
    iou = class_iou(confusion)
    labeled = confusion.sum(1) > 0
    yield Convention("mean IoU: one matrix over the split, ignored pixels and absent classes left out", mean_of(iou))
    yield Convention("absent classes counted as 1", mean_of([1.0 if score is None else score for score in iou]))
    yield Convention("absent classes counted as 0", mean_of([score or 0.0 for score in iou]))
    yield Convention("classes without labels left out, though answered", _mean_where(iou, labeled))
    yield Convention("frequency-weighted IoU instead of the mean", frequency_weighted_iou(confusion))
    yield Convention("pixel accuracy instead of IoU", pixel_accuracy(confusion))
    yield Convention("mean class accuracy (recall) instead of IoU", mean_of(class_accuracy(confusion)))
    dice = [None if score is None else 2 * score / (1 + score) for score in iou]
    yield Convention("mean Dice (F1) instead of IoU", mean_of(dice))
    yield Convention("counts kept in single precision", mean_iou(tallies.floats) if tallies.images else None)
    yield from _with_ignored(tallies, confusion)


def _with_ignored(tallies: _Tallies, confusion: Confusion) -> Iterator[Convention]:
    """Ignored pixels that count after all."""
    classes = tallies.classes
    ignored = tallies.pairs[IGNORE, :classes]
    if not ignored.any():
        return
    own_row = np.zeros((1, classes + 1), np.int64)
    own_row[0, :classes] = ignored
    square = np.concatenate([confusion, own_row])
    iou = class_iou(square)
    yield Convention("ignored pixels are false alarms of what was answered there", mean_of(iou[:classes]))
    yield Convention("ignored pixels are one class more", mean_of(iou))
    as_first = confusion.copy()
    as_first[0, :classes] += ignored
    yield Convention("ignored pixels carry the first class (255 turned into 0)", mean_iou(as_first))
    total = int(confusion.sum() + ignored.sum())
    yield Convention("pixel accuracy with ignored pixels counted as wrong", float(np.trace(confusion[:, :-1])) / total)


def _from_images(tallies: _Tallies) -> Iterator[Convention]:
    """Scores of single images, averaged."""
    images = tallies.images
    yield Convention("mean over images of each image's mean IoU", mean_of([mean_of(iou) for iou in images]))
    ones = [mean_of([1.0 if score is None else score for score in iou]) for iou in images]
    yield Convention("mean over images, absent classes counted as 1 in each", mean_of(ones))
    zeros = [mean_of([score or 0.0 for score in iou]) for iou in images]
    yield Convention("mean over images, absent classes counted as 0 in each", mean_of(zeros))
    of_class = [mean_of([iou[label] for iou in images]) for label in range(tallies.classes)]
    yield Convention("each class averaged over the images that have it, then over classes", mean_of(of_class))


def _from_other_counts(tallies: _Tallies) -> Iterator[Convention]:
    for name, pairs in tallies.other.items():
        # What some images are too small for, nobody scored so.
        if tallies.counted[name] == len(tallies.images):
            yield Convention(name, mean_iou(_of_classes(pairs, tallies.classes)))


def _from_official(report: Report) -> Iterator[Convention]:
    if report.official is not None:
        averages = report.official.result().averages
        yield Convention("Cityscapes' IoU of categories", averages["categories"])
        yield Convention("Cityscapes' iIoU of classes", averages["instance_classes"])
        yield Convention("Cityscapes' iIoU of categories", averages["instance_categories"])


def _mean_where(scores: Sequence[float | None], chosen: Any) -> float | None:
    return mean_of([score for score, wanted in zip(scores, chosen, strict=True) if wanted])
