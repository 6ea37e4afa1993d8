"""Mask values -> classes. A mask value is a stored number, or a color written as one number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fassd.core.arrays import IGNORE, Labels, LookupTable, MaskValues
from fassd.core.labels import LabelSpace
from fassd.media.masks import read_colors, read_values

Color = tuple[int, int, int]
ReadValues = Callable[[Path], MaskValues]
"""Reads a label file that holds values, as `read_values` does."""


@dataclass(frozen=True)
class MaskEncoding:
    """The class behind each mask value.

    Attributes:
        classes: the class, or IGNORE, of every value that a mask may hold: a stored number, 0..65535, or a color as
            red * 65536 + green * 256 + blue.
        by_color: whether the values are colors.
    """

    classes: Mapping[int, int]
    by_color: bool = False

    def read(self, mask: Path, read_numbers: ReadValues = read_values) -> MaskValues:
        """The mask values of a label file.

        Args:
            mask: the file.
            read_numbers: reads a file that holds numbers, not colors.

        Raises:
            ImageError, DataError: as `read_values` and `read_colors`.
        """
        return read_colors(mask) if self.by_color else read_numbers(mask)

    def labels(self, values: MaskValues) -> Labels:
        """The class of every value; IGNORE for ignored and for unknown values, see `unknown`."""
        if values.dtype == np.uint8:
            # Twice as fast as indexing, which makes a 64-bit index of every pixel.
            translated = bytearray(values.tobytes().translate(self._table.tobytes()))
            return np.frombuffer(translated, np.uint8).reshape(values.shape)
        starts, found, indices = _runs(values)
        classes = np.array([self.classes.get(int(value), IGNORE) for value in found], np.uint8)
        return np.repeat(classes[indices], np.diff(starts, append=values.size)).reshape(values.shape)

    def unknown(self, values: MaskValues) -> list[int]:
        """The values of a mask that have no class, not even IGNORE; ascending."""
        if values.dtype == np.uint8:
            # Only the last pixel of each run is counted: one in about 20.
            flat = values.ravel()
            found = np.flatnonzero(np.bincount(flat[np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)]))
        else:
            found = _runs(values)[1]
        return [int(value) for value in found if int(value) not in self.classes]

    def translated(self, table: LookupTable) -> MaskEncoding:
        """The same values with their classes replaced by a table's."""
        return MaskEncoding({value: int(table[label]) for value, label in self.classes.items()}, self.by_color)

    def spell(self, value: int) -> str:
        """A value in messages and in `dataset.toml`: 7, or 128,64,128 for a color."""
        return ",".join(map(str, color_of_value(value))) if self.by_color else str(value)

    def spell_all(self) -> str:
        """Every known value: numbers as ranges, 0-18, 255; of colors the first 12."""
        if self.by_color:
            shown, hidden = list(self.classes)[:_SHOWN], len(self.classes) - _SHOWN
            return "  ".join(map(self.spell, shown)) + (f" and {hidden} more" if hidden > 0 else "")
        return _ranges(sorted(self.classes))

    @cached_property
    def _table(self) -> LookupTable:
        table = np.full(256, IGNORE, np.uint8)
        for value, label in self.classes.items():
            if value < len(table):
                table[value] = label
        return table


_SHOWN = 12


def read_values_quickly(path: Path) -> MaskValues:
    """The same as `read_values`, errors included, by a decoder that is several times as fast for most PNGs."""
    from fassd.kernels.label_png import decode_label_png  # Numba is loaded with it.

    try:
        values = decode_label_png(path.read_bytes())
    except OSError:
        values = None
    return read_values(path) if values is None else values


def by_value(space: LabelSpace, ignore: int = IGNORE) -> MaskEncoding:
    """Masks that hold the indices of the classes; IGNORE and one more value mean "no class"."""
    return MaskEncoding({**{label: label for label in range(len(space))}, ignore: IGNORE, IGNORE: IGNORE})


def value_of_color(color: Color) -> int:
    """A color as a mask value."""
    red, green, blue = color
    return red << 16 | green << 8 | blue


def color_of_value(value: int) -> Color:
    """The color that a mask value stands for."""
    return value >> 16, value >> 8 & 255, value & 255


def _runs(values: MaskValues) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where runs of one value begin, in reading order; the values that occur; and the index of each run among them.

    A mask has one run in about 20 pixels, so only a twentieth of it is sorted.
    """
    flat = values.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    found, indices = np.unique(flat[starts], return_inverse=True)
    return starts, found, indices


def _ranges(ordered: list[int]) -> str:
    """0, 1, 2, 255 -> '0-2, 255'."""
    breaks = [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1] + 1]
    groups = [ordered[start:end] for start, end in zip([0, *breaks], [*breaks, len(ordered)], strict=True)]
    return ", ".join(f"{group[0]}-{group[-1]}" if len(group) > 1 else f"{group[0]}" for group in groups)
