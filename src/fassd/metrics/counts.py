"""What is counted on one image: integers that add up over a split, all from one pass over its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, UInt64

from fassd.core.arrays import ClassMap, Confusion, Labels, LookupTable
from fassd.kernels.pairs import count_runs
from fassd.metrics.borders import border_bits, grown, near_frame
from fassd.metrics.confusion import mean_of
from fassd.metrics.official_counts import FIRST_INSTANCE, InstanceIds, OfficialCounts, check_instances, official_counts

WIDTHS = (1, 2, 4, 8, 16)
"""Widths of the trimap's bands: pixels on either side of a border."""

BOUNDARY_SHARE = 0.02
"""Width of the region of boundary IoU, as a share of the image's diagonal (Cheng et al., CVPR 2021)."""

SAME: LookupTable = np.arange(256, dtype=np.uint8)
"""The identity table, for values that are classes or label ids themselves."""

_Regions: TypeAlias = UInt64[np.ndarray[Any, Any], "regions height words"]
_Pixels: TypeAlias = Int64[np.ndarray[Any, Any], "true predicted regions"]


@dataclass(frozen=True)
class EncodedMap:
    """A truth or a prediction as it is stored, and what its values mean.

    Attributes:
        values: (H, W) uint8.
        classes: the class of each value. IGNORE in a truth: unknown. A prediction that is no class is wrong.
        label_ids: Cityscapes' label id of each value, where the official scores apply.
    """

    values: Labels
    classes: LookupTable = field(default_factory=lambda: SAME)
    label_ids: LookupTable | None = None

    @cached_property
    def class_map(self) -> ClassMap:
        """(H, W) uint8, the classes."""
        return self.values if self.classes is SAME else self.classes[self.values]

    @cached_property
    def label_id_map(self) -> Labels | None:
        """(H, W) uint8, Cityscapes' label ids, where there are any."""
        if self.label_ids is None:
            return None
        return self.values if self.label_ids is SAME else self.label_ids[self.values]


@dataclass
class Counts:
    """Counted pixels whose true class is known; `+=` adds another image's.

    Attributes:
        confusion: (classes, classes + 1) int64 by (true class, predicted class); the last column: predicted no class.
        bands: (len(WIDTHS), classes, classes + 1) int64: the confusion within each of WIDTHS of a true border.
        boundary: (3, classes) int64: pixels of the true boundary region, of the predicted one, and of both.
    """

    confusion: Confusion
    bands: Int64[np.ndarray[Any, Any], "bands classes predicted"]
    boundary: Int64[np.ndarray[Any, Any], "3 classes"]

    @classmethod
    def none(cls, classes: int) -> Counts:
        """Nothing counted yet."""
        shape = (classes, classes + 1)
        return cls(
            np.zeros(shape, np.int64), np.zeros((len(WIDTHS), *shape), np.int64), np.zeros((3, classes), np.int64)
        )

    def __iadd__(self, other: Counts) -> Counts:
        self.confusion += other.confusion
        self.bands += other.bands
        self.boundary += other.boundary
        return self

    def boundary_iou(self) -> list[float | None]:
        """Of each class, IoU of true and predicted boundary region; None for a class that has neither."""
        regions = ((both, true + predicted - both) for true, predicted, both in self.boundary.T.tolist())
        return [both / union if union else None for both, union in regions]

    def boundary_mean_iou(self, classes: Sequence[int] | None = None) -> float | None:
        """The mean over the classes that occur; of `classes` alone, where given."""
        return mean_of(self.boundary_iou(), classes)


def count(
    truth: EncodedMap,
    prediction: EncodedMap,
    classes: int,
    share: float | None = BOUNDARY_SHARE,
    instances: InstanceIds | None = None,
) -> tuple[Counts, OfficialCounts | None]:
    """Counts one image.

    Args:
        truth: pixels whose class is IGNORE count in the official scores alone, as void.
        prediction: a value that is no class is wrong.
        classes: how many there are.
        share: of the diagonal, for boundary IoU; None counts nothing near borders.
        instances: (H, W), Cityscapes' instance ids, 0..33999; None where there is no instance map.

    Returns:
        The counts by class, and those for the official scores if truth and prediction have label ids.

    Raises:
        ValueError: the shapes differ, a label id is of no class, or an instance's class has no instances.
    """
    maps = {"labels": truth.values, "prediction": prediction.values, "instances": instances}
    shapes = {name: values.shape for name, values in maps.items() if values is not None}
    first = truth.values.shape
    if set(shapes.values()) != {first} or len(first) != 2 or 0 in first:
        sizes = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the maps' shapes are {sizes}; one height and width were expected")
    classes_of_predicted = np.minimum(prediction.classes, np.uint8(classes))
    predicted, true = (np.require(encoded.values, np.uint8, ["C", "W"]) for encoded in (prediction, truth))
    regions = np.empty((0, len(true), 0), np.uint64)
    if share is not None:
        distance = boundary_distance(true.shape, share)
        regions = _regions((predicted, classes_of_predicted), (true, truth.classes), distance)
    numbered = np.empty((0, 0), np.uint16) if instances is None else check_instances(instances)
    counted = np.zeros((int(true.max()) + 1, int(predicted.max()) + 1, 1 + len(regions)), np.int64)
    found, pixels = count_runs(true, predicted, numbered, FIRST_INSTANCE, regions.view(np.int64), counted)
    official = None
    if truth.label_ids is not None and prediction.label_ids is not None:
        by_instance = None if instances is None else dict(zip(found.tolist(), pixels, strict=True))
        official = official_counts(counted[..., 0], by_instance, truth.label_ids, prediction.label_ids)
    return _by_class(counted, truth.classes, classes_of_predicted, classes), official


def boundary_distance(shape: tuple[int, ...], share: float = BOUNDARY_SHARE) -> int:
    """Width of the boundary region in pixels: the share of the diagonal, rounded, at least 1."""
    return max(1, round(share * math.hypot(*shape)))


def _regions(prediction: tuple[Labels, LookupTable], truth: tuple[Labels, LookupTable], distance: int) -> _Regions:
    """The bands around true borders, then the boundary regions: the true one, the predicted one, and both."""
    distances = tuple(sorted({*WIDTHS, distance}))
    near = dict(zip(distances, grown(border_bits(*truth, *truth), distances), strict=True))
    # Predictions at ignored pixels are hidden, or they would make borders at the pixels that count.
    (near_predicted,) = grown(border_bits(*prediction, *truth), (distance,))
    frame = near_frame(truth[0].shape, distance)
    regions = [near[width] for width in WIDTHS]
    regions += [near[distance] | frame, near_predicted | frame, near[distance] & near_predicted | frame]
    return np.stack(regions)


def _by_class(counted: _Pixels, truth: LookupTable, prediction: LookupTable, classes: int) -> Counts:
    """Turns counts by stored value into counts by class."""
    true, predicted = np.nonzero(counted[..., 0])
    known = truth[true] < classes
    true, predicted = true[known], predicted[known]
    by_class = np.zeros((classes, classes + 1, counted.shape[2]), np.int64)
    np.add.at(by_class, (truth[true], prediction[predicted]), counted[true, predicted])
    counts = Counts.none(classes)
    counts.confusion += by_class[..., 0]
    if by_class.shape[2] > 1:
        bands, (near_true, near_predicted, near_both) = np.split(np.moveaxis(by_class, 2, 0)[1:], [len(WIDTHS)])
        counts.bands += bands
        counts.boundary += near_true.sum(1), near_predicted.sum(0)[:classes], np.diagonal(near_both)
    return counts
