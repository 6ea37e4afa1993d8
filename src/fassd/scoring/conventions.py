"""Which convention gives a published score: the same predictions, scored in the ways that are commonly mixed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

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
from fassd.scoring.count import Report, read_truth
from fassd.scoring.evaluate import NetworkPredictions
from fassd.scoring.prediction_files import FilePredictions

FACTORS = (2, 4, 8)
"""Factors by which labels are downscaled before they are scored, where that is the convention."""

_VALUES = 256

_Scores: TypeAlias = Iterator[tuple[str, float | None]]
"""Conventions with their scores; None where a convention does not apply."""


@dataclass(frozen=True)
class GivenNumber:
    """A score as a user wrote it.

    Attributes:
        value: as a fraction.
        digits: given decimal places of the fraction.
        text: as it was written.
    """

    value: float
    digits: int
    text: str

    def is_met_by(self, score: float) -> bool:
        """Whether the score, rounded or truncated to the given digits, is the number."""
        return abs(score - self.value) < 0.5000001 * 10.0**-self.digits or (
            0 <= score - self.value < 10.0**-self.digits
        )


@dataclass(frozen=True)
class Convention:
    """One way to score, and its result.

    Attributes:
        what: the way, in words.
        score: 0..1.
        meets: whether it is the number that was to be explained.
    """

    what: str
    score: float
    meets: bool


def parse_number(text: str) -> GivenNumber:
    """Reads "76.3", "76.3%" or "0.763": a number above 1 or with a percent sign is in percent.

    Raises:
        UsageError: not a number from 0 to 100, or a bare 0 or 1, which is ambiguous.
    """
    try:
        given = Decimal(text.strip().rstrip("%").strip())
    except InvalidOperation:
        given = Decimal(-1)
    if not given.is_finite() or not 0 <= given <= 100:
        raise UsageError(f"--explain {text}: expected a score such as 76.3 (percent) or 0.763 (a fraction)")
    exponent = given.as_tuple().exponent
    assert isinstance(exponent, int)
    percent = "%" in text or given > 1
    if not percent and exponent >= 0:
        raise UsageError(
            f"--explain {text}: is it a fraction or percent? Write {given}% or {100 * given}%, or more digits"
        )
    return GivenNumber(float(given / 100 if percent else given), max(0, -exponent) + 2 * percent, text.strip())


def explain(
    number: GivenNumber, report: Report, predictions: NetworkPredictions | FilePredictions, watch: Watch = ignore_events
) -> list[Convention]:
    """Scores the fully annotated frames under every convention.

    Those that give the number come first, the most common of them at the top; then the others, the nearest first.

    Args:
        number: to explain.
        report: of the same predictions.
        predictions: a network's, which allow more conventions, or a folder's.
        watch: gets "explained" after each image.
    """
    dataset = predictions.dataset
    counted = _Counted(len(report.label_space))
    for index, sample in enumerate(dataset):
        if sample.annotated is None:
            class_map = predictions(index, sample).class_map
            counted.add(sample.labels, class_map)
            for name, labels, other in _other_maps(predictions, index, sample, class_map):
                counted.add_other(name, labels, other)
        watch(Event("explained", {"done": index + 1, "total": len(dataset), "name": sample.name}))
    scores = [*_from_counts(counted), *_from_official(report), *_from_images(counted), *_from_other_counts(counted)]
    found = [Convention(what, score, number.is_met_by(score)) for what, score in scores if score is not None]
    # Listed from the most to the least common, which a stable sort keeps among those that give the number.
    return sorted(found, key=lambda one: -1.0 if one.meets else abs(one.score - number.value))


@dataclass
class _Counted:
    """What the conventions need, counted in one pass over the images.

    Attributes:
        classes: how many there are.
        pairs: (256, 256) pixels by (label value, predicted value).
        float32_sum: the confusion matrix, summed in single precision.
        image_iou: IoU by class, of each image.
        other: pixels by (label value, predicted value) under other conventions, by their names.
        images: images counted under these, by their names.
    """

    classes: int
    pairs: Confusion = field(default_factory=lambda: np.zeros((_VALUES, _VALUES), np.int64))
    float32_sum: Any = 0
    image_iou: list[list[float | None]] = field(default_factory=list)
    other: dict[str, Confusion] = field(default_factory=dict)
    images: Counter[str] = field(default_factory=Counter)

    def add(self, labels: Labels, class_map: ClassMap) -> None:
        """Counts an image as it is to be scored."""
        pairs = _count_pairs(labels, class_map)
        self.pairs += pairs
        # Some programs keep their matrix in single precision: beyond 16.7 million, small additions are lost.
        self.float32_sum = self.float32_sum + pairs[: self.classes, : self.classes].astype(np.float32)
        self.image_iou.append(class_iou(self.confusion(pairs)))

    def add_other(self, name: str, labels: Labels, class_map: ClassMap) -> None:
        """Counts an image under another convention."""
        self.other.setdefault(name, np.zeros((_VALUES, _VALUES), np.int64))
        self.other[name] += _count_pairs(labels, class_map)
        self.images[name] += 1

    def confusion(self, pairs: Confusion) -> Confusion:
        """The confusion matrix, with a last column for predictions that are no class."""
        rows = pairs[: self.classes]
        return np.concatenate([rows[:, : self.classes], rows[:, self.classes :].sum(1, keepdims=True)], 1)


def _count_pairs(labels: Labels, class_map: ClassMap) -> Confusion:
    """(256, 256) pixels by (label value, predicted value)."""
    pairs = labels.astype(np.uint16)
    pairs <<= 8
    pairs |= class_map
    return np.bincount(pairs.ravel(), minlength=_VALUES * _VALUES).reshape(_VALUES, _VALUES).astype(np.int64)


def _other_maps(
    predictions: NetworkPredictions | FilePredictions, index: int, sample: Sample, class_map: ClassMap
) -> Iterator[tuple[str, Labels, ClassMap]]:
    """Labels and class maps under other conventions, with the name of the convention."""
    label_ids = read_truth(predictions.dataset, index, sample.labels).labels.label_id_map
    if label_ids is not None:
        yield "label ids in the labels taken for train ids", label_ids, class_map
        table = np.full(256, IGNORE, np.uint8)
        table[: len(CITYSCAPES)] = [label.label_id for label in CITYSCAPES.classes]
        yield "train ids in the labels, label ids in the predictions", sample.labels, table[class_map]
    for factor in FACTORS:
        if min(sample.labels.shape) >= factor:
            smaller = f"labels and class maps downscaled {factor} times (nearest, {{}} of each block) before scoring"
            first = sample.labels[::factor, ::factor], class_map[::factor, ::factor]
            yield smaller.format("the first pixel"), *first
            centers = _centers(sample.labels, factor), _centers(class_map, factor)
            yield smaller.format("as Pillow, the center"), *centers
    if isinstance(predictions, NetworkPredictions):
        yield from _other_inputs(predictions, sample)


def _centers(labels: Labels, factor: int) -> Labels:
    height, width = labels.shape
    size = width // factor, height // factor
    return np.array(PIL.Image.fromarray(labels).resize(size, PIL.Image.Resampling.NEAREST))


def _other_inputs(predictions: NetworkPredictions, sample: Sample) -> Iterator[tuple[str, Labels, ClassMap]]:
    """The network's predictions for a changed input or output size; those that it refuses are omitted."""
    runtime, labels = predictions.runtime, sample.labels
    height, width = labels.shape
    half = labels[::2, ::2]
    ways: dict[str, tuple[Labels, Callable[[], Any]]] = {
        "blue and red exchanged in the input (BGR for RGB)": (
            labels,
            lambda: runtime.segment(np.ascontiguousarray(sample.image[None, :, :, ::-1])),
        ),
        "logits upsampled to half the labels' size, labels halved": (
            half,
            lambda: runtime.segment(sample.image[None], size=half.shape),
        ),
        "the image and its labels halved": (half, lambda: runtime.segment(_halved(sample.image)[None])),
        "the image halved, the class map upsampled (nearest)": (
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


def _from_counts(counted: _Counted) -> _Scores:
    """Scores of one matrix over the split."""
    confusion = counted.confusion(counted.pairs)
    iou = class_iou(confusion)
    labeled = np.flatnonzero(confusion.sum(1)).tolist()
    dice = [None if score is None else 2 * score / (1 + score) for score in iou]
    yield "mean IoU: one matrix over the split, ignored pixels and absent classes omitted", mean_of(iou)
    yield "absent classes counted as 1", mean_of([1.0 if score is None else score for score in iou])
    yield "absent classes counted as 0", mean_of([score or 0.0 for score in iou])
    yield "classes without labels omitted, though predicted", mean_of(iou, labeled)
    yield "frequency-weighted IoU instead of the mean", frequency_weighted_iou(confusion)
    yield "pixel accuracy instead of IoU", pixel_accuracy(confusion)
    yield "mean class accuracy (recall) instead of IoU", mean_of(class_accuracy(confusion))
    yield "mean Dice (F1) instead of IoU", mean_of(dice)
    yield "counts kept in single precision", mean_iou(counted.float32_sum) if counted.image_iou else None
    yield from _with_ignored(counted, confusion)


def _with_ignored(counted: _Counted, confusion: Confusion) -> _Scores:
    """Scores in which ignored pixels count."""
    classes = counted.classes
    ignored = counted.pairs[IGNORE, :classes]
    if not ignored.any():
        return
    extra_row = np.zeros((1, classes + 1), np.int64)
    extra_row[0, :classes] = ignored
    iou = class_iou(np.concatenate([confusion, extra_row]))
    yield "ignored pixels are false positives of the predicted class", mean_of(iou[:classes])
    yield "ignored pixels are one more class", mean_of(iou)
    as_first = confusion.copy()
    as_first[0, :classes] += ignored
    yield "ignored pixels belong to the first class (255 turned into 0)", mean_iou(as_first)
    total = int(confusion.sum() + ignored.sum())
    yield "pixel accuracy with ignored pixels counted as wrong", float(np.trace(confusion[:, :-1])) / total


def _from_official(report: Report) -> _Scores:
    if report.official is not None:
        averages = report.official.result().averages
        yield "Cityscapes' IoU of categories", averages["categories"]
        yield "Cityscapes' iIoU of classes", averages["instance_classes"]
        yield "Cityscapes' iIoU of categories", averages["instance_categories"]


def _from_images(counted: _Counted) -> _Scores:
    """Scores of single images, averaged."""
    images = counted.image_iou
    yield "mean over images of each image's mean IoU", mean_of([mean_of(iou) for iou in images])
    ones = [mean_of([1.0 if score is None else score for score in iou]) for iou in images]
    yield "mean over images, absent classes counted as 1 in each", mean_of(ones)
    zeros = [mean_of([score or 0.0 for score in iou]) for iou in images]
    yield "mean over images, absent classes counted as 0 in each", mean_of(zeros)
    of_class = [mean_of([iou[label] for iou in images]) for label in range(counted.classes)]
    yield "each class averaged over the images that have it, then over classes", mean_of(of_class)


def _from_other_counts(counted: _Counted) -> _Scores:
    for name, pairs in counted.other.items():
        # A convention that some images are too small for cannot be the one that was used.
        if counted.images[name] == len(counted.image_iou):
            yield name, mean_iou(counted.confusion(pairs))
