"""The compiled loops of `pixel_losses`: bands of coarse rows, and in them stretches of a row of pixels.

Nothing here holds Python's lock or starts a thread.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fassd.kernels.compiled import compiled, kept
from fassd.kernels.exponential import exp_of_negative

_Array: TypeAlias = np.ndarray[Any, Any]

IGNORED, RULED_OUT, UNKNOWN = -1, -2, -3
"""Labels without a logit: one that loses nothing; one that cannot be (an infinite loss); a mistake (nothing)."""

# So many pixels of a row are handled at once; rows are filled up to a multiple of it.
_STRETCH = 128

_ONE = np.float32(1)


class Line(NamedTuple):
    """Pixels of one axis: the coarse places around each, the share of the second, the first pixel of each place."""

    before: _Array
    after: _Array
    share: _Array
    first: _Array


class Pixels(NamedTuple):
    """An image's labels, (H, W); the logit and the weight of each label, (256,); where the pixels lie."""

    labels: _Array
    places: _Array
    weights: _Array
    rows: Line
    columns: Line


class _Work(NamedTuple):
    """Room for a band.

    By place in `wide` and `slope`, (2, C, W'): a coarse row enlarged along the row, and its gradient; even rows first.
    For a row, (W',): `line`, the logits that the labels stand for, and `weigh`, their weights. For a stretch: `values`,
    (C, stretch), and numbers for each pixel.
    """

    wide: _Array
    slope: _Array
    line: _Array
    weigh: _Array
    values: _Array
    top: _Array
    total: _Array
    truth: _Array
    chosen: _Array


@kept
def lose_band(
    logits: _Array,
    pixels: Pixels,
    rule: tuple[np.float32, np.float32],
    band: tuple[int, int],
    losses: _Array,
    gradient: _Array,
    edge: _Array,
) -> tuple[float, float, int, int]:
    """Losses of the pixels from one coarse row to another.

    Args:
        logits: (C, h, w) float32, contiguous, finite.
        pixels: what is known of them.
        rule: pixels that lose more than the first number are hard, and the second's share of each that loses just that.
        band: the two coarse rows.
        losses: (H, W) float32, filled in.
        gradient: (C, h, w) float32; that of the weighted sum of the hard pixels' losses is added for the band's rows.
        edge: (C, w), likewise for the row after the band.

    Returns:
        The weighted sum, the sum of the weights, how many pixels lose more than the level, how many labels are UNKNOWN.
    """
    work = _work(logits.shape[0], losses.shape[1])
    lost, weight, hard, unknown = 0.0, 0.0, 0, 0
    _widen(logits[:, band[0]], pixels.columns, work.wide[band[0] % 2])
    for cell in range(band[0], band[1]):
        near, far = cell % 2, 1 - cell % 2
        _widen(logits[:, min(cell + 1, logits.shape[1] - 1)], pixels.columns, work.wide[far])
        for y in range(pixels.rows.first[cell], pixels.rows.first[cell + 1]):
            unknown += _look_up(pixels, y, work)
            for start in range(0, losses.shape[1], _STRETCH):
                _enlarge(work, near, pixels.rows.share[y], start)
                part = _lose(work, start, rule, losses[y, start : start + _STRETCH])
                lost, weight, hard = lost + part[0], weight + part[1], hard + part[2]
                if part[1] > 0:
                    _derive(work, near, pixels.rows.share[y], start)
        _narrow(work.slope[near], pixels.columns, gradient[:, cell])
        work.slope[near] = 0
    _narrow(work.slope[band[1] % 2], pixels.columns, edge)
    return lost, weight, hard, unknown


@compiled
def _work(classes: int, width: int) -> _Work:
    filled = (width + _STRETCH - 1) // _STRETCH * _STRETCH
    return _Work(
        np.zeros((2, classes, filled), np.float32),
        np.zeros((2, classes, filled), np.float32),
        np.full(filled, IGNORED, np.int32),
        np.zeros(filled, np.float32),
        np.zeros((classes, _STRETCH), np.float32),
        np.zeros(_STRETCH, np.float32),
        np.zeros(_STRETCH, np.float32),
        np.zeros(_STRETCH, np.float32),
        np.zeros(_STRETCH, np.float32),
    )


