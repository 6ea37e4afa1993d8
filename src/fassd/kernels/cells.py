"""The compiled loops of `upsample_argmax`: cells of the coarse grid, row by row.

Four neighbouring coarse places bound a *cell*; every pixel of the answer lies in one. Nothing here holds Python's lock
or starts a thread, so that neither PyTorch's nor OpenVINO's threads can be in the way.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fassd.kernels.compiled import compiled, kept
from fassd.kernels.exponential import exp_of_negative
from fassd.kernels.plan import Plan

_Array: TypeAlias = np.ndarray[Any, Any]

# A tile is the part of a cell that is interpolated at once: at most so many pixels a side, packed row by row.
_SIDE = 8
_TILE = _SIDE * _SIDE
# The parts of a tile's workspace: the weights of its four corners, then two numbers for each pixel. They share one
# array, which shows the compiler that they do not overlap: only then does it use vectors.
_RIGHT, _LOWER, _LOWER_RIGHT, _FIRST, _SECOND, _WORKSPACE = (part * _TILE for part in range(1, 7))


class _Sides(NamedTuple):
    """A row of cells: (C, w) float32 logits above and below it, and (w,) the best channel at each place there."""

    above: _Array
    below: _Array
    best_above: _Array
    best_below: _Array


@kept
def label_bands(
    bits: _Array,
    planar: bool,
    plan: Plan,
    maps: _Array,
    probability: _Array | None,
    margin: _Array | None,
    part: int,
    parts: int,
) -> int:
    """Answers every `parts`-th band of cell rows, from band `part` on; bands so that busy regions are shared out.

    Args:
        bits: the logits' bit patterns, uint32 (float32) or uint16 (bfloat16); (N, C, h, w) if planar else (N, h, w, C).
        planar: which of the two.
        plan: what is asked.
        maps: (N, H, W) uint8, filled in.
        probability, margin: both (N, H, W) float32 and filled in, or both None.
        part, parts: which bands.

    Returns:
        The largest bit pattern met, sign aside: from 0x7F800000 on, an infinity or a NaN was among the logits.
    """
    count, height, width = bits.shape[1:] if planar else (bits.shape[3], bits.shape[1], bits.shape[2])
    # An odd multiple of a cache line: rows of a power of two would all compete for the same few places in the cache.
    patterns = np.zeros((2, count, (width + 31) // 32 * 32 + 16), np.uint32)
    values = patterns.view(np.float32)
    best = np.zeros((2, max(width, 2)), np.int32)  # a single place has zeros beside it, which weigh nothing
    cells = plan.rows.first.size - 1
    band = max((cells + 4 * parts - 1) // (4 * parts), 1)
    bands = (cells + band - 1) // band
    largest = np.uint32(0)
    for unit in range(part, maps.shape[0] * bands, parts):
        image, begin = unit // bands, unit % bands * band
        for row in range(begin, min(begin + band, cells) + 1):
            new, old = row % 2, 1 - row % 2
            _load_row(bits, planar, image, min(row, height - 1), patterns[new])
            largest = max(largest, _largest(patterns[new]))
            _best_of_row(values[new], best[new])
            if row > begin:
                sides = _Sides(values[old], values[new], best[old], best[new])
                _label_cells(sides, plan, row - 1, maps[image])
                if probability is not None and margin is not None:
                    _rate_cells(sides, plan, row - 1, probability[image], margin[image])
    return int(largest)


@compiled
def _load_row(bits: _Array, planar: bool, image: int, row: int, patterns: _Array) -> None:
    """One coarse row, class by class, as float32 bit patterns."""
    shift = np.uint32(32 - 8 * bits.itemsize)
    if planar:
        for channel in range(bits.shape[1]):
            for x in range(bits.shape[3]):
                patterns[channel, x] = np.uint32(bits[image, channel, row, x]) << shift
    else:
        for x in range(bits.shape[2]):
            for channel in range(bits.shape[3]):
                patterns[channel, x] = np.uint32(bits[image, row, x, channel]) << shift


@compiled
def _largest(patterns: _Array) -> np.uint32:
    largest = np.uint32(0)
    for channel in range(patterns.shape[0]):
        for x in range(patterns.shape[1]):
            largest = max(largest, patterns[channel, x] & np.uint32(0x7FFFFFFF))
    return largest


@compiled
def _best_of_row(values: _Array, best: _Array) -> None:
    """The best channel at every coarse place of a row; of equal ones the first."""
    top = values[0].copy()
    best[:] = 0
    for channel in range(1, values.shape[0]):
        for x in range(best.size):
            value = values[channel, x]
            better = value > top[x]
            top[x] = value if better else top[x]
            best[x] = channel if better else best[x]


@compiled
def _label_cells(sides: _Sides, plan: Plan, cell_row: int, maps: _Array) -> None:
    """Answers a row of cells: all of it as if settled, then the cells that are not."""
    columns = plan.columns
    top, bottom = plan.rows.first[cell_row], plan.rows.first[cell_row + 1]
    if top == bottom:
        return
    _settle(sides.best_above, columns.cell, plan.classes, maps[top:bottom])
    workspace = np.empty(_WORKSPACE)
    for cell in range(columns.first.size - 1):
        corners = (
            sides.best_above[cell],
            sides.best_above[cell + 1],
            sides.best_below[cell],
            sides.best_below[cell + 1],
        )
        if corners[0] == corners[1] and corners[0] == corners[2] and corners[0] == corners[3]:
            continue
        floor = np.float32(-np.inf)
        for channel in corners:
            a, b, c, d = _corners(sides, channel, cell)
            floor = max(floor, min(a, b, c, d))
        left, right = columns.first[cell], columns.first[cell + 1]
        for y in range(top, bottom, _SIDE):
            for x in range(left, right, _SIDE):
                y_end, x_end = min(y + _SIDE, bottom), min(x + _SIDE, right)
                pixels = _weigh(plan, y, y_end, x, x_end, workspace)
                _solve(sides, plan.classes, cell, floor, pixels, workspace)
                _put(workspace, maps[y:y_end, x:x_end])


@compiled
def _settle(best: _Array, cell: _Array, classes: _Array, maps: _Array) -> None:
    """Fills a row of cells with the class of each cell's first corner: right wherever all four corners agree."""
    for x in range(cell.size):
        maps[0, x] = classes[best[cell[x]]]
    for y in range(1, maps.shape[0]):
        for x in range(cell.size):
            maps[y, x] = maps[0, x]


