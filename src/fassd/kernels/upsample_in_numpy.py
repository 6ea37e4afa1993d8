"""The argmax class of upsampled logits with NumPy alone: the first images need not wait for a kernel.

Loading the compiled kernel takes a third of a second, compiling it three seconds. This computes the same class maps,
bit for bit, by the same operations; a map takes about ten times as long. `upsample_argmax` says why they are right.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from fassd.core.arrays import ClassMap, ClassMaps
from fassd.core.errors import UsageError

Layout: TypeAlias = Literal["nchw", "nhwc"]

_Array: TypeAlias = np.ndarray[Any, Any]
_PIXELS_AT_ONCE = 1 << 18


class Axis(NamedTuple):
    """The output pixels of one axis and the cells they lie in.

    Attributes:
        cell: (pixels,) uint32, the cell of every pixel.
        near, far: (pixels,) float64 integers, the weights of the first and second coarse position of the cell. Their
            sum is `pixels - 1`; dividing by it would round, and no argmax depends on it.
        first: (cells + 1,) int64, the first pixel of every cell, then the number of pixels.
    """

    cell: _Array
    near: _Array
    far: _Array
    first: _Array


def axis(positions: int, pixels: int) -> Axis:
    """Aligns `pixels` with coarse `positions`: the first with the first, the last with the last."""
    span, cells = max(pixels - 1, 1), max(positions - 1, 1)
    along = np.arange(pixels, dtype=np.int64) * (positions - 1)
    cell = np.minimum(along // span, cells - 1)
    far = along - cell * span
    first = np.searchsorted(cell, np.arange(cells + 1)).astype(np.int64)
    return Axis(cell.astype(np.uint32), (span - far).astype(np.float64), far.astype(np.float64), first)


def upsample_argmax_in_numpy(
    logits: _Array, size: tuple[int, int], *, layout: Layout = "nchw", classes: Sequence[int] | None = None
) -> ClassMaps:
    """As `upsample_argmax`, bit for bit.

    Args:
        logits: (N, C, h, w), or (N, h, w, C) with layout "nhwc"; float32; 1 to 256 classes; all finite.
        size: (H, W) of the class maps, at least 1x1.
        layout: the order of the axes of `logits`.
        classes: the classes that may be predicted; None means all.

    Returns:
        (N, H, W) uint8 class numbers; of equal logits the lowest class wins.

    Raises:
        UsageError: wrong size; `classes` is empty or names an unknown class; a logit is infinite or NaN.
    """
    channels = layout.index("c")
    count = logits.shape[channels]
    chosen = np.arange(count) if classes is None else checked_classes(classes, count)
    planes = np.ascontiguousarray(np.moveaxis(logits, channels, 1)[:, chosen])
    if not np.isfinite(planes).all():
        raise UsageError(where_not_finite(logits, channels, chosen))
    height, width = checked_size(size)
    rows, columns = axis(planes.shape[2], height), axis(planes.shape[3], width)
    return np.stack([_class_map(one, rows, columns, chosen.astype(np.uint8)) for one in planes])


def _class_map(planes: _Array, rows: Axis, columns: Axis, classes: _Array) -> ClassMap:
    """The class map of one image's (C, h, w) logits."""
    # A single row has a copy below it, a single column zeros beside it; both weigh nothing.
    planes = np.pad(planes, ((0, 0), (0, planes.shape[1] == 1), (0, 0)), "edge")
    planes = np.pad(planes, ((0, 0), (0, 0), (0, planes.shape[2] == 1)))
    near, far = np.s_[:-1], np.s_[1:]
    corners = [planes[:, y, x] for y in (near, far) for x in (near, far)]  # of the cells, class by class

    # Settled cells, and a first guess for the others.
    winners = [corner.argmax(0) for corner in corners]
    class_map: ClassMap = classes[winners[0]][rows.cell][:, columns.cell]
    settled = np.logical_and.reduce([winner == winners[0] for winner in winners[1:]])

    # The other cells, pixel by pixel, for the classes that can win there.
    lowest, highest = np.minimum.reduce(corners), np.maximum.reduce(corners)
    floor = np.maximum.reduce([np.take_along_axis(lowest, winner[None], 0) for winner in winners])
    can_win = (highest >= floor).reshape(len(classes), -1)
    y, x = np.nonzero(~settled[rows.cell][:, columns.cell])
    values = np.stack(corners, 1).reshape(len(classes), 4, -1)
    for start in range(0, y.size, _PIXELS_AT_ONCE):
        part = np.s_[start : start + _PIXELS_AT_ONCE]
        up, down, left, right = rows.near[y[part]], rows.far[y[part]], columns.near[x[part]], columns.far[x[part]]
        weights = up * left, up * right, down * left, down * right
        cell = rows.cell[y[part]] * np.int64(settled.shape[1]) + columns.cell[x[part]]
        best, label = np.full(cell.size, -np.inf), np.zeros(cell.size, np.uint8)
        for number, (a, b, c, d), possible in zip(classes, values, can_win, strict=True):
            value = a[cell] * weights[0] + b[cell] * weights[1] + c[cell] * weights[2] + d[cell] * weights[3]
            better = (value > best) & possible[cell]
            np.copyto(best, value, where=better)
            label[better] = number
        class_map[y[part], x[part]] = label
    return class_map


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of class maps.

    Raises:
        UsageError: not two integers, or below 1.
    """
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise UsageError(f"size is {size}; expected (height, width) as integers") from None
    if min(height, width) < 1:
        raise UsageError(f"size is {height}x{width}; expected at least 1x1")
    return height, width


def checked_classes(classes: Sequence[int], count: int) -> _Array:
    """The classes that may be predicted, ascending.

    Raises:
        UsageError: empty, or not classes of a network with `count` of them.
    """
    try:
        chosen = sorted({operator.index(one) for one in classes})
    except TypeError:
        raise UsageError(f"classes is {classes}; expected class numbers") from None
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise UsageError(f"classes is {chosen}, but the classes are 0 to {count - 1}")
    return np.array(chosen)


def where_not_finite(logits: _Array, channels: int, classes: _Array) -> str:
    """The error message for logits with an infinity or NaN: which it is, and what to do.

    Args:
        logits: as they were given; at least one is not finite.
        channels: the axis of the classes.
        classes: (C,) the classes to look at.
    """
    if logits.dtype == np.uint16:
        logits = (logits.astype(np.uint32) << 16).view(np.float32)
    planar = np.moveaxis(logits, channels, 1)
    image, channel, row, column = np.argwhere(~np.isfinite(planar[:, classes]))[0]
    found = float(planar[image, classes[channel], row, column])
    return (
        f"a logit is {found} (image {image}, class {classes[channel]}, row {row}, column {column}), expected finite "
        "numbers: the weights are damaged, or the precision is too low for them; try float32"
    )
