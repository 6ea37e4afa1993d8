"""Masks whose values were averaged by smooth resizing, anti-aliasing or JPEG, or are noise.

Between two regions such a mask holds narrow runs of values between theirs. Sound masks have few of these.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.core.arrays import MaskValues

_NARROW = 2
"""Longest run, in pixels along a row, that counts as narrow."""
_MIN_BETWEEN, _MIN_NARROW = 0.12, 0.45
"""Lowest shares of runs of smoothed masks. Sound masks reach 0.09 of runs between and 0.54 narrow; masks halved with
smoothing or saved as JPEG of quality 95 have at least 0.15 and 0.53."""
_JPEG_BLOCKINESS = 1.14
"""Lowest blockiness of JPEG masks. Sound masks have 1.00, smoothed ones mostly below 1.13, JPEG of quality 50 to 98 has
1.27 to 1.77 in the median."""
_NOISE_CHANGING = 0.5
"""Lowest share of changing pixels of noise."""
_NOISE_STEP = 0.15
"""Lowest median step of noise: 0.29 in noise, 0.02 where JPEG has altered most pixels."""
_SMALLEST = 8


@dataclass(frozen=True)
class RunStats:
    """Statistics of a mask's runs (equal values in reading order); all 0 where there are hardly any runs.

    Attributes:
        narrow: share of runs of one or two pixels.
        between: share of narrow runs whose value lies between those of their neighbors, in each channel.
        changing: share of pixels that begin a run.
        step: median difference between neighboring runs, divided by the range of values in the mask.
    """

    narrow: float = 0.0
    between: float = 0.0
    changing: float = 0.0
    step: float = 0.0

    @property
    def is_noise(self) -> bool:
        """Whether the mask has no regions."""
        return self.changing > _NOISE_CHANGING and self.step > _NOISE_STEP

    @property
    def is_smoothed(self) -> bool:
        """Whether values along borders were averaged."""
        return self.between >= _MIN_BETWEEN and self.narrow >= _MIN_NARROW


def smoothing_of(values: MaskValues) -> str:
    """The row of `FINDING_KINDS` of a smoothed or noisy mask; "" for a sound one.

    Args:
        values: (H, W); colors as red * 65536 + green * 256 + blue.
    """
    found = _run_stats(values)
    if found.is_noise:
        return "noise-mask"
    if not found.is_smoothed:
        return ""
    return "jpeg-mask" if _blockiness(values) > _JPEG_BLOCKINESS else "blurred-mask"


def _run_stats(mask: MaskValues) -> RunStats:
    flat = mask.ravel()
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    height, width = mask.shape
    if len(starts) < height / 4 or len(starts) < 16:
        return RunStats()
    lengths = np.diff(starts)
    narrow = np.flatnonzero(lengths <= _NARROW)
    values = flat[np.concatenate([[0], starts])].astype(np.int64)
    before, here, after = values[narrow], values[narrow + 1], values[narrow + 2]
    between = np.ones(len(narrow), bool)
    for shift in (0, 8, 16) if mask.dtype == np.uint32 else (0,):
        low, middle, high = (
            (one >> shift) & (255 if mask.dtype == np.uint32 else 65535) for one in (before, here, after)
        )
        between &= (np.minimum(low, high) <= middle) & (middle <= np.maximum(low, high))
    between &= before != after
    # Of colors, the step in red.
    levels = values >> 16 if mask.dtype == np.uint32 else values
    steps = np.abs(np.diff(levels))
    return RunStats(
        narrow=len(narrow) / len(starts),
        between=float(between.sum()) / len(starts),
        changing=len(starts) / len(flat) if min(height, width) >= _SMALLEST else 0.0,
        step=float(np.median(steps)) / max(1, int(np.ptp(levels))),
    )


def _blockiness(values: MaskValues) -> float:
    """The ratio of non-constant blocks on grids shifted by half a block to those on JPEG's own grid.

    JPEG alters every pixel of a block that a border crosses, and no other block; smoothing has no grid. Chroma is
    mostly stored at half the resolution, in blocks of 16 x 16 pixels, and smoothed across their edges by a pixel.
    """
    found = _off_grid_ratio(values, 8, 0)
    return max(found, _off_grid_ratio(values, 16, 2)) if values.dtype == np.uint32 else found


def _off_grid_ratio(values: MaskValues, side: int, margin: int) -> float:
    half = side // 2
    shifted = [_non_constant_blocks(values, place, side, margin) for place in ((0, half), (half, 0), (half, half))]
    few = 0.002  # so that a few blocks prove nothing
    return (sum(shifted) / len(shifted) + few) / (_non_constant_blocks(values, (0, 0), side, margin) + few)


def _non_constant_blocks(values: MaskValues, start: tuple[int, int], side: int, margin: int) -> float:
    """The share of blocks, without a `margin` of pixels around each, that hold more than one value."""
    top, left = start
    rows, columns = (max(0, length - side) // side for length in values.shape)
    blocks = values[top : top + rows * side, left : left + columns * side].reshape(rows, side, columns, side)
    inner = blocks[:, margin : side - margin, :, margin : side - margin]
    return float((inner.max((1, 3)) != inner.min((1, 3))).mean()) if inner.size else 0.0
