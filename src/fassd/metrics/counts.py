"""Everything that is counted on one image besides the official scores: integers that add up over a split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, UInt8

from fassd.core.arrays import IGNORE, ClassMap, Confusion, Labels
from fassd.metrics.borders import near_borders, near_frame
from fassd.metrics.confusion import mean_of

WIDTHS = (1, 2, 4, 8, 16)
"""Of the trimap's bands: pixels on either side of a border."""

BOUNDARY_SHARE = 0.02
"""Of the picture's diagonal: how far boundary IoU looks inward (Cheng et al., CVPR 2021)."""

_NEAR_TRUE, _NEAR_ANSWERED, _PLACES = 8, 16, 32
"""A pixel's place: the number of its narrowest band (0 to 5), and whether it lies near a border of the truth and of
the answer, for boundary IoU."""

_STRIP_ROWS = 128

_PlaceCounts: TypeAlias = Int64[np.ndarray[Any, Any], "32 classes answers"]


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


def count(labels: Labels, answer: ClassMap, classes: int, share: float | None = BOUNDARY_SHARE) -> Counts:
    """Counts one image.

    Args:
        labels: (H, W) uint8, a class or IGNORE; ignored pixels count nowhere.
        answer: (H, W) uint8; any value that is no class is a wrong answer.
        classes: how many there are.
        share: of the diagonal, for boundary IoU; None leaves borders out, which is most of the time.

    Raises:
        ValueError: the shapes differ.
    """
    if labels.shape != answer.shape:
        raise ValueError(f"labels are {labels.shape} but the answer is {answer.shape}")
    answer = np.minimum(answer, np.uint8(classes))
    if share is None:
        counts = Counts.none(classes)
        counts.confusion += _tally(np.zeros(labels.shape, np.uint8), labels, answer, classes)[0]
        return counts
    counted = _tally(_places(labels, answer, boundary_distance(labels.shape, share)), labels, answer, classes)
    places = np.arange(_PLACES)
    near_true, near_answered = (places & _NEAR_TRUE) > 0, (places & _NEAR_ANSWERED) > 0
    return Counts(
        counted.sum(0),
        np.stack([counted[places % _NEAR_TRUE <= band].sum(0) for band in range(len(WIDTHS))]),
        np.stack(
            [
                counted[near_true].sum((0, 2)),
                counted[near_answered].sum((0, 1))[:classes],
                np.diagonal(counted[near_true & near_answered].sum(0)),
            ]
        ),
    )


def boundary_distance(shape: tuple[int, ...], share: float = BOUNDARY_SHARE) -> int:
    """How far boundary IoU looks inward, in pixels: the share of the diagonal, rounded, at least 1."""
    return max(1, round(share * math.hypot(*shape)))


def _places(labels: Labels, answer: ClassMap, distance: int) -> UInt8[np.ndarray[Any, Any], "height width"]:
    frame = near_frame(labels.shape, distance)
    places = np.full(labels.shape, len(WIDTHS), np.uint8)
    distances = tuple(sorted({*WIDTHS, distance}))
    for reach, near in zip(distances, near_borders(labels, distances), strict=True):
        if reach in WIDTHS:
            places -= near
        if reach == distance:
            places += (near | frame) * np.uint8(_NEAR_TRUE)
    # What is answered at ignored pixels is hidden, lest it makes borders at the pixels that count.
    shown = np.equal(labels, IGNORE).view(np.uint8) * np.uint8(IGNORE)
    shown |= answer
    (near,) = near_borders(shown, (distance,))
    places += (near | frame) * np.uint8(_NEAR_ANSWERED)
    return places


def _tally(places: Any, labels: Labels, answer: ClassMap, classes: int) -> _PlaceCounts:
    """Pixels by (place, true class, answer)."""
    counted = np.zeros(_PLACES * classes * (classes + 1), np.int64)
    # In strips that stay in the processor's cache.
    for top in range(0, len(labels), _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS)
        keys = places[rows].astype(np.uint32)
        for values in (labels[rows], answer[rows]):
            keys <<= 8
            keys |= values
        # Real maps have long runs of equal pixels in reading order: counting runs is several times as fast as pixels.
        keys = keys.ravel()
        starts = np.concatenate([[0], np.flatnonzero(keys[1:] != keys[:-1]) + 1])
        lengths = np.diff(starts, append=keys.size)
        keys = keys[starts].astype(np.intp)
        label = keys >> 8 & 255
        known = label < classes
        rank = ((keys >> 16) * classes + label) * (classes + 1) + (keys & 255)
        np.add.at(counted, rank[known], lengths[known])
    return counted.reshape(_PLACES, classes, classes + 1)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
