"""Which pixels lie near a border between classes: what boundary IoU and the trimap curve look at.

A border runs between two pixels of different classes that touch, be it at a corner. Ignored pixels are no class:
nothing is known of them, so that where labels end in them there is no border. Distances are chessboard distances (a
step may be diagonal), as an erosion or dilation by a 3x3 square, repeated, measures them. The pixels on either side of
a border are at distance 1 from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import UInt8, UInt64

from fassd.core.arrays import IGNORE, Labels

Near: TypeAlias = UInt8[np.ndarray[Any, Any], "height width"]
"""1 where a pixel lies near a border, else 0; of no meaning at ignored pixels."""

_Bits: TypeAlias = UInt64[np.ndarray[Any, Any], "height words"]
"""64 pixels of a row in a word, the first in the lowest bit."""

_WORD = 64


def near_borders(labels: Labels, distances: tuple[int, ...]) -> Iterator[Near]:
    """For each distance: which pixels are at most so far from a border.

    Args:
        labels: (H, W) uint8, a class or IGNORE.
        distances: in pixels, at least 1, rising.
    """
    bits, radius = _border(labels), 0
    for distance in distances:
        while radius < distance - 1:
            # A greater step would leave gaps at the picture's edges.
            step = min(radius + 1, distance - 1 - radius, _WORD - 1)
            bits, radius = _dilated(bits, step), radius + step
        yield np.unpackbits(bits.view(np.uint8), axis=1, count=labels.shape[1], bitorder="little")


def near_frame(shape: tuple[int, ...], distance: int) -> Near:
    """Which pixels of a picture have a place outside it at most so far away."""
    near = np.ones(shape, np.uint8)
    near[distance:-distance, distance:-distance] = 0
    return near


def _border(labels: Labels) -> _Bits:
    """Which pixels of a class have one of another class among their eight neighbours."""
    known = _packed(labels != IGNORE, labels.shape)
    border = np.zeros_like(known)
    # Each pair of neighbours once: beside, below, below to the right, below to the left.
    beside = _packed(labels[:, 1:] != labels[:, :-1], labels.shape) & known & _moved_left(known)
    border |= beside | _moved_right(beside)
    above, below = known[:-1], known[1:]
    differ = _packed(labels[1:] != labels[:-1], labels.shape)[:-1] & above & below
    border[:-1] |= differ
    border[1:] |= differ
    differ = _packed(labels[1:, 1:] != labels[:-1, :-1], labels.shape)[:-1] & above & _moved_left(below)
    border[:-1] |= differ
    border[1:] |= _moved_right(differ)
    differ = _packed(labels[1:, :-1] != labels[:-1, 1:], labels.shape)[:-1] & _moved_left(above) & below
    border[:-1] |= _moved_right(differ)
    border[1:] |= differ
    return border


def _packed(mask: Any, shape: tuple[int, ...]) -> _Bits:
    """A mask as the upper left of a picture of bits; the rest is 0."""
    packed = np.packbits(mask, axis=1, bitorder="little")
    marks = np.zeros((shape[0], -(-shape[1] // _WORD) * 8), np.uint8)
    marks[: packed.shape[0], : packed.shape[1]] = packed
    bits: _Bits = marks.view("<u8")
    return bits


def _moved_left(bits: _Bits) -> _Bits:
    moved = bits >> np.uint64(1)
    moved[:, :-1] |= bits[:, 1:] << np.uint64(_WORD - 1)
    return moved


def _moved_right(bits: _Bits) -> _Bits:
    moved = bits << np.uint64(1)
    moved[:, 1:] |= bits[:, :-1] >> np.uint64(_WORD - 1)
    return moved


def _dilated(bits: _Bits, step: int) -> _Bits:
    """Every set bit spread to the places `step` away, and itself; below a word."""
    here, over = np.uint64(step), np.uint64(_WORD - step)
    wide = bits | bits << here | bits >> here
    wide[:, 1:] |= bits[:, :-1] >> over
    wide[:, :-1] |= bits[:, 1:] << over
    high: _Bits = wide.copy()
    high[step:] |= wide[:-step]
    high[:-step] |= wide[step:]
    return high
