"""Reading label files: the values or colors as they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fassd.core.arrays import MaskValues
from fassd.core.errors import DataError
from fassd.media.formats import Header, opened

_SINGLE_CHANNEL = ("L", "P", "1", "I;16", "I;16B")
_COLORED = ("RGB", "RGBA", "RGBX")


def read_values(path: Path) -> MaskValues:
    """The values of a label file: uint8, or uint16 of files with 16 bits; height x width, upright like its picture.

    A palette's colors are ignored, its indices are the values; 1 bit gives 0 and 1.

    Raises:
        ImageError: as in `read_image`.
        DataError: a format that alters values, or colors in place of values.
    """
    with opened(path) as header:
        _refuse_altered(path, header)
        mode = header.picture.mode
        if mode in _COLORED:
            raise DataError(
                path,
                f"holds colors (mode {mode}) where one channel of class indices was expected; if each class has its "
                'color, say mask_encoding = "colors" in dataset.toml',
            )
        if mode not in _SINGLE_CHANNEL:
            raise DataError(
                path,
                f"has the mode {mode} where one channel of class indices was expected; save 8 or 16 bits of gray",
            )
        values = np.array(header.upright())
        # Gray of 2 or 4 bits is stretched to 0..255 by Pillow; a label is a number, not a brightness.
        stretch = {"L;2": 85, "L;4": 17}.get(header.raw_mode[:3], 1)
        if stretch > 1:
            values //= stretch
        stored: MaskValues = values.astype(np.uint16 if mode.startswith("I") else np.uint8, copy=False)
        return stored


def read_colors(path: Path) -> MaskValues:
    """The colors of a label file as numbers: uint32, red * 65536 + green * 256 + blue; height x width, upright.

    A palette's colors count, not its indices. Transparency is ignored.

    Raises:
        ImageError: as in `read_image`.
        DataError: a format that alters colors, or gray values in place of colors.
    """
    with opened(path) as header:
        _refuse_altered(path, header)
        if header.picture.mode not in (*_COLORED, "P", "PA"):
            raise DataError(
                path,
                f"holds one channel of values (mode {header.picture.mode}) where a color for each class was "
                'expected; if the values are class indices, say mask_encoding = "values" in dataset.toml',
            )
        picture = header.upright()
        picture.info.pop("transparency", None)
        colors = np.array(picture.convert("RGB"))
        stored: MaskValues = colors[..., 0].astype(np.uint32)
        for channel in (1, 2):
            stored <<= 8
            stored |= colors[..., channel]
        return stored


def _refuse_altered(path: Path, header: Header) -> None:
    name = header.format.name
    if name == "JPEG" or header.picture.info.get("compression") in ("jpeg", "tiff_jpeg"):
        raise DataError(path, "is JPEG-compressed, which invents classes along edges; save the labels as PNG")
    if not header.format.keeps_labels and header.picture.mode in _SINGLE_CHANNEL:
        raise DataError(path, f"is a {name} file, which may alter class indices; save the labels as PNG")
