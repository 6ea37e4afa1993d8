"""One image scored: the single way in which every answer is counted, a network's or a file's.

What an evaluation found: counts added up over a split, the scores that follow, and how programs read them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np

from fassd.core.arrays import IGNORE, ClassMap, Confusion, Labels
from fassd.core.errors import DataError
from fassd.core.labels import CITYSCAPES, CITYSCAPES_CLASSES, LabelSpace
from fassd.core.types import Sample
from fassd.data.cityscapes import instance_map_of
from fassd.data.dataset import Dataset
from fassd.data.quick_labels import read_values_quickly
from fassd.metrics.cityscapes import CLASSES_OF_RAW_IDS, RAW_IDS_OF_CLASSES, OfficialEvaluation
from fassd.metrics.confusion import (
    class_accuracy,
    class_iou,
    frequency_weighted_iou,
    mean_iou,
    mean_of,
    pixel_accuracy,
)
from fassd.metrics.counts import BOUNDARY_SHARE, SAME, WIDTHS, Coded, Counts, count
from fassd.metrics.official_counts import InstanceIds, OfficialCounts

HIGHEST_RAW_ID = max(row.label_id for row in CITYSCAPES_CLASSES)

_CITYSCAPES_BOUNDARY_SHARE = 0.005
"""The authors of boundary IoU halve their 2 % twice for Cityscapes, whose pictures are so large."""


@dataclass(frozen=True)
class Truth:
    """What is known of an image.

    Attributes:
        labels: a class or IGNORE at every pixel.
        instances: Cityscapes' instance ids, where they are there.
    """

    labels: Coded
    instances: InstanceIds | None = None


Answers: TypeAlias = Callable[[int, Sample], Coded]
"""Where answers come from: takes an image's place in its data set, and the image."""


@dataclass(frozen=True)
class Scored:
    """An image, counted.

    Attributes:
        size: height and width in pixels.
        counts: of the data set's classes.
        official: of Cityscapes' label ids, where they are there.
    """

    size: tuple[int, int]
    counts: Counts
    official: OfficialCounts | None


def has_official_scores(dataset: Dataset) -> bool:
    """Whether the data lie in Cityscapes' layout and are answered in its classes."""
    return dataset.spec.startswith("cityscapes:") and dataset.label_space == CITYSCAPES


def boundary_share(dataset: Dataset) -> float:
    """The share of the diagonal within which boundary IoU looks."""
    return _CITYSCAPES_BOUNDARY_SHARE if has_official_scores(dataset) else BOUNDARY_SHARE


def truth_of(dataset: Dataset, index: int, labels: Labels | None = None) -> Truth:
    """Reads the truth of an image, but not the image.

    Args:
        dataset: labeled images.
        index: which one.
        labels: if they were read before.

    Raises:
        ImageError, DataError: a file is damaged or holds what it may not.
    """
    mask = dataset.pairs[index].mask
    if not has_official_scores(dataset):
        return Truth(Coded(dataset.read_labels(index, read_values_quickly) if labels is None else labels))
    path = instance_map_of(mask)
    instances = read_values_quickly(path) if path.is_file() else None
    if not mask.stem.endswith("_labelIds"):
        labels = dataset.read_labels(index, read_values_quickly) if labels is None else labels
        return Truth(Coded(labels, label_ids=RAW_IDS_OF_CLASSES), instances)
    codes = read_values_quickly(mask)
    if int(codes.max()) > HIGHEST_RAW_ID:
        dataset.labels_of(codes, dataset.pairs[index])  # raises, and says what is wrong
    return Truth(Coded(codes.astype(np.uint8, copy=False), CLASSES_OF_RAW_IDS, SAME), instances)


def answer_of(class_map: ClassMap, dataset: Dataset) -> Coded:
    """A class map as an answer: any value that is no class is a wrong one, and as a label id 0, "unlabeled"."""
    return Coded(class_map, label_ids=RAW_IDS_OF_CLASSES if has_official_scores(dataset) else None)