@compiled
def _look_up(pixels: Pixels, y: int, work: _Work) -> int:
    """What the labels of a row stand for; answers how many stand for nothing."""
    unknown = 0
    for x in range(pixels.labels.shape[1]):
        label = pixels.labels[y, x]
        work.line[x] = pixels.places[label]
        work.weigh[x] = pixels.weights[label]
        unknown += pixels.places[label] == UNKNOWN
    return unknown


@compiled
def _widen(places: _Array, columns: Line, wide: _Array) -> None:
    """Enlarges a coarse row, (C, w), along the row."""
    for channel in range(places.shape[0]):
        row, into = places[channel], wide[channel]
        for x in range(columns.share.size):
            share = columns.share[x]
            into[x] = row[columns.before[x]] * (_ONE - share) + row[columns.after[x]] * share


@compiled
def _narrow(slope: _Array, columns: Line, gradient: _Array) -> None:
    """The transpose of `_widen`: adds to (C, w)."""
    last = gradient.shape[1] - 1
    for channel in range(gradient.shape[0]):
        row, into = slope[channel], gradient[channel]
        for place in range(columns.first.size - 1):
            both, after = np.float32(0), np.float32(0)
            # Unsigned, so that no index is looked at twice for counting from the end.
            for x in range(np.uint32(columns.first[place]), np.uint32(columns.first[place + 1])):
                both += row[x]
                after += row[x] * columns.share[x]
            into[place] += both - after
            into[min(place + 1, last)] += after


@compiled
def _enlarge(work: _Work, near: int, share: np.float32, start: int) -> None:
    """The logits of a stretch, and the largest of each pixel."""
    top, keep = work.top, _ONE - share
    top[:] = -np.inf
    for channel in range(work.values.shape[0]):
        above = work.wide[near, channel, start : start + _STRETCH]
        below = work.wide[1 - near, channel, start : start + _STRETCH]
        values = work.values[channel]
        for x in range(_STRETCH):
            value = above[x] * keep + below[x] * share
            values[x] = value
            top[x] = max(top[x], value)


@compiled
def _lose(work: _Work, start: int, rule: tuple[np.float32, np.float32], losses: _Array) -> tuple[float, float, int]:
    """Losses of a stretch and their tally; leaves behind the softmax's numerators, and how much each pixel counts."""
    line, weigh = work.line[start : start + _STRETCH], work.weigh[start : start + _STRETCH]
    top, total, truth, chosen = work.top, work.total, work.truth, work.chosen
    for x in range(_STRETCH):
        truth[x] = work.values[max(line[x], 0), x]
    total[:] = 0
    for channel in range(work.values.shape[0]):
        values = work.values[channel]
        for x in range(_STRETCH):
            value = exp_of_negative(values[x] - top[x])
            values[x] = value
            total[x] += value
    chosen[:] = 0
    level, tied = rule
    lost, weight, hard = 0.0, 0.0, 0
    for x in range(losses.size):
        loss = np.float32(0)
        if line[x] >= 0:
            loss = np.log(total[x]) + (top[x] - truth[x])
        elif line[x] == RULED_OUT:
            loss = np.float32(np.inf)
        losses[x] = loss
        if loss > level:
            chosen[x] = weigh[x]
            hard += 1
        elif loss == level:
            chosen[x] = weigh[x] * tied
        if chosen[x] > 0:
            lost += chosen[x] * loss
            weight += chosen[x]
    return lost, weight, hard


@compiled
def _derive(work: _Work, near: int, share: np.float32, start: int) -> None:
    """Adds the gradient of a stretch: the softmax less 1 for the true class, times how much the pixel counts."""
    line, chosen = work.line[start : start + _STRETCH], work.chosen
    factor, keep = work.top, _ONE - share
    for x in range(_STRETCH):
        if line[x] in (IGNORED, UNKNOWN):
            chosen[x] = 0
        factor[x] = chosen[x] / work.total[x]
    for channel in range(work.values.shape[0]):
        values = work.values[channel]
        above = work.slope[near, channel, start : start + _STRETCH]
        below = work.slope[1 - near, channel, start : start + _STRETCH]
        for x in range(_STRETCH):
            value = values[x] * factor[x]
            above[x] += value * keep
            below[x] += value * share
    for x in range(_STRETCH):
        if line[x] >= 0:
            work.slope[near, line[x], start + x] -= chosen[x] * keep
            work.slope[1 - near, line[x], start + x] -= chosen[x] * share
