"""Bilinear upsampling with corners aligned, in strips: the coarse neighbors of fine positions, with NumPy alone."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

_Indices: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int64]]"


def coarse_neighbors(
    coarse: int, fine: int, start: int, stop: int
) -> tuple[_Indices, _Indices, np.ndarray[Any, np.dtype[np.float32]]]:
    """The coarse positions before and after fine ones along one axis, and the weight of the one after.

    Args:
        coarse: positions before upsampling.
        fine: positions after upsampling; the first and last lie on the first and last coarse one.
        start, stop: of the fine positions that are asked for.

    Returns:
        before, after: (stop - start,) int64; after is before at the end of the axis.
        weight: (stop - start,) float32, 0 to 1.
    """
    positions = np.arange(start, stop) * ((coarse - 1) / max(1, fine - 1))
    before = np.minimum(positions.astype(np.int64), coarse - 1)
    return before, np.minimum(before + 1, coarse - 1), (positions - before).astype(np.float32)
