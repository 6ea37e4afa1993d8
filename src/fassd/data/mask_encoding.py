"""What the values or colors of masks mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fassd.core.arrays import IGNORE, Codes, Labels, LookupTable
from fassd.core.labels import LabelSpace
from fassd.media.masks import read_colors, read_values

Color = tuple[int, int, int]
ReadValues = Callable[[Path], Codes]
"""Reads a label file that holds values, as `read_values` does."""


@dataclass(frozen=True)
class MaskEncoding:
    """The class behind each code of a mask.

    Attributes:
        classes: the class, or IGNORE, of every code that a mask may hold. A code is a stored value, 0..65535, or a
            color as red * 65536 + green * 256 + blue.
        by_color: which of the two.
    """

    classes: Mapping[int, int]
    by_color: bool = False

    def read(self, mask: Path, values: ReadValues = read_values) -> Codes:
        """The codes of a label file.

        Args:
            mask: the file.
            values: reads a file of values.

        Raises:
            ImageError, DataError: as `read_values` and `read_colors`.
        """
        return read_colors(mask) if self.by_color else values(mask)

    def labels(self, codes: Codes) -> Labels:
        """Every code as its class; IGNORE for those that mean none and for foreign ones, see `foreign`."""
        if codes.dtype == np.uint8:
            # Twice as fast as indexing, which makes a 64-bit index of every pixel.
            translated = bytearray(codes.tobytes().translate(self._table.tobytes()))
            return np.frombuffer(translated, np.uint8).reshape(codes.shape)
        starts, found, places = _runs(codes)
        classes = np.array([self.classes.get(int(code), IGNORE) for code in found], np.uint8)
        return np.repeat(classes[places], np.diff(starts, append=codes.size)).reshape(codes.shape)

    def foreign(self, codes: Codes) -> list[int]:
        """The codes that a mask may not hold, in ascending order."""
        if codes.dtype == np.uint8:
            # The last pixel of each run: one in about 20 need be counted.
            flat = codes.ravel()
            found = np.flatnonzero(np.bincount(flat[np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)]))
        else:
            found = _runs(codes)[1]
        return [int(code) for code in found if int(code) not in self.classes]

    def into(self, table: LookupTable) -> MaskEncoding:
        """The same codes with their classes led through a table."""
        return MaskEncoding({code: int(table[label]) for code, label in self.classes.items()}, self.by_color)

    def spell(self, code: int) -> str:
        """A code as people write it: 7, or 128,64,128 for a color."""
        return ",".join(map(str, color_of(code))) if self.by_color else str(code)

    def spell_all(self) -> str:
        """Every code that is allowed, values as ranges: 0-18, 255."""
        if self.by_color:
            shown = [self.spell(code) for code in list(self.classes)[:_SHOWN]]
            return "  ".join(shown) + (f" and {len(self.classes) - _SHOWN} more" if len(self.classes) > _SHOWN else "")
        return _ranges(sorted(self.classes))

    @cached_property
    def _table(self) -> LookupTable:
        table = np.full(256, IGNORE, np.uint8)
        for code, label in self.classes.items():
            if code < len(table):
                table[code] = label
        return table


_SHOWN = 12


def by_value(space: LabelSpace, ignore: int = IGNORE) -> MaskEncoding:
    """Masks that hold the classes' places, and one value more, beside IGNORE, for pixels of none."""
    return MaskEncoding({**{label: label for label in range(len(space))}, ignore: IGNORE, IGNORE: IGNORE})


def code_of(color: Color) -> int:
    """A color as a code."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def color_of(code: int) -> Color:
    """The color behind a code."""
    return code >> 16, code >> 8 & 255, code & 255


def _runs(codes: Codes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the code changes in reading order, the codes that occur, and which of these each run has.

    A mask has one run in about 20 pixels, so only a twentieth of it is sorted.
    """
    flat = codes.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    found, places = np.unique(flat[starts], return_inverse=True)
    return starts, found, places


def _ranges(ordered: list[int]) -> str:
    """0, 1, 2, 255 -> '0-2, 255'."""
    breaks = [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1] + 1]
    groups = [ordered[start:end] for start, end in zip([0, *breaks], [*breaks, len(ordered)], strict=True)]
    return ", ".join(f"{group[0]}-{group[-1]}" if len(group) > 1 else f"{group[0]}" for group in groups)
