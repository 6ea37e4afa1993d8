"""Masks whose pixels were averaged: by smooth resizing, anti-aliasing or JPEG.

Between two classes such a mask holds values that lie between theirs. Real masks have few such places: a narrow region
whose number happens to lie between its neighbours' numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.core.arrays import Codes

_NARROW = 2
"""Pixels, along a row, of the narrow runs that are looked at."""
_BLOCK = 8
"""Pixels of JPEG's blocks."""
_GRID = 0.24
"""Share of changes on the grid that chance does not explain."""


_NOISE = 0.5
"""Share of pixels unlike the one before them from which nothing is left of regions."""


_WIDE = 0.15
"""Median step from which neighbours are independent: 0.29 in noise, 0.02 where JPEG has altered most pixels."""


@dataclass(frozen=True)
class Mixture:
    """Shares of a mask's runs (stretches of one code in reading order); 0 where there are hardly any.

    Attributes:
        narrow: runs of one or two pixels.
        between: narrow runs whose code lies between those of their neighbours, in each channel.
        changing: of the pixels, those that begin a run.
        step: the median one between neighbouring runs, of the range of values in the mask.
        on_grid: changes at the edges of JPEG's 8 x 8 blocks; an eighth by chance.
    """

    narrow: float = 0.0
    between: float = 0.0
    changing: float = 0.0
    step: float = 0.0
    on_grid: float = 0.0

    @property
    def cause(self) -> str:
        """The row of `FINDING_KINDS` that the mask belongs to; "" for a sound one.

        Sound masks reach 0.09 of runs between and 0.54 narrow; masks that were halved smoothly or saved as JPEG of
        quality 95 have 0.15 and 0.53 at least. JPEG also rings: many of its narrow runs are not between.
        """
        if self.changing > _NOISE and self.step > _WIDE:
            return "noise-mask"
        if self.between < 0.12 or self.narrow < 0.45:
            return ""
        rings = self.between < 0.74 * self.narrow
        return "jpeg-mask" if rings or self.on_grid > _GRID else "blurred-mask"


def mixture(codes: Codes) -> Mixture:
    """Looks at a mask's runs.

    Args:
        codes: (H, W); colours as red * 65536 + green * 256 + blue.
    """
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
    # Of colours, the change in red.
    levels = values >> 16 if codes.dtype == np.uint32 else values
    steps = np.abs(np.diff(levels))
    return Mixture(
        narrow=len(narrow) / len(starts),
        between=float(between.sum()) / len(starts),
        changing=len(starts) / len(flat) if min(height, width) >= _BLOCK else 0.0,
        step=float(np.median(steps)) / max(1, int(np.ptp(levels))),
        on_grid=float((starts % width % _BLOCK == 0).mean()),
    )
