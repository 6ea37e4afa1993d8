"""Where the pixels of an answer lie between the places of coarse logits."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

_Array: TypeAlias = np.ndarray[Any, Any]


class Axis(NamedTuple):
    """How the pixels of one axis of the answer lie in the cells.

    Attributes:
        cell: (pixels,) uint32, the cell of each pixel.
        near, far: (pixels,) float64 whole numbers, the weights of the cell's first and second coarse place. They add
            up to `pixels - 1` and are not divided by it: that would round, and no argmax depends on it.
        first: (cells + 1,) int64, the first pixel of each cell, then the number of pixels.
    """

    cell: _Array
    near: _Array
    far: _Array
    first: _Array


class Plan(NamedTuple):
    """What is asked: both axes of the answer, and (C,) uint8 the class that each channel stands for, ascending."""

    rows: Axis
    columns: Axis
    classes: _Array


def axis(places: int, pixels: int) -> Axis:
    """Lays `pixels` over coarse `places`, the first on the first and the last on the last."""
    span, cells = max(pixels - 1, 1), max(places - 1, 1)
    along = np.arange(pixels, dtype=np.int64) * (places - 1)
    cell = np.minimum(along // span, cells - 1)
    far = along - cell * span
    first = np.searchsorted(cell, np.arange(cells + 1)).astype(np.int64)
    return Axis(cell.astype(np.uint32), (span - far).astype(np.float64), far.astype(np.float64), first)