def score(dataset: Dataset, index: int, truth: Truth, answer: Coded, borders: bool = True) -> Scored:
    """Counts one image.

    Args:
        dataset, index: which image.
        truth, answer: of it.
        borders: whether to look near borders as well.

    Raises:
        DataError: the instance map contradicts Cityscapes' table, or has another size.
    """
    share = boundary_share(dataset) if borders else None
    try:
        counted = count(truth.labels, answer, len(dataset.label_space), share, truth.instances)
    except ValueError as error:
        # Labels and answers were checked when they were read.
        raise DataError(instance_map_of(dataset.pairs[index].mask), f"does not fit: {error}") from None
    height, width = truth.labels.values.shape
    return Scored((height, width), *counted)


@dataclass(frozen=True)
class Origin:
    """Where the answers came from.

    Attributes:
        network, runtime, precision: of what was run; None where a folder was scored.
        scales: of the pictures that were answered and averaged.
        flip: whether mirrored pictures were averaged as well.
        predictions: the folder that was scored; None where a network was run.
    """

    network: str | None = None
    runtime: str | None = None
    precision: str | None = None
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    predictions: str | None = None


@dataclass
class Part:
    """The frames of a split on which the same classes were annotated, and what was counted on them.

    Attributes:
        annotated: the classes that count and may be the answer; None means all.
        counts: of all its frames together.
        sizes: frames by (height, width).
    """

    annotated: tuple[int, ...] | None
    counts: Counts
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)

    @property
    def images(self) -> int:
        """How many frames."""
        return self.sizes.total()

    @property
    def confusion(self) -> Confusion:
        """(classes, classes) int64."""
        return self.counts.confusion[:, : len(self.counts.confusion)]

    @property
    def mean_iou(self) -> float | None:
        """Over the annotated classes that occur."""
        return mean_iou(self.counts.confusion, self.annotated)

    @property
    def pixel_accuracy(self) -> float | None:
        """Share of labeled pixels answered right."""
        return pixel_accuracy(self.counts.confusion)


@dataclass(frozen=True)
class ImageScore:
    """One frame's scores, from its own counts alone; None where nothing was to be scored.

    Attributes:
        index: its place in the data set.
        name: in the data set.
        size: height and width in pixels.
        iou: of each class.
        mean_iou: over the classes that occur in the frame.
        pixel_accuracy: share of its labeled pixels answered right.
    """

    index: int
    name: str
    size: tuple[int, int]
    iou: tuple[float | None, ...]
    mean_iou: float | None
    pixel_accuracy: float | None


