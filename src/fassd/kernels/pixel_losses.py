"""The compiled loops of `pixel_losses`: bands of coarse rows, and in them stretches of a row of pixels.

Nothing here holds Python's lock or starts a thread.

Cross entropy of enlarged logits at every pixel, and its gradient at the hard ones, without the enlarged logits.

While training, the logits are at 1/4 to 1/8 of the labels. Enlarging them (bilinear, corners aligned), the softmax and
its gradient would each write and read gigabytes. Here a stretch of pixels is enlarged, lost and derived while it lies
in the nearest cache. Enlarging along the row is the same for all pixels between two coarse rows, and is done once for
them; so is its transpose for the gradient.

Bands of coarse rows are independent: each writes its own rows of the gradient, and what it adds to the first row of the
next band goes aside, to be added in order. The shape alone decides on the bands: the number of threads changes no bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fassd.kernels.compiled import compiled, exp_of_negative, kept
from fassd.kernels.upsample_argmax import axis

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


_PIXELS_PER_BAND = 1 << 17


class Rule(NamedTuple):
    """Which pixels of an image are hard: those that lose more than `level`, and `tied` of each that loses just that."""

    level: float
    tied: float


class LossSums(NamedTuple):
    """An image's hard pixels.

    Attributes:
        lost: sum of their weighted losses.
        weight: sum of their weights.
        hard: how many lose more than the level.
        unknown: how many labels are UNKNOWN.
    """

    lost: float
    weight: float
    hard: int
    unknown: int

    def plus(self, other: LossSums) -> LossSums:
        """Both together."""
        hard, unknown = self.hard + other.hard, self.unknown + other.unknown
        return LossSums(self.lost + other.lost, self.weight + other.weight, hard, unknown)


class PixelLosses:
    """Losses of a batch on the CPU.

    Args:
        logits: (C, h, w) of each image, float32, contiguous, finite; C may differ.
        labels: (N, H, W) uint8.
        places: (N, 256) int32, which of the image's logits each label stands for, or a constant of `loss_bands`.
        weights: (256,) float32, of each label.
        threads: at most so many.

    Attributes:
        losses: (N, H, W) float32, by the latest `lose`.
        gradient: for each image (C, h, w) float32, of `LossSums.lost` with the weights as they are, likewise.
    """

    def __init__(self, logits: Sequence[_Array], labels: _Array, places: _Array, weights: _Array, threads: int) -> None:
        self.losses = np.empty(labels.shape, np.float32)
        self.gradient = [np.zeros_like(one) for one in logits]
        self._given, self._weights, self._threads = (logits, labels, places), weights, threads
        height, width = logits[0].shape[1:]
        self._lines = (_line(height, labels.shape[1]), _line(width, labels.shape[2]))
        cells = max(height - 1, 1)
        bands = max(1, min(cells, labels[0].size // _PIXELS_PER_BAND))
        cuts = [cells * band // bands for band in range(bands + 1)]
        self._bands = list(itertools.pairwise(cuts))

    def lose(self, images: Sequence[int], rules: Sequence[Rule]) -> list[LossSums]:
        """Losses, gradient and tally of the named images, by a rule for each."""
        for image in images:
            self.gradient[image][:] = 0
        tasks = [(image, rule, band) for image, rule in zip(images, rules, strict=True) for band in self._bands]
        # Threads live for one call: none is left to be lost in a forked process.
        with ThreadPoolExecutor(self._threads) as pool:
            done = list(pool.map(self._lose_band, *zip(*tasks, strict=True)))
        tallies = dict.fromkeys(images, LossSums(0.0, 0.0, 0, 0))
        for (image, _, band), (part, edge) in zip(tasks, done, strict=True):
            tallies[image] = tallies[image].plus(part)
            gradient = self.gradient[image]
            gradient[:, min(band[1], gradient.shape[1] - 1)] += edge
        return list(tallies.values())

    def _lose_band(self, image: int, rule: Rule, band: tuple[int, int]) -> tuple[LossSums, _Array]:
        """Tally of a band, and its gradient of the coarse row after it."""
        logits, labels, places = (given[image] for given in self._given)
        level, tied = np.float32(rule.level), np.float32(rule.tied)
        gradient = self.gradient[image]
        edge = np.zeros_like(gradient[:, 0])
        pixels = Pixels(labels, places, self._weights, *self._lines)
        counts = lose_band(logits, pixels, (level, tied), band, self.losses[image], gradient, edge)
        return LossSums(*counts), edge


def _line(places: int, pixels: int) -> Line:
    lain = axis(places, pixels)
    after = np.minimum(lain.cell + 1, places - 1).astype(np.uint32)
    return Line(lain.cell, after, (lain.far / (lain.near + lain.far)).astype(np.float32), lain.first)
