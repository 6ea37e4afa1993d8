"""The argmax class at every pixel of upsampled logits, computed without the upsampled logits.

Networks return logits at 1/4 to 1/8 of the image's size. Upsampling them (bilinear, corners aligned) before the argmax
would write and read hundreds of megabytes; these kernels read the small logits and write the class map.

Four neighboring positions of the coarse grid, the corners i, bound a *cell*, and every output pixel lies in one. Its
logit of class k is the sum over corners of w_i k_i, where k_i is the logit of k at corner i; the weights w_i >= 0 have
the sum 1 and are the same for all classes.

**Equal corners settle a cell.** Let class k be the argmax of all four corners; of equal logits the lowest class wins.
Then k_i >= m_i for any class m, and k_i > m_i for m < k. Hence sum(w_i k_i) >= sum(w_i m_i), with > for m < k because
some w_i > 0: class k is the argmax of every pixel of the cell, by the same rule. This compares only given numbers, so
it is exact, where interpolation in float64 may round two sums to a tie and take the lower class.

**In other cells few classes can win.** Let K be the argmax classes of the four corners. With

    floor = max over k in K of min over i of k_i

the largest logit of any pixel is at least `floor`, so a class m with max over i of m_i < floor wins at no pixel.
The other classes are interpolated in float64 with integer weights, the true ones times (H - 1)(W - 1): the factor is
positive and changes no argmax. Products of float32 logits and weights below 2^29 are exact in float64, and so are their
sums, ties included, if the four corners have similar magnitudes or few digits (bfloat16); otherwise the error is at
most 2^-51 of the largest corner.

The loops release the GIL, and threads end with the call, so PyTorch's and OpenVINO's threads are not disturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float32

from fassd.core.arrays import ClassMaps
from fassd.core.errors import UsageError
from fassd.core.machine import usable_cores
from fassd.kernels.compiled import compiled, exp_of_negative, kept
from fassd.kernels.upsample_in_numpy import Axis, Layout, axis, checked_classes, checked_size, where_not_finite

_Array: TypeAlias = np.ndarray[Any, Any]


_INFINITY_BITS = 0x7F800000
# Starting a thread takes as long as this many pixels.
_PIXELS_PER_THREAD = 1 << 17


@dataclass(frozen=True)
class Confidence:
    """Class maps with the confidence at every pixel.

    Attributes:
        class_maps: (N, H, W) uint8.
        probability: softmax of the argmax class, above 0 and at most 1, accurate to 1e-6.
        margin: the largest upsampled logit minus the second largest; infinite if there is only one class.
    """

    class_maps: ClassMaps
    probability: Float32[_Array, "n height width"]
    margin: Float32[_Array, "n height width"]


def upsample_argmax(
    logits: _Array,
    size: tuple[int, int],
    *,
    layout: Layout = "nchw",
    classes: Sequence[int] | None = None,
    threads: int | None = None,
    out: ClassMaps | None = None,
    bfloat16_bits: bool = False,
) -> ClassMaps:
    """The argmax class at every pixel of the logits upsampled (bilinear, corners aligned) to `size`.

    Thread-safe. The result does not depend on the number of threads.

    Args:
        logits: (N, C, h, w), or (N, h, w, C) with layout "nhwc"; float32, float16 or bfloat16; 1 to 256 classes; all
            finite. Not copied if contiguous in either order.
        size: (H, W) of the class maps; may be smaller than (h, w).
        layout: the order of the axes of `logits`.
        classes: the classes that may be predicted; only their logits are read. None means all.
        threads: the maximum number; None means one for each usable core. Small maps use fewer.
        out: (N, H, W) uint8, contiguous; filled and returned. None allocates a new array.
        bfloat16_bits: whether `logits` is uint16 with the bit patterns of bfloat16.

    Returns:
        (N, H, W) uint8 class numbers; of equal logits the lowest class wins.

    Raises:
        UsageError: not an array; wrong dtype, shape, size or `out`; `classes` is empty or names an unknown class; a
            logit is infinite or NaN (to exclude a class, omit it from `classes`).
    """
    channels = _check_logits(logits, layout, bfloat16_bits)
    maps = _room((len(logits), *checked_size(size)), out)
    _fill(logits, channels, classes, threads, maps)
    return maps


def upsample_confidence(
    logits: _Array,
    size: tuple[int, int],
    *,
    layout: Layout = "nchw",
    classes: Sequence[int] | None = None,
    threads: int | None = None,
    bfloat16_bits: bool = False,
) -> Confidence:
    """The class maps of `upsample_argmax` with their softmax probability and margin, in one pass.

    Slower, because every class counts at every pixel. With `classes`, the softmax is over those classes only.

    Raises:
        UsageError: as `upsample_argmax`.
    """
    channels = _check_logits(logits, layout, bfloat16_bits)
    shape = (len(logits), *checked_size(size))
    confidence = Confidence(np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty(shape, np.float32))
    _fill(logits, channels, classes, threads, confidence.class_maps, confidence.probability, confidence.margin)
    return confidence


def _fill(
    logits: _Array,
    channels: int,
    classes: Sequence[int] | None,
    threads: int | None,
    maps: ClassMaps,
    probability: _Array | None = None,
    margin: _Array | None = None,
) -> None:
    chosen, labels = logits, np.arange(logits.shape[channels])
    if classes is not None:
        labels = checked_classes(classes, logits.shape[channels])
        chosen = logits.take(labels, channels)
    bits, planar = _bit_patterns(chosen, channels == 1)
    height, width = bits.shape[2:] if planar else bits.shape[1:3]
    plan = Plan(axis(height, maps.shape[1]), axis(width, maps.shape[2]), labels.astype(np.uint8))
    parts = _parts(threads, maps.size)

    def label(part: int) -> int:
        return label_bands(bits, planar, plan, maps, probability, margin, part, parts)

    if max(_in_threads(label, parts)) >= _INFINITY_BITS:
        raise UsageError(where_not_finite(logits, channels, labels))


def _check_logits(logits: _Array, layout: str, bfloat16_bits: bool) -> int:
    """Checks type, dtype and shape; returns the axis of the classes."""
    if layout not in ("nchw", "nhwc"):
        raise UsageError(f"there is no layout '{layout}' of logits; use nchw or nhwc")
    axes = ", ".join(layout)
    known = ("uint16",) if bfloat16_bits else ("float32", "float16", "bfloat16")
    if not isinstance(logits, np.ndarray):
        raise UsageError(
            f"logits are of type {type(logits).__name__}; expected a NumPy array ({axes}) of {' or '.join(known)}"
        )
    if logits.dtype.name not in known or not logits.dtype.isnative:
        raise UsageError(f"logits are {logits.dtype}; expected {' or '.join(known)}")
    channels = layout.index("c")
    if logits.ndim != 4 or 0 in logits.shape or logits.shape[channels] > 256:
        raise UsageError(f"logits are {tuple(logits.shape)}; expected ({axes}), each at least 1, c at most 256")
    return channels


def _bit_patterns(logits: _Array, planar: bool) -> tuple[_Array, bool]:
    """The bits of the logits in their memory order, and whether it is (N, C, h, w), planar, or (N, h, w, C)."""
    if logits.dtype == np.float16:
        logits = logits.astype(np.float32)
    turned = logits.transpose(0, 2, 3, 1) if planar else logits.transpose(0, 3, 1, 2)
    if turned.flags.c_contiguous and not logits.flags.c_contiguous:
        logits, planar = turned, not planar
    bits = np.require(logits, requirements=["C", "A"]).view(np.uint32 if logits.itemsize == 4 else np.uint16)
    bits.flags.writeable = False  # one array type for all inputs, so one compiled version
    return bits, planar


def _room(shape: tuple[int, int, int], out: ClassMaps | None) -> ClassMaps:
    if out is None:
        return np.empty(shape, np.uint8)
    if not isinstance(out, np.ndarray):
        raise UsageError(f"out is of type {type(out).__name__}; expected contiguous, writable uint8 {shape}")
    if out.dtype != np.uint8 or out.shape != shape or not (out.flags.c_contiguous and out.flags.writeable):
        raise UsageError(f"out is {out.dtype} {out.shape}; expected contiguous, writable uint8 {shape}")
    return out


def _parts(threads: int | None, pixels: int) -> int:
    if threads is not None and threads < 1:
        raise UsageError(f"threads is {threads}; expected at least 1")
    return max(1, min(threads or usable_cores(), pixels // _PIXELS_PER_THREAD))


def _in_threads(label: Callable[[int], int], parts: int) -> list[int]:
    """Runs all parts, the first in this thread. Threads end with the call, so that none is lost in a forked process."""
    if parts == 1:
        return [label(0)]
    with ThreadPoolExecutor(parts - 1) as others:
        running = [others.submit(label, part) for part in range(1, parts)]
        return [label(0), *(one.result() for one in running)]


class Plan(NamedTuple):
    """Both axes of the output, and (C,) uint8, the class of every channel, ascending."""

    rows: Axis
    columns: Axis
    classes: _Array


# A tile is the part of a cell that is interpolated at once: at most `_SIDE` pixels high and wide, stored row by row.
_SIDE = 8
_TILE = _SIDE * _SIDE
# The parts of a tile's workspace: the weights of the four corners, then two numbers for every pixel. They share one
# array, so that the compiler knows they do not overlap: only then does it vectorize.
_RIGHT, _LOWER, _LOWER_RIGHT, _FIRST, _SECOND, _WORKSPACE = (part * _TILE for part in range(1, 7))


class _Sides(NamedTuple):
    """A row of cells: (C, w) float32, the logits above and below it, and (w,), the argmax channels there."""

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
    """Computes every `parts`-th band of cell rows, from band `part` on; busy regions are spread over the parts.

    Args:
        bits: the logits' bit patterns, uint32 (float32) or uint16 (bfloat16); (N, C, h, w) if planar else (N, h, w, C).
        planar: the order of the axes.
        plan: the output axes and the classes.
        maps: (N, H, W) uint8, filled.
        probability, margin: both (N, H, W) float32, filled; or both None.
        part, parts: which bands.

    Returns:
        The largest bit pattern without its sign: from 0x7F800000 on, a logit is infinite or NaN.
    """
    count, height, width = bits.shape[1:] if planar else (bits.shape[3], bits.shape[1], bits.shape[2])
    # An odd multiple of a cache line: rows of a power of two would compete for the same cache sets.
    patterns = np.zeros((2, count, (width + 31) // 32 * 32 + 16), np.uint32)
    values = patterns.view(np.float32)
    best = np.zeros((2, max(width, 2)), np.int32)  # a single position has zeros beside it, of weight 0
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
            _argmax_of_row(values[new], best[new])
            if row > begin:
                sides = _Sides(values[old], values[new], best[old], best[new])
                _label_cells(sides, plan, row - 1, maps[image])
                if probability is not None and margin is not None:
                    _rate_cells(sides, plan, row - 1, probability[image], margin[image])
    return int(largest)


@compiled
def _load_row(bits: _Array, planar: bool, image: int, row: int, patterns: _Array) -> None:
    """A coarse row as float32 bit patterns, (C, w)."""
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
def _argmax_of_row(values: _Array, best: _Array) -> None:
    """The argmax channel at every position of a coarse row; of equal ones the first."""
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
    """Fills a row of cells: first as if all were settled, then the cells that are not."""
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
    """Fills a row of cells with the class of the first corner of every cell: right where all four corners agree."""
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
    """The weights of the four corners for every pixel of a tile; returns the number of pixels."""
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
    """The argmax class of every pixel of a tile; classes that stay below `floor` are skipped."""
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
    """Probability and margin for a row of cells: every class counts, so no cell is settled."""
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
    """The upsampled logits of a tile, class by class; the two largest of every pixel go into the workspace."""
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