@compiled
def _corners(sides: _Sides, channel: int, cell: int) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    above, below = sides.above, sides.below
    return above[channel, cell], above[channel, cell + 1], below[channel, cell], below[channel, cell + 1]


@compiled
def _weigh(plan: Plan, top: int, bottom: int, left: int, right: int, workspace: _Array) -> int:
    """The weights of the four corners for every pixel of a tile; answers how many pixels there are."""
    ups, downs = plan.rows.near[top:bottom], plan.rows.far[top:bottom]
    lefts, rights = plan.columns.near[left:right], plan.columns.far[left:right]
    wide = lefts.size
    for y in range(ups.size):
        for x in range(wide):
            pixel = y * wide + x
            workspace[pixel] = ups[y] * lefts[x]
            workspace[_RIGHT + pixel] = ups[y] * rights[x]
            workspace[_LOWER + pixel] = downs[y] * lefts[x]
            workspace[_LOWER_RIGHT + pixel] = downs[y] * rights[x]
    return ups.size * wide


@compiled
def _solve(sides: _Sides, classes: _Array, cell: int, floor: np.float32, pixels: int, workspace: _Array) -> None:
    """The best class of every pixel of a tile; classes that stay below `floor` are beaten without a look."""
    workspace[_FIRST : _FIRST + pixels] = -np.inf
    for channel in range(classes.size):
        a, b, c, d = _corners(sides, channel, cell)
        if max(a, b, c, d) < floor:
            continue
        a64, b64, c64, d64 = np.float64(a), np.float64(b), np.float64(c), np.float64(d)
        label = np.float64(classes[channel])
        for pixel in range(pixels):
            value = (
                a64 * workspace[pixel]
                + b64 * workspace[_RIGHT + pixel]
                + c64 * workspace[_LOWER + pixel]
                + d64 * workspace[_LOWER_RIGHT + pixel]
            )
            better = value > workspace[_FIRST + pixel]
            workspace[_FIRST + pixel] = value if better else workspace[_FIRST + pixel]
            workspace[_SECOND + pixel] = label if better else workspace[_SECOND + pixel]


