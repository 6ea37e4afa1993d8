"""One image scored: the single way in which every answer is counted, a network's or a file's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fassd.core.arrays import ClassMap, Codes, Labels
from fassd.core.errors import DataError
from fassd.core.labels import CITYSCAPES
from fassd.core.types import Sample
from fassd.data.cityscapes import instance_map_of
from fassd.data.dataset import Dataset
from fassd.media.masks import read_values
from fassd.metrics.cityscapes import raw_ids_of
from fassd.metrics.counts import BOUNDARY_SHARE, Counts, count
from fassd.metrics.official_counts import OfficialCounts, count_official

_CITYSCAPES_BOUNDARY_SHARE = 0.005
"""The authors of boundary IoU halve their 2 % twice for Cityscapes, whose pictures are so large."""


ReadValues: TypeAlias = Callable[[Path], Codes]
"""Reads a label file's values, as `read_values` does."""


@dataclass(frozen=True)
class Truth:
    """What is known of an image.

    Attributes:
        labels: a class or IGNORE at every pixel.
        raw: Cityscapes' raw ids, where the official scores can be told.
        instances: Cityscapes' instance ids, where they are there.
    """

    labels: Labels
    raw: Codes | None = None
    instances: Codes | None = None


@dataclass(frozen=True)
class Answer:
    """What is said of an image.

    Attributes:
        class_map: a class at every pixel; any other value is a wrong answer.
        raw: the same as Cityscapes' raw ids, where the official scores can be told.
    """

    class_map: ClassMap
    raw: Codes | None = None


Answers: TypeAlias = Callable[[int, Sample], Answer]
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


def truth_of(dataset: Dataset, index: int, labels: Labels | None = None, read: ReadValues = read_values) -> Truth:
    """Reads the truth of an image, but not the image.

    Args:
        dataset: labelled images.
        index: which one.
        labels: if they were read before.
        read: reads a file of values.

    Raises:
        PictureError, DataError: a file is damaged or holds what it may not.
    """
    pair = dataset.pairs[index]
    official = has_official_scores(dataset)
    codes = None
    if labels is None:
        codes = dataset.coding.read(pair.mask) if dataset.coding.by_colour else read(pair.mask)
        labels = dataset.labels_of(codes, pair)
    if not official:
        return Truth(labels)
    if not pair.mask.stem.endswith("_labelIds"):
        codes = raw_ids_of(labels)
    instances = instance_map_of(pair.mask)
    return Truth(labels, read(pair.mask) if codes is None else codes, read(instances) if instances.is_file() else None)


def answer_of(class_map: ClassMap, dataset: Dataset) -> Answer:
    """A network's class map as an answer."""
    return Answer(class_map, raw_ids_of(class_map) if has_official_scores(dataset) else None)


def score(dataset: Dataset, index: int, truth: Truth, answer: Answer, borders: bool = True) -> Scored:
    """Counts one image.

    Args:
        dataset, index: which image.
        truth, answer: of it.
        borders: whether to look near borders as well.

    Raises:
        DataError: the instance map contradicts Cityscapes' table, or has another size.
    """
    counts = count(
        truth.labels, answer.class_map, len(dataset.label_space), boundary_share(dataset) if borders else None
    )
    official = None
    if truth.raw is not None and answer.raw is not None:
        try:
            official = count_official(answer.raw, truth.raw, truth.instances)
        except ValueError as error:
            # Labels and answers were checked when they were read.
            raise DataError(instance_map_of(dataset.pairs[index].mask), f"does not fit: {error}") from None
    height, width = truth.labels.shape
    return Scored((height, width), counts, official)
