"""Cross entropy of upsampled logits at every pixel and its gradient at the hard pixels, without the upsampled logits.

In training the logits have 1/4 to 1/8 of the size of the labels. Upsampling them (bilinear, corners aligned), the
softmax and its gradient would each write and read gigabytes. Here a stretch of pixels is upsampled, its losses and its
gradient computed while it is in the nearest cache. Upsampling along the row is the same for all pixels between two
coarse rows and done once for them; so is its transpose for the gradient.

Bands of coarse rows are independent: each writes its own rows of the gradient. What a band adds to the first row of the
next band is returned separately and added in order. Bands depend only on the shape, so the number of threads changes no
bit of the result. The loops release the GIL.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fassd.kernels.compiled import compiled, exp_of_negative, kept
from fassd.kernels.upsample_in_numpy import axis

_Array: TypeAlias = np.ndarray[Any, Any]

IGNORED, RULED_OUT, UNKNOWN = -1, -2, -3
"""Labels without a logit: ignored (no loss), excluded (infinite loss), and invalid (no loss, but counted)."""

_PIXELS_PER_BAND = 1 << 17


class Rule(NamedTuple):
    """The hard pixels of an image: those with a loss above `level`; a loss of just `level` counts `tied`."""

    level: float
    tied: float


class LossSums(NamedTuple):
    """Sums over the hard pixels of an image.

    Attributes:
        lost: the weighted losses.
        weight: the weights.
        hard: the number of pixels with a loss above the level.
        unknown: the number of labels that are UNKNOWN.
    """

    lost: float
    weight: float
    hard: int
    unknown: int

    def plus(self, other: LossSums) -> LossSums:
        """The sums of both."""
        hard, unknown = self.hard + other.hard, self.unknown + other.unknown
        return LossSums(self.lost + other.lost, self.weight + other.weight, hard, unknown)


class PixelLosses:
    """Losses of a batch and their gradient, on the CPU.

    Args:
        logits: (C, h, w) of every image, float32, contiguous, finite; C may differ.
        labels: (N, H, W) uint8.
        channels: (N, 256) int32, the logit of every label, or IGNORED, RULED_OUT or UNKNOWN.
        weights: (256,) float32, of every label.
        threads: the maximum number.

    Attributes:
        losses: (N, H, W) float32, of the last call of `compute`.
        gradient: (C, h, w) float32 for every image, that of `LossSums.lost`, likewise.
    """

    def __init__(
        self, logits: Sequence[_Array], labels: _Array, channels: _Array, weights: _Array, threads: int
    ) -> None:
        self.losses = np.empty(labels.shape, np.float32)
        self.gradient = [np.zeros_like(one) for one in logits]
        self._given, self._weights, self._threads = (logits, labels, channels), weights, threads
        height, width = logits[0].shape[1:]
        self._axes = (_axis_shares(height, labels.shape[1]), _axis_shares(width, labels.shape[2]))
        cells = max(height - 1, 1)
        bands = max(1, min(cells, labels[0].size // _PIXELS_PER_BAND))
        cuts = [cells * band // bands for band in range(bands + 1)]
        self._bands = list(itertools.pairwise(cuts))

    def compute(self, images: Sequence[int], rules: Sequence[Rule]) -> list[LossSums]:
        """Losses, gradient and sums of the given images, with a rule for each."""
        for image in images:
            self.gradient[image][:] = 0
        tasks = [(image, rule, band) for image, rule in zip(images, rules, strict=True) for band in self._bands]
        # Threads end with the call, so that none is lost in a forked process.
        with ThreadPoolExecutor(self._threads) as pool:
            done = list(pool.map(self._compute_band, *zip(*tasks, strict=True)))
        sums = dict.fromkeys(images, LossSums(0.0, 0.0, 0, 0))
        for (image, _, band), (part, edge) in zip(tasks, done, strict=True):
            sums[image] = sums[image].plus(part)
            gradient = self.gradient[image]
            gradient[:, min(band[1], gradient.shape[1] - 1)] += edge
        return list(sums.values())

    def _compute_band(self, image: int, rule: Rule, band: tuple[int, int]) -> tuple[LossSums, _Array]:
        """Sums of a band, and its gradient of the coarse row after it."""
        logits, labels, channels = (given[image] for given in self._given)
        level, tied = np.float32(rule.level), np.float32(rule.tied)
        gradient = self.gradient[image]
        edge = np.zeros_like(gradient[:, 0])
        pixels = Pixels(labels, channels, self._weights, *self._axes)
        counts = compute_band(logits, pixels, (level, tied), band, self.losses[image], gradient, edge)
        return LossSums(*counts), edge


def _axis_shares(positions: int, pixels: int) -> AxisShares:
    aligned = axis(positions, pixels)
    after = np.minimum(aligned.cell + 1, positions - 1).astype(np.uint32)
    share = (aligned.far / (aligned.near + aligned.far)).astype(np.float32)
    return AxisShares(aligned.cell, after, share, aligned.first)


# The number of pixels of a row that are computed at once; rows are padded to a multiple of it.
_STRETCH = 128

_ONE = np.float32(1)


class AxisShares(NamedTuple):
    """The pixels of one axis.

    Attributes:
        before, after: (pixels,) uint32, the coarse positions around every pixel.
        share: (pixels,) float32, the weight of the second.
        first: (cells + 1,) int64, the first pixel of every position, then the number of pixels.
    """

    before: _Array
    after: _Array
    share: _Array
    first: _Array


class Pixels(NamedTuple):
    """An image's labels, (H, W); the logit and the weight of every label, (256,); both axes."""

    labels: _Array
    channels: _Array
    weights: _Array
    rows: AxisShares
    columns: AxisShares


