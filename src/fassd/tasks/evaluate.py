"""Evaluation: a runtime over a split, integer counts at the labels' own resolution, scores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fassd.core.arrays import Confusion
from fassd.core.errors import DataError, UsageError
from fassd.core.labels import LabelSpace
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.dataset import Dataset
from fassd.metrics.confusion import class_iou, confusion_of, mean_iou, pixel_accuracy
from fassd.runtimes.runtime import Runtime


@dataclass
class Part:
    """The frames of a split on which the same classes were marked, and what was counted on them.

    Attributes:
        marked: the classes that count and may be the answer; None means all.
        confusion: (classes, classes) int64.
        images: how many frames.
    """

    marked: tuple[int, ...] | None
    confusion: Confusion
    images: int = 0

    @property
    def mean_iou(self) -> float | None:
        """Over the marked classes that occur."""
        return mean_iou(self.confusion, self.marked)

    @property
    def pixel_accuracy(self) -> float | None:
        """Share of labelled pixels answered right."""
        return pixel_accuracy(self.confusion)


@dataclass(frozen=True)
class Report:
    """What an evaluation found: the fully marked frames first, then each partly marked kind apart."""

    label_space: LabelSpace
    data: str
    split: str
    network: str
    runtime: str
    precision: str
    parts: tuple[Part, ...] = field(default_factory=tuple)

    def as_json(self, weights: str) -> dict[str, Any]:
        """What `fassd evaluate --json` prints: fractions 0..1, None for classes that do not occur."""
        first, *others = (self._part_as_json(part) for part in self.parts)
        return {
            "network": self.network,
            "weights": weights,
            "data": self.data,
            "split": self.split,
            "runtime": self.runtime,
            "precision": self.precision,
            "ignore": 255,
            **first,
            "partly_marked": others,
        }

    def _part_as_json(self, part: Part) -> dict[str, Any]:
        names = self.label_space.names
        counted = range(len(names)) if part.marked is None else part.marked
        scores = class_iou(part.confusion)
        return {
            "images": part.images,
            "marked": [names[label] for label in counted],
            "mean_iou": part.mean_iou,
            "pixel_accuracy": part.pixel_accuracy,
            "iou": {names[label]: scores[label] for label in counted},
            "confusion": part.confusion.tolist(),
        }


def evaluate(runtime: Runtime, dataset: Dataset, watch: Watch = ignore_events) -> Report:
    """Scores a runtime on one split of one data set.

    Each image is answered at its own size, one scale, no flip; pixels whose label is IGNORE never count. On partly
    marked frames only the marked classes may be the answer, and these frames are reported apart.

    Args:
        runtime: answers.
        dataset: in the runtime's label space.
        watch: gets "image" after each image.

    Raises:
        UsageError: the data set has other classes than the runtime answers with.
        DataError: an image is too small for the network.
    """
    if dataset.label_space.names != runtime.label_space.names:
        raise UsageError(
            f"{dataset.spec} has the classes of '{dataset.label_space.name}' ({len(dataset.label_space)}) but the "
            f"weights answer with '{runtime.label_space.name}' ({len(runtime.label_space)}); choose weights or data "
            "that share their classes"
        )
    parts: dict[tuple[int, ...] | None, Part] = {}
    classes = len(runtime.label_space)
    for index, sample in enumerate(dataset):
        marked = None if sample.marked is None else tuple(int(label) for label in np.flatnonzero(sample.marked))
        part = parts.setdefault(marked, Part(marked, np.zeros((classes, classes), np.int64)))
        try:
            answer = runtime.segment(sample.image[None], among=marked)[0]
        except UsageError as error:
            raise DataError(dataset.pairs[index].image, str(error)) from None
        part.confusion += confusion_of(sample.labels, answer, classes)
        part.images += 1
        watch(Event("image", {"done": index + 1, "total": len(dataset), "name": sample.name}))
    ordered = sorted(parts.values(), key=_fully_marked_first)
    return Report(
        runtime.label_space,
        dataset.spec,
        dataset.split,
        runtime.header.network,
        runtime.name,
        runtime.precision,
        tuple(ordered),
    )


def _fully_marked_first(part: Part) -> tuple[bool, tuple[int, ...]]:
    return part.marked is not None, part.marked or ()


def overall_mean_iou(reports: Iterable[Report]) -> float:
    """One number to choose checkpoints by: the mean over data sets of their parts' mean IoU, weighted by images."""
    scores = []
    for report in reports:
        counted = [(part.mean_iou, part.images) for part in report.parts if part.mean_iou is not None]
        if counted:
            scores.append(sum(score * images for score, images in counted) / sum(images for _, images in counted))
    return sum(scores) / len(scores) if scores else 0.0
