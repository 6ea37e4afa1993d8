"""Compares two class maps, compiled: counts pixels by pair of values, and finds the borders between classes.

Class maps have long runs of one value, so eight pixels are compared at once with the value of the run.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fassd.core.arrays import IGNORE
from fassd.kernels.compiled import WORD, compiled, kept, ones, set_word, word_at, zeros_below

BITS = 64
"""Pixels in a word of a bit mask, the first in the lowest bit."""

_EACH_BYTE, _EACH_PAIR = 0x0101010101010101, 0x0001000100010001
_GATHER = 0x0102040810204080  # gathers the lowest bits of eight bytes in the highest byte


@kept
def count_runs(truth: Any, predicted: Any, instances: Any, above: int, regions: Any, counted: Any) -> tuple[Any, Any]:
    """Counts pixels by (true value, predicted value), and the pixels of every instance by predicted value.

    Args:
        truth, predicted: (H, W) uint8, contiguous.
        instances: (H, W) uint16, contiguous; (0, 0) if there are none.
        above: larger ids are instances.
        regions: (R, H, words) int64, bit masks.
        counted: (true values, predicted values, 1 + R) int64, added to: all pixels, and those in every region.

    Returns:
        The instances that occur, int64, in reading order; their pixels by predicted value, int64.
    """
    (height, width), told_apart = truth.shape, instances.size > 0
    rows = np.full(1 << 16, -1, np.int32)
    found, pixels = np.zeros(1 << 16 if told_apart else 0, np.int64), np.zeros((64, counted.shape[1]), np.int64)
    known = 0
    for y in range(height):
        x = 0
        while x < width:
            begin, true, guess, instance = x, truth[y, x], predicted[y, x], 0
            x = _end_of_run(truth[y], predicted[y], x)
            if told_apart:
                instance = instances[y, begin]
                x = _end_of_instance(instances[y], begin, x)
            _add_run(regions[:, y], begin, x, counted[true, guess])
            if instance > above:
                if rows[instance] < 0:
                    if known == len(pixels):
                        pixels = np.concatenate((pixels, np.zeros_like(pixels)))
                    rows[instance], found[known] = known, instance
                    known += 1
                pixels[rows[instance], guess] += x - begin
    return found[:known], pixels[:known]


@compiled
def _end_of_run(truth: Any, predicted: Any, x: int) -> int:
    """The end of the run of the pair of values at `x`."""
    true, guess = truth[x] * _EACH_BYTE, predicted[x] * _EACH_BYTE
    while x + WORD <= truth.size:
        differing = (word_at(truth, x) ^ true) | (word_at(predicted, x) ^ guess)
        if differing:
            return x + (zeros_below(differing) >> 3)
        x += WORD
    while x < truth.size and truth[x] == true & 255 and predicted[x] == guess & 255:
        x += 1
    return x


@compiled
def _end_of_instance(instances: Any, x: int, end: int) -> int:
    """The end of the run of the instance at `x`, at most `end`."""
    value = instances[x] * _EACH_PAIR
    while x < end and x + WORD // 2 <= instances.size:
        differing = word_at(instances, 2 * x) ^ value
        if differing:
            return min(x + (zeros_below(differing) >> 4), end)
        x += WORD // 2
    while x < end and instances[x] == value & 0xFFFF:
        x += 1
    return min(x, end)


@compiled
def _add_run(regions: Any, begin: int, end: int, counted: Any) -> None:
    counted[0] += end - begin
    first, last = begin // BITS, (end - 1) // BITS
    for word in range(first, last + 1):
        mask = -1 << begin % BITS if word == first else -1
        if word == last:
            mask &= (2 << (end - 1) % BITS) - 1
        for region in range(len(regions)):
            counted[1 + region] += ones(regions[region, word] & mask)


@kept
def mark_borders(values: Any, classes: Any, truth: Any, hidden: Any, bits: Any) -> None:
    """Marks the pixels that touch a pixel of another class, also at a corner.

    Args:
        values: (H, W) uint8, contiguous.
        classes: (256,) uint8, the class of each value, or IGNORE.
        truth: (H, W) uint8, contiguous.
        hidden: (256,) uint8, IGNORE for true values that are ignored, else 0.
        bits: (H, words) int64, zeros; set.
    """
    height, width = values.shape
    # Above, at and below a row; outside the image everything is ignored.
    rows = np.full((3, width + 2), IGNORE, np.uint8)
    marks = np.zeros(bits.shape[1] * BITS, np.uint8)
    _translate(values[0], classes, truth[0], hidden, rows[1])
    for y in range(height):
        below = rows[(y + 2) % 3]
        if y + 1 < height:
            _translate(values[y + 1], classes, truth[y + 1], hidden, below)
        else:
            below[:] = IGNORE
        _mark_row(rows[y % 3], rows[(y + 1) % 3], below, marks[:width])
        for word in range(bits.shape[1]):
            for part in range(WORD):
                eight = word_at(marks, word * BITS + part * WORD)
                if eight:
                    bits[y, word] |= (eight * _GATHER >> BITS - WORD & 255) << part * WORD


@kept
def grow(bits: Any, step: int, wide: Any, grown: Any) -> None:
    """Copies every set bit to the eight pixels that lie `step` rows, columns or both away.

    Args:
        step: less than the bits of a word.
        bits, wide, grown: (H, words) uint64: the mask, the mask spread along its rows, and the result.
    """
    height, words = bits.shape
    here, over = np.uint64(step), np.uint64(BITS - step)
    for y in range(height):
        for word in range(words):
            own = bits[y, word]
            spread = own | own << here | own >> here
            if word > 0:
                spread |= bits[y, word - 1] >> over
            if word + 1 < words:
                spread |= bits[y, word + 1] << over
            wide[y, word] = spread
    for y in range(height):
        grown[y] = wide[y]
        if y >= step:
            grown[y] |= wide[y - step]
        if y + step < height:
            grown[y] |= wide[y + step]


@compiled
def _translate(values: Any, classes: Any, truth: Any, hidden: Any, row: Any) -> None:
    """The classes of a row, between two positions outside the image."""
    x, last, last_true, made = 0, -1, -1, 0
    while x + WORD <= values.size:
        word, true = word_at(values, x), word_at(truth, x)
        if word != last or true != last_true or x == 0:
            for k in range(x, x + WORD):
                row[1 + k] = classes[values[k]] | hidden[truth[k]]
            last, last_true, made = word, true, word_at(row, 1 + x)
        else:
            set_word(row, 1 + x, made)
        x += WORD
    for k in range(x, values.size):
        row[1 + k] = classes[values[k]] | hidden[truth[k]]


@compiled
def _mark_row(above: Any, here: Any, below: Any, marks: Any) -> None:
    for x in range(marks.size):
        own, mark = here[x + 1], False
        for row in (above, here, below):
            for place in (x, x + 1, x + 2):
                mark |= (row[place] != own) & (row[place] != IGNORE)
        marks[x] = mark & (own != IGNORE)