class _Work(NamedTuple):
    """The workspace of a band; W' is the padded width, S the length of a stretch.

    Attributes:
        wide, slope: (2, C, W'), a coarse row upsampled along the row, and its gradient; even rows first.
        line, weigh: (W',), the logits of a row's labels and their weights.
        values: (C, S), the logits of a stretch, then the softmax's numerators.
        top, total, truth, chosen: (S,), the largest logit of every pixel, the softmax's denominator, the logit of the
            label, and the pixel's weight in the sum.
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
def compute_band(
    logits: _Array,
    pixels: Pixels,
    rule: tuple[np.float32, np.float32],
    band: tuple[int, int],
    losses: _Array,
    gradient: _Array,
    edge: _Array,
) -> tuple[float, float, int, int]:
    """Losses and gradient of the pixels between two coarse rows.

    Args:
        logits: (C, h, w) float32, contiguous, finite.
        pixels: their labels and positions.
        rule: (level, tied), see `Rule`.
        band: the two coarse rows.
        losses: (H, W) float32, filled.
        gradient: (C, h, w) float32; the gradient of the weighted sum of the hard pixels' losses is added to the rows of
            the band.
        edge: (C, w), the same for the row after the band.

    Returns:
        The weighted sum, the sum of the weights, and the numbers of pixels with a loss above the level and of UNKNOWN
        labels.
    """
    work = _work(logits.shape[0], losses.shape[1])
    lost, weight, hard, unknown = 0.0, 0.0, 0, 0
    _upsample_row(logits[:, band[0]], pixels.columns, work.wide[band[0] % 2])
    for cell in range(band[0], band[1]):
        near, far = cell % 2, 1 - cell % 2
        _upsample_row(logits[:, min(cell + 1, logits.shape[1] - 1)], pixels.columns, work.wide[far])
        for y in range(pixels.rows.first[cell], pixels.rows.first[cell + 1]):
            unknown += _look_up(pixels, y, work)
            for start in range(0, losses.shape[1], _STRETCH):
                _upsample(work, near, pixels.rows.share[y], start)
                part = _loss(work, start, rule, losses[y, start : start + _STRETCH])
                lost, weight, hard = lost + part[0], weight + part[1], hard + part[2]
                if part[1] > 0:
                    _add_gradient(work, near, pixels.rows.share[y], start)
        _add_transposed(work.slope[near], pixels.columns, gradient[:, cell])
        work.slope[near] = 0
    _add_transposed(work.slope[band[1] % 2], pixels.columns, edge)
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
    """The logits and weights of a row's labels; returns the number of UNKNOWN labels."""
    unknown = 0
    for x in range(pixels.labels.shape[1]):
        label = pixels.labels[y, x]
        work.line[x] = pixels.channels[label]
        work.weigh[x] = pixels.weights[label]
        unknown += pixels.channels[label] == UNKNOWN
    return unknown


@compiled
def _upsample_row(logits: _Array, columns: AxisShares, wide: _Array) -> None:
    """Upsamples a coarse row, (C, w), along the row."""
    for channel in range(logits.shape[0]):
        row, into = logits[channel], wide[channel]
        for x in range(columns.share.size):
            share = columns.share[x]
            into[x] = row[columns.before[x]] * (_ONE - share) + row[columns.after[x]] * share


@compiled
def _add_transposed(slope: _Array, columns: AxisShares, gradient: _Array) -> None:
    """The transpose of `_upsample_row`: adds to (C, w)."""
    last = gradient.shape[1] - 1
    for channel in range(gradient.shape[0]):
        row, into = slope[channel], gradient[channel]
        for position in range(columns.first.size - 1):
            both, after = np.float32(0), np.float32(0)
            # Unsigned, so that indices are not checked for being negative.
            for x in range(np.uint32(columns.first[position]), np.uint32(columns.first[position + 1])):
                both += row[x]
                after += row[x] * columns.share[x]
            into[position] += both - after
            into[min(position + 1, last)] += after


@compiled
def _upsample(work: _Work, near: int, share: np.float32, start: int) -> None:
    """The logits of a stretch, and the largest logit of every pixel."""
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
def _loss(work: _Work, start: int, rule: tuple[np.float32, np.float32], losses: _Array) -> tuple[float, float, int]:
    """Losses of a stretch and their sums; also sets the softmax's numerators and the weight of every pixel."""
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
def _add_gradient(work: _Work, near: int, share: np.float32, start: int) -> None:
    """Adds the gradient of a stretch: (softmax - 1 for the true class) times the weight of the pixel."""
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
