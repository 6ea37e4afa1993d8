"""From predictions to a report: an image is counted, counts add up over a split, scores follow from them.

Every prediction is counted here, a network's or a file's, so that all scores mean the same.
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
from fassd.data.mask_encoding import read_values_quickly
from fassd.metrics.cityscapes import CLASSES_OF_LABEL_IDS, LABEL_IDS_OF_CLASSES, OfficialEvaluation
from fassd.metrics.confusion import (
    class_accuracy,
    class_iou,
    frequency_weighted_iou,
    mean_iou,
    mean_of,
    pixel_accuracy,
)
from fassd.metrics.counts import BOUNDARY_SHARE, SAME, WIDTHS, Counts, EncodedMap, count
from fassd.metrics.official_counts import InstanceIds, OfficialCounts

HIGHEST_LABEL_ID = max(row.label_id for row in CITYSCAPES_CLASSES)

_CITYSCAPES_BOUNDARY_SHARE = 0.005
"""The authors of boundary IoU halve their 2 % twice for Cityscapes, because its images are so large."""

Predictions: TypeAlias = Callable[[int, Sample], EncodedMap]
"""Gives the prediction for an image: takes its index in its data set, and the image."""


@dataclass(frozen=True)
class Truth:
    """The ground truth of an image.

    Attributes:
        labels: a class or IGNORE at every pixel.
        instances: Cityscapes' instance ids; None where there is no such file.
    """

    labels: EncodedMap
    instances: InstanceIds | None = None


@dataclass(frozen=True)
class ImageCounts:
    """The counts of one image.

    Attributes:
        size: height and width in pixels.
        counts: by the data set's classes.
        official: by Cityscapes' label ids; None for other data.
    """

    size: tuple[int, int]
    counts: Counts
    official: OfficialCounts | None


def has_official_scores(dataset: Dataset) -> bool:
    """Whether Cityscapes' official scores apply: the data have its layout and its 19 classes."""
    return dataset.spec.startswith("cityscapes:") and dataset.label_space == CITYSCAPES


def boundary_share(dataset: Dataset) -> float:
    """Width of the region of boundary IoU, as a share of the image's diagonal."""
    return _CITYSCAPES_BOUNDARY_SHARE if has_official_scores(dataset) else BOUNDARY_SHARE


def read_truth(dataset: Dataset, index: int, labels: Labels | None = None) -> Truth:
    """Reads the truth of an image, but not the image.

    Args:
        dataset: labeled images.
        index: which one.
        labels: its labels, if they were read before.

    Raises:
        ImageError, DataError: a file is damaged or holds an unknown value.
    """
    mask = dataset.pairs[index].mask
    if not has_official_scores(dataset):
        return Truth(EncodedMap(dataset.read_labels(index, read_values_quickly) if labels is None else labels))
    path = instance_map_of(mask)
    instances = read_values_quickly(path) if path.is_file() else None
    if not mask.stem.endswith("_labelIds"):
        labels = dataset.read_labels(index, read_values_quickly) if labels is None else labels
        return Truth(EncodedMap(labels, label_ids=LABEL_IDS_OF_CLASSES), instances)
    values = read_values_quickly(mask)
    if int(values.max()) > HIGHEST_LABEL_ID:
        dataset.labels_of(values, dataset.pairs[index])  # raises, and says what is wrong
    return Truth(EncodedMap(values.astype(np.uint8, copy=False), CLASSES_OF_LABEL_IDS, SAME), instances)


def encode_prediction(class_map: ClassMap, dataset: Dataset) -> EncodedMap:
    """A class map as a prediction: a value that is no class is wrong, and has the label id 0, "unlabeled"."""
    return EncodedMap(class_map, label_ids=LABEL_IDS_OF_CLASSES if has_official_scores(dataset) else None)


def count_image(
    dataset: Dataset, index: int, truth: Truth, prediction: EncodedMap, borders: bool = True
) -> ImageCounts:
    """Counts one image.

    Args:
        dataset, index: which image.
        truth, prediction: of it.
        borders: whether to count near borders as well.

    Raises:
        DataError: the instance map contradicts Cityscapes' table, or has another size.
    """
    share = boundary_share(dataset) if borders else None
    try:
        counted = count(truth.labels, prediction, len(dataset.label_space), share, truth.instances)
    except ValueError as error:
        # Labels and predictions were checked when they were read.
        raise DataError(instance_map_of(dataset.pairs[index].mask), f"does not fit: {error}") from None
    height, width = truth.labels.values.shape
    return ImageCounts((height, width), *counted)


