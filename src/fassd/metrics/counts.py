"""What is counted on one image: integers that add up over a split, all from one walk over its pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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
"""Of the trimap's bands: pixels on either side of a border."""

BOUNDARY_SHARE = 0.02
"""Of the picture's diagonal: how far boundary IoU looks inward (Cheng et al., CVPR 2021)."""

SAME: LookupTable = np.arange(256, dtype=np.uint8)
"""The table of values that are what they stand for."""

_Regions: TypeAlias = UInt64[np.ndarray[Any, Any], "regions height words"]
_Pixels: TypeAlias = Int64[np.ndarray[Any, Any], "true answered regions"]


@dataclass(frozen=True)
class Coded:
    """A truth or an answer as it is stored, and what its values mean.

    Attributes:
        values: (H, W) uint8.
        classes: the class of each value. IGNORE in a truth: nothing is known; in an answer, what is no class is wrong.
        label_ids: Cityscapes' label id of each value, where the official scores can be told.
    """

    values: Labels
    classes: LookupTable = field(default_factory=lambda: SAME)
    label_ids: LookupTable | None = None

    @cached_property
    def class_map(self) -> ClassMap:
        """(H, W) uint8, the classes."""
        return self.values if self.classes is SAME else self.classes[self.values]

    @cached_property
    def raw(self) -> Labels | None:
        """(H, W) uint8, Cityscapes' label ids, where there are any."""
        if self.label_ids is None or self.label_ids is SAME:
            return None if self.label_ids is None else self.values
        return self.label_ids[self.values]


@dataclass
class Counts:
    """Pixels whose true class is known, counted; `+=` adds another image's.

    Attributes:
        confusion: (classes, classes + 1) int64 by (true class, answer); in the last column the answer was no class.
        bands: (len(WIDTHS), classes, classes + 1) int64: the confusion within each of WIDTHS of a true border.
        boundary: (3, classes) int64: pixels of the true boundary region, of the answered one, and of both.
    """

    confusion: Confusion
    bands: Int64[np.ndarray[Any, Any], "bands classes answers"]
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
        """Of each class, the overlap of true and answered boundary regions; None for a class that is in neither."""
        return [_ratio(both, true + answered - both) for true, answered, both in self.boundary.T.tolist()]

    def boundary_mean_iou(self, among: Sequence[int] | None = None) -> float | None:
        """The mean over the classes that occur."""
        return mean_of(self.boundary_iou(), among)


def count(
    truth: Coded,
    answer: Coded,
    classes: int,
    share: float | None = BOUNDARY_SHARE,
    instances: InstanceIds | None = None,
) -> tuple[Counts, OfficialCounts | None]:
    """Counts one image.

    Args:
        truth: pixels whose class is IGNORE count in the official scores alone, as void.
        answer: any value that is no class is a wrong answer.
        classes: how many there are.
        share: of the diagonal, for boundary IoU; None leaves borders out.
        instances: (H, W), Cityscapes' instance ids, 0..33999; None where there is no instance map.

    Returns:
        What is counted of the classes, and what the official scores need if both have label ids.

    Raises:
        ValueError: the shapes differ, a label id is of no class, or an instance's class has no instances.
    """
    _check_shapes({"labels": truth.values, "answer": answer.values, "instances": instances})
    answers = np.minimum(answer.classes, np.uint8(classes))
    said, true = (np.require(coded.values, np.uint8, ["C", "W"]) for coded in (answer, truth))
    regions = np.empty((0, len(true), 0), np.uint64)
    if share is not None:
        regions = _regions((said, answers), (true, truth.classes), boundary_distance(true.shape, share))
    numbered = np.empty((0, 0), np.uint16) if instances is None else check_instances(instances)
    counted = np.zeros((int(true.max()) + 1, int(said.max()) + 1, 1 + len(regions)), np.int64)
    found, pixels = count_runs(true, said, numbered, FIRST_INSTANCE, regions.view(np.int64), counted)
    official = None
    if truth.label_ids is not None and answer.label_ids is not None:
        told_apart = None if instances is None else dict(zip(found.tolist(), pixels, strict=True))
        official = official_counts(counted[..., 0], told_apart, truth.label_ids, answer.label_ids)
    return _of_classes(counted, truth.classes, answers, classes), official


def boundary_distance(shape: tuple[int, ...], share: float = BOUNDARY_SHARE) -> int:
    """How far boundary IoU looks inward, in pixels: the share of the diagonal, rounded, at least 1."""
    return max(1, round(share * math.hypot(*shape)))


def _check_shapes(maps: Mapping[str, InstanceIds | None]) -> None:
    shapes = {name: values.shape for name, values in maps.items() if values is not None}
    first = next(iter(shapes.values()))
    if set(shapes.values()) != {first} or len(first) != 2 or 0 in first:
        sizes = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the maps' shapes are {sizes}; one height and width were expected")


def _regions(answer: tuple[Labels, LookupTable], truth: tuple[Labels, LookupTable], distance: int) -> _Regions:
    """The bands around true borders, then the boundary regions: the true one, the answered one, and both."""
    distances = tuple(sorted({*WIDTHS, distance}))
    near = dict(zip(distances, grown(border_bits(*truth, *truth), distances), strict=True))
    # What is answered at ignored pixels is hidden, lest it makes borders at the pixels that count.
    (near_answered,) = grown(border_bits(*answer, *truth), (distance,))
    frame = near_frame(truth[0].shape, distance)
    regions = [near[width] for width in WIDTHS]
    regions += [near[distance] | frame, near_answered | frame, near[distance] & near_answered | frame]
    return np.stack(regions)


def _of_classes(counted: _Pixels, truth: LookupTable, answer: LookupTable, classes: int) -> Counts:
    """What was counted by value, by class."""
    true, said = np.nonzero(counted[..., 0])
    known = truth[true] < classes
    true, said = true[known], said[known]
    by_class = np.zeros((classes, classes + 1, counted.shape[2]), np.int64)
    np.add.at(by_class, (truth[true], answer[said]), counted[true, said])
    counts = Counts.none(classes)
    counts.confusion += by_class[..., 0]
    if by_class.shape[2] > 1:
        bands, (near_true, near_answered, near_both) = np.split(np.moveaxis(by_class, 2, 0)[1:], [len(WIDTHS)])
        counts.bands += bands
        counts.boundary += near_true.sum(1), near_answered.sum(0)[:classes], np.diagonal(near_both)
    return counts


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
