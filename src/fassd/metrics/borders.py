"""Which pixels lie near a border between classes, for boundary IoU and the trimap curve.

A border runs between two pixels of different classes that touch, also at a corner. Ignored pixels have no class, so
there is no border where labels end in them. Distances are chessboard distances (diagonal steps count 1), as repeated
erosion or dilation with a 3x3 square measures them. The pixels on either side of a border are at distance 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8, UInt64

from fassd.core.arrays import IGNORE, Labels, LookupTable
from fassd.kernels.pairs import BITS, grow, mark_borders

Near: TypeAlias = UInt8[np.ndarray[Any, Any], "height width"]
"""1 where a pixel lies near a border, else 0; undefined at ignored pixels."""

Bits: TypeAlias = UInt64[np.ndarray[Any, Any], "height words"]
"""64 pixels of a row in a word, the first in the lowest bit."""


def near_borders(labels: Labels, distance: int) -> Near:
    """Which pixels are at most `distance` from a border.

    Args:
        labels: (H, W) uint8, a class or IGNORE.
        distance: in pixels, at least 1.
    """
    same = np.arange(256, dtype=np.uint8)
    labels = np.require(labels, np.uint8, ["C", "W"])
    (bits,) = grown(border_bits(labels, same, labels, same), (distance,))
    return np.unpackbits(bits.view(np.uint8), axis=1, count=labels.shape[1], bitorder="little")


def border_bits(values: Labels, classes: LookupTable, truth: Labels, known: LookupTable) -> Bits:
    """Which pixels of a class have one of another class among their eight neighbors.

    Args:
        values: (H, W) uint8, contiguous.
        classes: of each value, or IGNORE.
        truth: (H, W) uint8, contiguous.
        known: the class of each value of `truth`; pixels where it is IGNORE are skipped.
    """
    bits = np.zeros((values.shape[0], -(-values.shape[1] // BITS)), np.int64)
    hidden = np.where(known == IGNORE, np.uint8(IGNORE), np.uint8(0))
    mark_borders(values, classes, truth, hidden, bits)
    return bits.view(np.uint64)


def grown(bits: Bits, distances: tuple[int, ...]) -> Iterator[Bits]:
    """For each distance, ascending: which pixels are at most that far from a border, given those at distance 1."""
    radius, wide = 0, np.empty_like(bits)
    for distance in distances:
        while radius < distance - 1:
            # A greater step would leave gaps at the image's edges.
            step = min(radius + 1, distance - 1 - radius, BITS - 1)
            further = np.empty_like(bits)
            grow(bits, step, wide, further)
            bits, radius = further, radius + step
        yield bits


@lru_cache(maxsize=2)
def near_frame(shape: tuple[int, int], distance: int) -> Bits:
    """Which pixels are at most `distance` from a place outside the image. Cached: do not modify the result."""
    near = np.ones((shape[0], -(-shape[1] // BITS) * BITS), np.uint8)
    near[distance:-distance, distance : max(shape[1] - distance, 0)] = 0
    bits: Bits = np.packbits(near, axis=1, bitorder="little").view(np.uint64)
    return bits
