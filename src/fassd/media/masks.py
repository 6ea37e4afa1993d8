"""Label files -> mask values: the numbers or colors as they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fassd.core.arrays import MaskValues
from fassd.core.errors import DataError
from fassd.media.formats import ImageHeader, opened

_SINGLE_CHANNEL = ("L", "P", "1", "I;16", "I;16B")
_COLORED = ("RGB", "RGBA", "RGBX")


def read_values(path: Path) -> MaskValues:
    """The values of a label file, (H, W) uint8, or uint16 of files with 16 bits; upright by EXIF, as its image.

    Of a palette image the indices are the values; 1-bit images have the values 0 and 1.

    Raises:
        ImageError: as in `read_image`.
        DataError: a lossy format, or colors instead of values.
    """
    with opened(path) as header:
        _refuse_altered(path, header)
        mode = header.image.mode
        if mode in _COLORED:
            raise DataError(
                path,
                f"holds colors (mode {mode}) where one channel of class indices was expected; if every class has a "
                'color, set mask_encoding = "colors" in dataset.toml',
            )
        if mode not in _SINGLE_CHANNEL:
            raise DataError(
                path,
                f"has the mode {mode} where one channel of class indices was expected; save it as 8- or 16-bit gray",
            )
        values = np.array(header.upright())
        # Pillow stretches 2- and 4-bit gray to 0..255; labels need the stored number.
        stretch = {"L;2": 85, "L;4": 17}.get(header.raw_mode[:3], 1)
        if stretch > 1:
            values //= stretch
        stored: MaskValues = values.astype(np.uint16 if mode.startswith("I") else np.uint8, copy=False)
        return stored


def read_colors(path: Path) -> MaskValues:
    """The colors of a label file, (H, W) uint32: red * 65536 + green * 256 + blue; upright by EXIF, as its image.

    Of a palette image the colors are read, not the indices. Transparency is ignored.

    Raises:
        ImageError: as in `read_image`.
        DataError: a lossy format, or gray values instead of colors.
    """
    with opened(path) as header:
        _refuse_altered(path, header)
        if header.image.mode not in (*_COLORED, "P", "PA"):
            raise DataError(
                path,
                f"holds one channel of values (mode {header.image.mode}) where a color for each class was "
                'expected; if the values are class indices, set mask_encoding = "values" in dataset.toml',
            )
        image = header.upright()
        image.info.pop("transparency", None)
        colors = np.array(image.convert("RGB"))
        stored: MaskValues = colors[..., 0].astype(np.uint32)
        for channel in (1, 2):
            stored <<= 8
            stored |= colors[..., channel]
        return stored


def _refuse_altered(path: Path, header: ImageHeader) -> None:
    name = header.format.name
    if name == "JPEG" or header.image.info.get("compression") in ("jpeg", "tiff_jpeg"):
        raise DataError(path, "is JPEG-compressed, which invents classes along edges; save the labels as PNG")
    if not header.format.keeps_labels and header.image.mode in _SINGLE_CHANNEL:
        raise DataError(path, f"is a {name} file, which may alter class indices; save the labels as PNG")
