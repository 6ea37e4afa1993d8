"""The best class at every pixel of enlarged logits, without making the enlarged logits.

Logits leave the network at 1/4 to 1/8 of the picture. Enlarging them (bilinear, corners aligned) and taking the
argmax would write and read hundreds of megabytes; this reads the small logits and writes the class map.

**Equal corners settle a cell.** A pixel between four coarse places a, b, c, d has weights w >= 0 with sum 1, the same
for every class. Let class k be the answer at all four, by the rule "the lowest of the best": there, k is at least any
class m, and above any m < k. Then sum(w_i k_i) >= sum(w_i m_i), and > for m < k, because some w_i > 0. So k is the
answer at the pixel, by the same rule. Only given numbers were compared, so nothing was rounded: where float64
interpolation rounds two sums to a tie and takes the lower class, this is the exact answer and that is not.

**In other cells few classes can win.** With `floor` the largest of the four corners' winners' smallest corner values, a
class whose largest corner value is below it is beaten everywhere in the cell. The others are interpolated in float64
with whole-numbered weights, which are the true ones times (H - 1)(W - 1): the factor is positive, so it moves no
argmax. Products of float32 values and weights below 2^29 are exact in float64, and so are their sums, ties included,
while the four corners are of like size or have few digits (bfloat16); else the error is 2^-51 of the largest corner.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float32

from fassd.core.arrays import ClassMaps
from fassd.core.errors import UsageError
from fassd.core.machine import usable_cores
from fassd.kernels.cells import label_bands
from fassd.kernels.plan import Plan, axis

Layout: TypeAlias = Literal["nchw", "nhwc"]
_Array: TypeAlias = np.ndarray[Any, Any]

_INFINITY_BITS = 0x7F800000
# Starting a thread costs as much as answering so many pixels.
_PIXELS_PER_THREAD = 1 << 17


@dataclass(frozen=True)
class Confidence:
    """Class maps and how sure they are.

    Attributes:
        class_maps: (N, H, W) uint8.
        probability: the softmax of the best class, above 0 and at most 1, to 1e-6.
        margin: the best of the enlarged logits minus the second best; infinite where there is but one class.
    """

    class_maps: ClassMaps
    probability: Float32[_Array, "n height width"]
    margin: Float32[_Array, "n height width"]


def upsample_argmax(
    logits: _Array,
    size: tuple[int, int],
    *,
    layout: Layout = "nchw",
    among: Sequence[int] | None = None,
    threads: int | None = None,
    out: ClassMaps | None = None,
    bfloat16_bits: bool = False,
) -> ClassMaps:
    """The best class at every pixel of the logits enlarged (bilinear, corners aligned) to `size`.

    May be called from several threads at once. The answer does not depend on the number of threads.

    Args:
        logits: (N, C, h, w), or (N, h, w, C) with layout "nhwc"; float32, float16 or bfloat16; 1 to 256 classes; all
            finite. Read in place if contiguous in either order.
        size: (H, W) of the answer, any, also smaller than (h, w).
        layout: the order of the axes of `logits`.
        among: only these classes may be the answer, and only their logits are read; None means all.
        threads: at most so many; None means one for each core that this process may use. Small maps take fewer.
        out: filled in and returned; (N, H, W) uint8, contiguous. None means a new array.
        bfloat16_bits: `logits` is uint16 and holds the bit patterns of bfloat16.

    Returns:
        (N, H, W) uint8 class numbers; of equal logits the lowest class wins.

    Raises:
        UsageError: no array; wrong dtype, shape, size or `out`; `among` is empty or names no class; a logit
            is infinite or NaN (to rule a class out, leave it out of `among`).
    """
    channels = _check_logits(logits, layout, bfloat16_bits)
    maps = _room((len(logits), *_checked_size(size)), out)
    _fill(logits, channels, among, threads, maps)
    return maps


def upsample_confidence(
    logits: _Array,
    size: tuple[int, int],
    *,
    layout: Layout = "nchw",
    among: Sequence[int] | None = None,
    threads: int | None = None,
    bfloat16_bits: bool = False,
) -> Confidence:
    """Class maps as `upsample_argmax` gives them, with the softmax of the best and its lead, in one pass.

    Takes longer: every class counts at every pixel. With `among`, the softmax is over those classes alone.

    Raises:
        UsageError: as `upsample_argmax`.
    """
    channels = _check_logits(logits, layout, bfloat16_bits)
    shape = (len(logits), *_checked_size(size))
    confidence = Confidence(np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty(shape, np.float32))
    _fill(logits, channels, among, threads, confidence.class_maps, confidence.probability, confidence.margin)
    return confidence


def _fill(
    logits: _Array,
    channels: int,
    among: Sequence[int] | None,
    threads: int | None,
    maps: ClassMaps,
    probability: _Array | None = None,
    margin: _Array | None = None,
) -> None:
    chosen, classes = logits, np.arange(logits.shape[channels])
    if among is not None:
        classes = _checked_among(among, logits.shape[channels])
        chosen = logits.take(classes, channels)
    bits, planar = _bit_patterns(chosen, channels == 1)
    height, width = bits.shape[2:] if planar else bits.shape[1:3]
    plan = Plan(axis(height, maps.shape[1]), axis(width, maps.shape[2]), classes.astype(np.uint8))
    parts = _parts(threads, maps.size)

    def label(part: int) -> int:
        return label_bands(bits, planar, plan, maps, probability, margin, part, parts)

    if max(_in_threads(label, parts)) >= _INFINITY_BITS:
        raise UsageError(_where_not_finite(logits, channels, classes))


def _check_logits(logits: _Array, layout: str, bfloat16_bits: bool) -> int:
    """Refuses what are no logits; answers which axis the classes are on."""
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


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = (operator.index(side) for side in size)
    except (TypeError, ValueError):
        raise UsageError(f"the answer's size is {size}; expected height and width in whole pixels") from None
    if min(height, width) < 1:
        raise UsageError(f"the answer's size is {height}x{width}; expected at least 1x1")
    return height, width


def _checked_among(among: Sequence[int], count: int) -> _Array:
    try:
        chosen = sorted({operator.index(one) for one in among})
    except TypeError:
        raise UsageError(f"the answer is to be among {among}; expected numbers of classes") from None
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise UsageError(f"the answer is to be among {chosen}, but the classes are 0 to {count - 1}")
    return np.array(chosen)


def _bit_patterns(logits: _Array, planar: bool) -> tuple[_Array, bool]:
    """The logits' bits in the memory order they have, (N, C, h, w) if planar else (N, h, w, C), and which it is."""
    if logits.dtype == np.float16:
        logits = logits.astype(np.float32)
    turned = logits.transpose(0, 2, 3, 1) if planar else logits.transpose(0, 3, 1, 2)
    if turned.flags.c_contiguous and not logits.flags.c_contiguous:
        logits, planar = turned, not planar
    bits = np.require(logits, requirements=["C", "A"]).view(np.uint32 if logits.itemsize == 4 else np.uint16)
    bits.flags.writeable = False  # one type for all that comes, so one compiled form
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
        raise UsageError(f"{threads} threads cannot answer; use at least 1")
    return max(1, min(threads or usable_cores(), pixels // _PIXELS_PER_THREAD))


def _in_threads(label: Callable[[int], int], parts: int) -> list[int]:
    """Runs all parts, the first here. Threads live for one call: none is left to be lost in a forked process."""
    if parts == 1:
        return [label(0)]
    with ThreadPoolExecutor(parts - 1) as others:
        running = [others.submit(label, part) for part in range(1, parts)]
        return [label(0), *(one.result() for one in running)]


def _where_not_finite(logits: _Array, channels: int, classes: _Array) -> str:
    if logits.dtype == np.uint16:
        logits = (logits.astype(np.uint32) << 16).view(np.float32)
    planar = np.moveaxis(logits, channels, 1)
    image, channel, row, column = np.argwhere(~np.isfinite(planar[:, classes]))[0]
    found = float(planar[image, classes[channel], row, column])
    return (
        f"a logit is {found} (image {image}, class {classes[channel]}, row {row}, column {column}), expected finite "
        "numbers: the weights are damaged, or the precision is too low for them; try float32"
    )
