"""Cross entropy of enlarged logits at every pixel, and its gradient at the hard ones, without the enlarged logits.

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

from fassd.kernels.loss_bands import Line, Pixels, lose_band
from fassd.kernels.plan import axis

_Array: TypeAlias = np.ndarray[Any, Any]

_PIXELS_PER_BAND = 1 << 17


class Rule(NamedTuple):
    """Which pixels of an image are hard: those that lose more than `level`, and `tied` of each that loses just that."""

    level: float
    tied: float


class Tally(NamedTuple):
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

    def plus(self, other: Tally) -> Tally:
        """Both together."""
        hard, unknown = self.hard + other.hard, self.unknown + other.unknown
        return Tally(self.lost + other.lost, self.weight + other.weight, hard, unknown)


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
        gradient: for each image (C, h, w) float32, of `Tally.lost` with the weights as they are, likewise.
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

    def lose(self, images: Sequence[int], rules: Sequence[Rule]) -> list[Tally]:
        """Losses, gradient and tally of the named images, by a rule for each."""
        for image in images:
            self.gradient[image][:] = 0
        tasks = [(image, rule, band) for image, rule in zip(images, rules, strict=True) for band in self._bands]
        # Threads live for one call: none is left to be lost in a forked process.
        with ThreadPoolExecutor(self._threads) as pool:
            done = list(pool.map(self._lose_band, *zip(*tasks, strict=True)))
        tallies = dict.fromkeys(images, Tally(0.0, 0.0, 0, 0))
        for (image, _, band), (part, edge) in zip(tasks, done, strict=True):
            tallies[image] = tallies[image].plus(part)
            gradient = self.gradient[image]
            gradient[:, min(band[1], gradient.shape[1] - 1)] += edge
        return list(tallies.values())

    def _lose_band(self, image: int, rule: Rule, band: tuple[int, int]) -> tuple[Tally, _Array]:
        """Tally of a band, and its gradient of the coarse row after it."""
        logits, labels, places = (given[image] for given in self._given)
        level, tied = np.float32(rule.level), np.float32(rule.tied)
        gradient = self.gradient[image]
        edge = np.zeros_like(gradient[:, 0])
        pixels = Pixels(labels, places, self._weights, *self._lines)
        counts = lose_band(logits, pixels, (level, tied), band, self.losses[image], gradient, edge)
        return Tally(*counts), edge


def _line(places: int, pixels: int) -> Line:
    lain = axis(places, pixels)
    after = np.minimum(lain.cell + 1, places - 1).astype(np.uint32)
    return Line(lain.cell, after, (lain.far / (lain.near + lain.far)).astype(np.float32), lain.first)