class MetricAccumulator:
    """Adds up images, in the order of the data set."""

    def __init__(self, dataset: Dataset, borders: bool = True) -> None:
        self._dataset, self._borders = dataset, borders
        self._parts: dict[tuple[int, ...] | None, Part] = {}
        self._images: list[ImageScore] = []
        self.official = OfficialEvaluation() if has_official_scores(dataset) else None

    def add(self, index: int, counted: ImageCounts) -> None:
        """Adds one image."""
        pair, counts = self._dataset.pairs[index], counted.counts
        annotated = None if pair.annotated is None else tuple(sorted(pair.annotated))
        part = self._parts.setdefault(annotated, Part(annotated, Counts.none(len(self._dataset.label_space))))
        part.counts += counts
        part.sizes[counted.size] += 1
        iou = tuple(class_iou(counts.confusion))
        of_image = mean_of(iou, annotated), pixel_accuracy(counts.confusion)
        self._images.append(ImageScore(index, pair.name, counted.size, iou, *of_image))
        if self.official is not None and counted.official is not None:
            self.official.add_counts(counted.official)

    def report(self, origin: Origin) -> Report:
        """The scores of everything added so far."""
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


@dataclass(frozen=True)
class Origin:
    """Where the predictions came from.

    Attributes:
        network, runtime, precision: of the network that was run; None where a folder was scored.
        scales: of the images that were predicted and averaged.
        flip: whether mirrored images were averaged as well.
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
    """The frames of a split in which the same classes were annotated, and their counts.

    Attributes:
        annotated: the classes that count and may be predicted; None means all.
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
        """Share of labeled pixels predicted right."""
        return pixel_accuracy(self.counts.confusion)


@dataclass(frozen=True)
class ImageScore:
    """One frame's scores, from its counts alone; None where there is nothing to score.

    Attributes:
        index: in the data set.
        name: in the data set.
        size: height and width in pixels.
        iou: by class.
        mean_iou: over the classes that occur in the frame.
        pixel_accuracy: share of its labeled pixels predicted right.
    """

    index: int
    name: str
    size: tuple[int, int]
    iou: tuple[float | None, ...]
    mean_iou: float | None
    pixel_accuracy: float | None


@dataclass(frozen=True)
class Report:
    """The result of an evaluation. Partially annotated frames are reported apart from fully annotated ones.

    Attributes:
        label_space: the classes.
        data, split: what was scored.
        origin: where the predictions came from.
        boundary_share: width of the region of boundary IoU, as a share of the diagonal; None without border scores.
        parts: fully annotated frames, then partially annotated ones, a part for each set of annotated classes.
        images: every frame, in the data set's order.
        official: Cityscapes' official scores, where the data have its layout.
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
        values = {
            "network": origin.pop("network"),
            "weights": weights,
            "data": self.data,
            "split": self.split,
            **origin,
            "ignore": IGNORE,
            **first,
        }
        if self.official is not None:
            missing = self.official.without_instances
            values["official"] = {**asdict(self.official.result()), "images_without_instances": missing}
        values["worst"] = [{"name": image.name, "mean_iou": image.mean_iou} for image in self.worst(10)]
        values["partially_annotated"] = others
        return values

    def _part_as_json(self, part: Part) -> dict[str, Any]:
        names, counts = self.label_space.names, part.counts
        annotated = range(len(names)) if part.annotated is None else part.annotated

        def by_name(scores: list[float | None]) -> dict[str, float | None]:
            return {names[label]: scores[label] for label in annotated}

        iou = by_name(class_iou(counts.confusion))
        accuracy = class_accuracy(counts.confusion)
        boundary = trimap = None
        if self.boundary_share is not None:
            boundary = {
                "share_of_diagonal": self.boundary_share,
                "mean_iou": counts.boundary_mean_iou(part.annotated),
                "iou": by_name(counts.boundary_iou()),
            }
            trimap = [
                {
                    "width": width,
                    "pixels": int(band.sum()),
                    "mean_iou": mean_iou(band, part.annotated),
                    "pixel_accuracy": pixel_accuracy(band),
                }
                for width, band in zip(WIDTHS, counts.bands, strict=True)
            ]
        return {
            "images": part.images,
            "sizes": {f"{width}x{height}": frames for (height, width), frames in sorted(part.sizes.items())},
            "annotated": [names[label] for label in annotated],
            "mean_iou": part.mean_iou,
            "pixel_accuracy": part.pixel_accuracy,
            "mean_accuracy": mean_of(accuracy, part.annotated),
            "frequency_weighted_iou": frequency_weighted_iou(counts.confusion),
            "iou": iou,
            "accuracy": by_name(accuracy),
            "absent": [name for name, score in iou.items() if score is None],
            "boundary": boundary,
            "trimap": trimap,
            "confusion": part.confusion.tolist(),
            "predicted_no_class": int(counts.confusion[:, -1].sum()),
        }


def overall_mean_iou(reports: Iterable[Report]) -> float:
    """One number to select checkpoints by: the mean over data sets of their parts' mean IoU, weighted by images."""
    scores = []
    for report in reports:
        counted = [(part.mean_iou, part.images) for part in report.parts if part.mean_iou is not None]
        if counted:
            scores.append(sum(score * images for score, images in counted) / sum(images for _, images in counted))
    return sum(scores) / len(scores) if scores else 0.0
