"""Masks whose pixels were averaged: by smooth resizing, anti-aliasing or JPEG.

Between two classes such a mask holds values that lie between theirs. Real masks have few such places: a narrow region
whose number happens to lie between its neighbors' numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.core.arrays import MaskValues

_NARROW = 2
"""Pixels, along a row, of the narrow runs that are looked at."""
_MIXED, _MOSTLY_NARROW = 0.12, 0.45
"""Shares of runs from which pixels were averaged. Sound masks reach 0.09 of runs between and 0.54 narrow; masks that
were halved smoothly or saved as JPEG of quality 95 have 0.15 and 0.53 at least."""
_BLOCKS = 1.14
"""From which changes keep to JPEG's blocks. On real masks sound and smoothed ones have 1.00 and mostly below 1.13,
JPEG of quality 50 to 98 has 1.27 to 1.77 in the median."""
_NOISE = 0.5
"""Share of pixels unlike the one before them from which nothing is left of regions."""
_WIDE = 0.15
"""Median step from which neighbors are independent: 0.29 in noise, 0.02 where JPEG has altered most pixels."""
_SMALLEST = 8


@dataclass(frozen=True)
class Mixture:
    """Shares of a mask's runs (stretches of one code in reading order); 0 where there are hardly any.

    Attributes:
        narrow: runs of one or two pixels.
        between: narrow runs whose code lies between those of their neighbors, in each channel.
        changing: of the pixels, those that begin a run.
        step: the median one between neighboring runs, of the range of values in the mask.
    """

    narrow: float = 0.0
    between: float = 0.0
    changing: float = 0.0
    step: float = 0.0

    @property
    def is_noise(self) -> bool:
        """Whether no regions are left."""
        return self.changing > _NOISE and self.step > _WIDE

    @property
    def is_mixed(self) -> bool:
        """Whether pixels along borders were averaged."""
        return self.between >= _MIXED and self.narrow >= _MOSTLY_NARROW


def mixing_of(codes: MaskValues) -> str:
    """The row of `FINDING_KINDS` that a mask of mixed values belongs to; "" for a sound one.

    Args:
        codes: (H, W); colors as red * 65536 + green * 256 + blue.
    """
    found = mixture(codes)
    if found.is_noise:
        return "noise-mask"
    if not found.is_mixed:
        return ""
    return "jpeg-mask" if _blockiness(codes) > _BLOCKS else "blurred-mask"


def mixture(codes: MaskValues) -> Mixture:
    """Looks at a mask's runs; codes as of `mixing_of`."""
    flat = codes.ravel()
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    height, width = codes.shape
    if len(starts) < height / 4 or len(starts) < 16:
        return Mixture()
    lengths = np.diff(starts)
    narrow = np.flatnonzero(lengths <= _NARROW)
    values = flat[np.concatenate([[0], starts])].astype(np.int64)
    before, here, after = values[narrow], values[narrow + 1], values[narrow + 2]
    between = np.ones(len(narrow), bool)
    for shift in (0, 8, 16) if codes.dtype == np.uint32 else (0,):
        low, middle, high = (
            (one >> shift) & (255 if codes.dtype == np.uint32 else 65535) for one in (before, here, after)
        )
        between &= (np.minimum(low, high) <= middle) & (middle <= np.maximum(low, high))
    between &= before != after
    # Of colors, the change in red.
    levels = values >> 16 if codes.dtype == np.uint32 else values
    steps = np.abs(np.diff(levels))
    return Mixture(
        narrow=len(narrow) / len(starts),
        between=float(between.sum()) / len(starts),
        changing=len(starts) / len(flat) if min(height, width) >= _SMALLEST else 0.0,
        step=float(np.median(steps)) / max(1, int(np.ptp(levels))),
    )


def _blockiness(codes: MaskValues) -> float:
    """How many more blocks hold a change when their grid is laid half a block beside JPEG's than when on it.

    JPEG alters a block that a border crosses as a whole, and no other; smoothing knows no blocks. Colors are mostly
    stored with half the resolution, in blocks of 16 x 16, and smoothed across their edges by a pixel.
    """
    found = _off_grid(codes, 8, 0)
    return max(found, _off_grid(codes, 16, 2)) if codes.dtype == np.uint32 else found


def _off_grid(codes: MaskValues, side: int, margin: int) -> float:
    half = side // 2
    beside = [_changing_blocks(codes, place, side, margin) for place in ((0, half), (half, 0), (half, half))]
    # A few blocks prove nothing.
    few = 0.002
    return (sum(beside) / len(beside) + few) / (_changing_blocks(codes, (0, 0), side, margin) + few)


def _changing_blocks(codes: MaskValues, start: tuple[int, int], side: int, margin: int) -> float:
    """The share of blocks, `margin` pixels left out around each, that hold more than one code."""
    top, left = start
    rows, columns = (max(0, length - side) // side for length in codes.shape)
    blocks = codes[top : top + rows * side, left : left + columns * side].reshape(rows, side, columns, side)
    inner = blocks[:, margin : side - margin, :, margin : side - margin]
    return float((inner.max((1, 3)) != inner.min((1, 3))).mean()) if inner.size else 0.0
