"""Augmentation of crops, compiled: resizing a window of an image, picking labels, changing colors."""

from __future__ import annotations

from typing import Any

import numpy as np

from fassd.kernels.compiled import kept

WEIGHT_BITS = 14
"""The weights of `resize_window` have the sum 1 << WEIGHT_BITS."""

COLOR_BITS = 14
"""`own` + 3 * `rest` of `change_colors` is 1 << COLOR_BITS."""

LEVEL_BITS = 7
"""The levels in the tables of `change_colors` are multiples of 1 / (1 << LEVEL_BITS)."""


@kept
def resize_window(image: Any, rows: Any, columns: Any, mirrored: bool, out: Any, top: int, left: int) -> None:
    """Fills a part of `out` with weighted means of an image's pixels: first vertically, then horizontally.

    Args:
        image: (H, W, 3) uint8.
        rows: of every row to fill the first source row, (h,) int64, and the weights, (h, n) int32.
        columns: the same of every column; first source columns ascending.
        mirrored: whether the columns are filled from the right.
        out: (.., .., 3) uint8.
        top, left: the corner of the part in `out`.
    """
    # Unsigned indices are not checked for being negative, which saves a third of the time.
    row_starts, row_weights = rows
    column_starts, column_weights = columns
    height, width, taps = len(row_starts), len(column_starts), column_weights.shape[1]
    begin = column_starts[0]
    span = (min(column_starts[width - 1] + taps, image.shape[1]) - begin) * 3
    flat = image.reshape(image.shape[0], image.shape[1] * 3)
    line = np.zeros(span + 3 * taps, np.int32)
    half = np.int32(1 << 2 * WEIGHT_BITS - 8)
    for y in range(height):
        line[:span] = 64
        for tap in range(row_weights.shape[1]):
            weight = row_weights[y, tap]
            if weight:
                row = flat[row_starts[y] + tap, begin * 3 : begin * 3 + span]
                for place in range(span):
                    line[place] += weight * np.int32(row[place])
        for place in range(span):
            line[place] >>= 7
        for x in range(width):
            at = np.uintp(column_starts[x] - begin) * np.uintp(3)
            red, green, blue = half, half, half
            for tap in range(taps):
                weight = column_weights[x, tap]
                red += weight * line[at]
                green += weight * line[at + np.uintp(1)]
                blue += weight * line[at + np.uintp(2)]
                at += np.uintp(3)
            target = np.uintp(left + (width - 1 - x if mirrored else x))
            out[top + y, target, 0] = red >> 2 * WEIGHT_BITS - 7
            out[top + y, target, 1] = green >> 2 * WEIGHT_BITS - 7
            out[top + y, target, 2] = blue >> 2 * WEIGHT_BITS - 7


@kept
def pick_window(labels: Any, rows: Any, columns: Any, out: Any, top: int, left: int) -> None:
    """Fills a part of `out` with the labels at the given rows and columns, both int64."""
    for y in range(len(rows)):
        row = labels[rows[y]]
        for x in range(len(columns)):
            out[top + y, left + x] = row[np.uintp(columns[x])]


@kept
def change_colors(image: Any, tables: Any, own: int, rest: int, out: Any) -> None:
    """Maps channels by tables, then adds `own` of the channel and `rest` of the sum of all three, rounded.

    Args:
        image: (H, W, 3) uint8.
        tables: (3, 256) int32, levels 0 to 255 in fixed point; see `LEVEL_BITS`.
        own, rest: the factors; see `COLOR_BITS`.
        out: as the image, may be the same array.
    """
    half = 1 << COLOR_BITS + LEVEL_BITS - 1
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            red, green, blue = tables[0, image[y, x, 0]], tables[1, image[y, x, 1]], tables[2, image[y, x, 2]]
            gray = (red + green + blue) * rest + half
            out[y, x, 0] = min(max((red * own + gray) >> COLOR_BITS + LEVEL_BITS, 0), 255)
            out[y, x, 1] = min(max((green * own + gray) >> COLOR_BITS + LEVEL_BITS, 0), 255)
            out[y, x, 2] = min(max((blue * own + gray) >> COLOR_BITS + LEVEL_BITS, 0), 255)