@compiled
def _put(workspace: _Array, maps: _Array) -> None:
    wide = maps.shape[1]
    for y in range(maps.shape[0]):
        for x in range(wide):
            maps[y, x] = np.uint8(workspace[_SECOND + y * wide + x])


@compiled
def _rate_cells(sides: _Sides, plan: Plan, cell_row: int, probability: _Array, margin: _Array) -> None:
    """Softmax of the best and its lead over the second for a row of cells: every class counts, no cell is settled."""
    columns = plan.columns
    scale = 1.0 / ((plan.rows.near[0] + plan.rows.far[0]) * (columns.near[0] + columns.far[0]))
    top, bottom = plan.rows.first[cell_row], plan.rows.first[cell_row + 1]
    workspace = np.empty(_WORKSPACE)
    logits = np.empty((plan.classes.size, _TILE))
    for cell in range(columns.first.size - 1):
        left, right = columns.first[cell], columns.first[cell + 1]
        for y in range(top, bottom, _SIDE):
            for x in range(left, right, _SIDE):
                y_end, x_end = min(y + _SIDE, bottom), min(x + _SIDE, right)
                pixels = _weigh(plan, y, y_end, x, x_end, workspace)
                _rank(sides, cell, scale, pixels, workspace, logits)
                _rate(logits, pixels, workspace, probability[y:y_end, x:x_end], margin[y:y_end, x:x_end])


@compiled
def _rank(sides: _Sides, cell: int, scale: float, pixels: int, workspace: _Array, logits: _Array) -> None:
    """The enlarged logits of a tile, class by class, and into the workspace the best two of each pixel."""
    workspace[_FIRST : _FIRST + pixels] = -np.inf
    workspace[_SECOND : _SECOND + pixels] = -np.inf
    for channel in range(logits.shape[0]):
        a, b, c, d = _corners(sides, channel, cell)
        a64, b64, c64, d64 = a * scale, b * scale, c * scale, d * scale
        for pixel in range(pixels):
            value = (
                a64 * workspace[pixel]
                + b64 * workspace[_RIGHT + pixel]
                + c64 * workspace[_LOWER + pixel]
                + d64 * workspace[_LOWER_RIGHT + pixel]
            )
            logits[channel, pixel] = value
            first = workspace[_FIRST + pixel]
            workspace[_FIRST + pixel] = max(first, value)
            workspace[_SECOND + pixel] = max(workspace[_SECOND + pixel], min(first, value))


@compiled
def _rate(logits: _Array, pixels: int, workspace: _Array, probability: _Array, margin: _Array) -> None:
    total = np.zeros(_TILE, np.float32)
    for channel in range(logits.shape[0]):
        for pixel in range(pixels):
            total[pixel] += exp_of_negative(np.float32(logits[channel, pixel] - workspace[_FIRST + pixel]))
    wide = margin.shape[1]
    for y in range(margin.shape[0]):
        for x in range(wide):
            pixel = y * wide + x
            probability[y, x] = np.float32(1) / total[pixel]
            margin[y, x] = workspace[_FIRST + pixel] - workspace[_SECOND + pixel]
