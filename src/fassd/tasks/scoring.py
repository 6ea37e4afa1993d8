"""One image scored: the single way in which every answer is counted, a network's or a file's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fassd.core.arrays import ClassMap, Labels
from fassd.core.errors import DataError
from fassd.core.labels import CITYSCAPES, CITYSCAPES_RAW
from fassd.core.types import Sample
from fassd.data.cityscapes import instance_map_of
from fassd.data.dataset import Dataset
from fassd.data.quick_labels import read_values_quickly
from fassd.metrics.cityscapes import CLASSES_OF_RAW_IDS, RAW_IDS_OF_CLASSES
from fassd.metrics.counts import BOUNDARY_SHARE, SAME, Coded, Counts, count
from fassd.metrics.official_counts import InstanceIds, OfficialCounts

HIGHEST_RAW_ID = max(row.raw_id for row in CITYSCAPES_RAW)

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
        official: of Cityscapes' raw ids, where they are there.
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
        dataset: labelled images.
        index: which one.
        labels: if they were read before.

    Raises:
        PictureError, DataError: a file is damaged or holds what it may not.
    """
    mask = dataset.pairs[index].mask
    if not has_official_scores(dataset):
        return Truth(Coded(dataset.read_labels(index, read_values_quickly) if labels is None else labels))
    path = instance_map_of(mask)
    instances = read_values_quickly(path) if path.is_file() else None
    if not mask.stem.endswith("_labelIds"):
        labels = dataset.read_labels(index, read_values_quickly) if labels is None else labels
        return Truth(Coded(labels, raw_ids=RAW_IDS_OF_CLASSES), instances)
    codes = read_values_quickly(mask)
    if int(codes.max()) > HIGHEST_RAW_ID:
        dataset.labels_of(codes, dataset.pairs[index])  # raises, and says what is wrong
    return Truth(Coded(codes.astype(np.uint8, copy=False), CLASSES_OF_RAW_IDS, SAME), instances)


def answer_of(class_map: ClassMap, dataset: Dataset) -> Coded:
    """A class map as an answer: any value that is no class is a wrong one, and as a raw id 0, "unlabeled"."""
    return Coded(class_map, raw_ids=RAW_IDS_OF_CLASSES if has_official_scores(dataset) else None)


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