@dataclass(frozen=True)
class Report:
    """What an evaluation found: the fully annotated frames first, then each partially annotated kind apart.

    Attributes:
        label_space: the classes.
        data, split: what was scored.
        origin: where the answers came from.
        boundary_share: of the diagonal, within which boundary IoU looked; None where borders were left out.
        parts: fully annotated frames, then partially annotated ones.
        images: every frame, in the data set's order.
        official: Cityscapes' own scores, where the data have its layout.
    """

    label_space: LabelSpace
    data: str
    split: str
    origin: Origin
    boundary_share: float | None
    parts: tuple[Part, ...]
    images: tuple[ImageScore, ...]
    official: OfficialEvaluation | None = None

    def worst(self, number: int) -> list[ImageScore]:
        """The frames of lowest mean IoU, the worst first."""
        scored = [image for image in self.images if image.mean_iou is not None]
        return sorted(scored, key=lambda image: (image.mean_iou, image.name))[:number]

    def as_json(self, weights: str | None) -> dict[str, Any]:
        """What `fassd evaluate --json` prints: fractions 0..1, None for what does not occur."""
        first, *others = (self._part_as_json(part) for part in self.parts)
        origin = asdict(self.origin)
        official = {} if self.official is None else {"official": _official_as_json(self.official)}
        return {
            "network": origin.pop("network"),
            "weights": weights,
            "data": self.data,
            "split": self.split,
            **origin,
            "ignore": IGNORE,
            **first,
            **official,
            "worst": [{"name": image.name, "mean_iou": image.mean_iou} for image in self.worst(10)],
            "partially_annotated": others,
        }

    def _part_as_json(self, part: Part) -> dict[str, Any]:
        names, counts = self.label_space.names, part.counts
        counted = range(len(names)) if part.annotated is None else part.annotated

        def by_name(scores: list[float | None]) -> dict[str, float | None]:
            return {names[label]: scores[label] for label in counted}

        iou = by_name(class_iou(counts.confusion))
        accuracy = class_accuracy(counts.confusion)
        return {
            "images": part.images,
            "sizes": {f"{width}x{height}": frames for (height, width), frames in sorted(part.sizes.items())},
            "annotated": [names[label] for label in counted],
            "mean_iou": part.mean_iou,
            "pixel_accuracy": part.pixel_accuracy,
            "mean_accuracy": mean_of(accuracy, part.annotated),
            "frequency_weighted_iou": frequency_weighted_iou(counts.confusion),
            "iou": iou,
            "accuracy": by_name(accuracy),
            "absent": [name for name, score in iou.items() if score is None],
            "boundary": self.boundary_share
            and {
                "share_of_diagonal": self.boundary_share,
                "mean_iou": counts.boundary_mean_iou(part.annotated),
                "iou": by_name(counts.boundary_iou()),
            },
            "trimap": self.boundary_share
            and [_band_as_json(part, *band) for band in zip(WIDTHS, counts.bands, strict=True)],
            "confusion": part.confusion.tolist(),
            "answered_no_class": int(counts.confusion[:, -1].sum()),
        }


class MetricAccumulator:
    """Adds up images, in the order of the data set."""

    def __init__(self, dataset: Dataset, borders: bool = True) -> None:
        self._dataset, self._borders = dataset, borders
        self._parts: dict[tuple[int, ...] | None, Part] = {}
        self._images: list[ImageScore] = []
        self.official = OfficialEvaluation() if has_official_scores(dataset) else None

    def add(self, index: int, scored: Scored) -> None:
        """Adds one image."""
        pair, counts = self._dataset.pairs[index], scored.counts
        annotated = None if pair.annotated is None else tuple(sorted(pair.annotated))
        part = self._parts.setdefault(annotated, Part(annotated, Counts.none(len(self._dataset.label_space))))
        part.counts += counts
        part.sizes[scored.size] += 1
        iou = tuple(class_iou(counts.confusion))
        of_image = mean_of(iou, annotated), pixel_accuracy(counts.confusion)
        self._images.append(ImageScore(index, pair.name, scored.size, iou, *of_image))
        if self.official is not None and scored.official is not None:
            self.official.add_counts(scored.official)

    def report(self, origin: Origin) -> Report:
        """Everything added so far."""
        return Report(
            self._dataset.label_space,
            self._dataset.spec,
            self._dataset.split,
            origin,
            boundary_share(self._dataset) if self._borders else None,
            tuple(sorted(self._parts.values(), key=lambda part: (part.annotated is not None, part.annotated or ()))),
            tuple(self._images),
            self.official,
        )


def overall_mean_iou(reports: Iterable[Report]) -> float:
    """One number to choose checkpoints by: the mean over data sets of their parts' mean IoU, weighted by images."""
    scores = []
    for report in reports:
        counted = [(part.mean_iou, part.images) for part in report.parts if part.mean_iou is not None]
        if counted:
            scores.append(sum(score * images for score, images in counted) / sum(images for _, images in counted))
    return sum(scores) / len(scores) if scores else 0.0


def _band_as_json(part: Part, width: int, confusion: Confusion) -> dict[str, Any]:
    return {
        "width": width,
        "pixels": int(confusion.sum()),
        "mean_iou": mean_iou(confusion, part.annotated),
        "pixel_accuracy": pixel_accuracy(confusion),
    }


def _official_as_json(official: OfficialEvaluation) -> dict[str, Any]:
    return {**asdict(official.result()), "images_without_instances": official.without_instances}
