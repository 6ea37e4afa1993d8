"""Reading pictures: every accepted kind becomes one array, every damaged one a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from fassd.core.arrays import Image
from fassd.media.formats import EXCHANGING, Header, opened

REDUCTIONS = (1, 2, 4, 8)
"""By how much JPEG can be reduced while it is decoded."""


def read_image(path: Path, factor: float = 1.0) -> Image:
    """The picture as uint8, height x width x 3, RGB, upright as its EXIF orientation asks.

    Of an animation the first frame, of a TIFF the first page. 16 bits become the upper 8. Transparency is put
    on white, as viewers do. Color profiles are ignored: networks learn from untreated values, and a street
    camera's profile is sRGB or missing.

    Args:
        path: the file.
        factor: by how much its sides will be resized at most. A JPEG that will be halved at least comes at a half, a
            quarter or an eighth of its size, sides rounded up, for less work: pixel i shows the pixels from 2i, 4i
            or 8i on. Its blocks are reduced in frequency space, which blurs less than shrinking pixels.

    Raises:
        ImageError: no such file, not a picture of a known format, damaged, or above `MAX_PIXELS`.
    """
    with opened(path) as header:
        _reduce(header, factor)
        picture = header.upright()
        if picture.mode.startswith("I") or picture.mode == "F":
            return _gray_image(picture, header.raw_mode)
        if picture.has_transparency_data:
            # Transparent pixels hide arbitrary colors; white is what the author saw around the rest.
            clear = picture if picture.mode == "RGBA" else picture.convert("RGBA")
            picture = PIL.Image.new("RGB", picture.size, "white")
            picture.paste(clear, mask=clear)
        return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_size(path: Path, factor: float = 1.0) -> tuple[int, int]:
    """(height, width) of what `read_image` gives, from the header alone.

    Raises:
        ImageError: as in `read_image`, but for damage behind the header.
    """
    with opened(path) as header:
        _reduce(header, factor)
        width, height = header.picture.size
        return (width, height) if header.turn in EXCHANGING else (height, width)


def _reduce(header: Header, factor: float) -> None:
    """Has a JPEG decoded at a reduced size where that suffices; other kinds are left alone."""
    width, height = header.picture.size
    for reduction in sorted(REDUCTIONS, reverse=True):
        # Turned, blocks that the margin cuts off would come first and shift all others.
        fits = header.turn is None or not (width % reduction or height % reduction)
        if reduction * factor <= 1 and fits and reduction <= min(width, height):
            header.picture.draft(None, (width // reduction, height // reduction))
            break


def _gray_image(picture: PIL.Image.Image, raw_mode: str) -> Image:
    """Gray of more than 8 bits, which Pillow would clip at 255, as its upper 8 bits."""
    values = np.array(picture)
    if picture.mode == "F":
        gray = _unit_range(values)
    elif picture.mode == "I":
        # Files of small values hold 16-bit measurements, others the 31 bits of a signed number.
        gray = values.clip(0) >> (8 if values.max() <= 0xFFFF else 23)
    else:
        gray = values >> (4 if raw_mode == "I;12" else 8)
        gray[values == picture.info.get("transparency", -1)] = 255  # on white, as everywhere
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)


def _unit_range(values: Any) -> Any:
    """Floating point has no agreed range; the highest value tells 0..1, 0..255 and 0..65535 apart."""
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(0)
    top = next((top for top in (1, 255, 65535) if finite.max() <= top), finite.max())
    return finite * (255 / top) + 0.5
