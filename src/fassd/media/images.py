"""Image files -> RGB arrays, whatever their format, mode and bit depth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from fassd.core.arrays import Image
from fassd.media.formats import EXCHANGING, ImageHeader, opened

REDUCTIONS = (1, 2, 4, 8)
"""The factors by which JPEG can be reduced while it is decoded."""


def read_image(path: Path, factor: float = 1.0) -> Image:
    """The image as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Animations give their first frame, TIFFs their first page. 16 bits are cut to the upper 8. Transparent pixels are
    blended with white, as viewers do. Color profiles are ignored: networks are trained on stored values, and the
    profile of a street camera is sRGB or missing.

    Args:
        path: the file.
        factor: the largest factor by which its sides will be resized. To save work, a JPEG that will be at least
            halved is decoded at 1/2, 1/4 or 1/8 of its size, sides rounded up: pixel i shows the pixels from 2i, 4i
            or 8i on. Blocks are reduced in frequency space, which blurs less than averaging pixels.

    Raises:
        ImageError: no such file, not an image of a known format, damaged, or above `MAX_PIXELS`.
    """
    with opened(path) as header:
        _reduce(header, factor)
        image = header.upright()
        if image.mode.startswith("I") or image.mode == "F":
            return _gray_image(image, header.raw_mode)
        if image.has_transparency_data:
            # Transparent pixels have arbitrary colors; the author most likely saw white.
            clear = image if image.mode == "RGBA" else image.convert("RGBA")
            image = PIL.Image.new("RGB", image.size, "white")
            image.paste(clear, mask=clear)
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def read_size(path: Path, factor: float = 1.0) -> tuple[int, int]:
    """(height, width) of the array that `read_image` returns; reads only the header.

    Raises:
        ImageError: as `read_image`, except for damage after the header.
    """
    with opened(path) as header:
        _reduce(header, factor)
        width, height = header.image.size
        return (width, height) if header.turn in EXCHANGING else (height, width)


def _reduce(header: ImageHeader, factor: float) -> None:
    """Sets a JPEG to be decoded at a reduced size where that suffices; other formats stay as they are."""
    width, height = header.image.size
    for reduction in sorted(REDUCTIONS, reverse=True):
        # In a turned image incomplete blocks would come first and shift all others.
        fits = header.turn is None or not (width % reduction or height % reduction)
        if reduction * factor <= 1 and fits and reduction <= min(width, height):
            header.image.draft(None, (width // reduction, height // reduction))
            break


def _gray_image(image: PIL.Image.Image, raw_mode: str) -> Image:
    """The upper 8 bits of deeper gray, which Pillow would clip at 255."""
    values = np.array(image)
    if image.mode == "F":
        # Floating point has no standard range; the maximum decides between 0..1, 0..255 and 0..65535.
        finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).clip(0)
        top = next((top for top in (1, 255, 65535) if finite.max() <= top), finite.max())
        gray = finite * (255 / top) + 0.5
    elif image.mode == "I":
        # Files without larger values hold 16-bit measurements, others signed 32-bit numbers.
        gray = values.clip(0) >> (8 if values.max() <= 0xFFFF else 23)
    else:
        gray = values >> (4 if raw_mode == "I;12" else 8)
        gray[values == image.info.get("transparency", -1)] = 255  # transparent: white
    return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)
