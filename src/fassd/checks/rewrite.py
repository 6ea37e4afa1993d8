"""Writing a mask or an image anew, with its pixels mended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from fassd.checks.mask_values import Table
from fassd.core.arrays import MaskValues
from fassd.data.mask_encoding import MaskEncoding
from fassd.media.formats import opened
from fassd.media.images import read_image
from fassd.media.masks import read_colors, read_values


def rewrite_mask(mask: Path, place: Path, coding: MaskEncoding, table: Table | None, turn: Transpose | None) -> None:
    """Writes a mask as PNG.

    Args:
        mask: to read.
        place: to write; PNG content whatever its name.
        coding: what the copy should hold.
        table: the right code for each; None where they are right.
        turn: what makes the mask fit its image; None where it does.
    """
    codes = _codes(mask, coding, table)
    if table is not None:
        codes = _translated(codes, table)
    if turn is not None:
        codes = _turned(codes, turn)
    _save(codes, place, coding)


def rewrite_picture(picture: Path, place: Path) -> None:
    """Writes an image as PNG, upright."""
    PIL.Image.fromarray(read_image(picture)).save(place, "PNG")


def _codes(mask: Path, coding: MaskEncoding, table: Table | None) -> MaskValues:
    """Values or colors, whichever the file holds."""
    with opened(mask) as header:
        colored = header.image.mode in ("RGB", "RGBA", "RGBX")
    if table is not None and colored != coding.by_color and header.image.mode != "P":
        return read_colors(mask) if colored else read_values(mask)
    return coding.read(mask)


def _translated(codes: MaskValues, table: Table) -> MaskValues:
    found, places = np.unique(codes, return_inverse=True)
    right = np.array([table.get(int(code), int(code)) for code in found], np.uint32)
    translated: MaskValues = right[places].reshape(codes.shape)
    return translated


def _turned(codes: MaskValues, turn: Transpose) -> MaskValues:
    """As `PIL.Image.Image.transpose`, which takes no 32-bit colors."""
    place = {
        Transpose.FLIP_LEFT_RIGHT: codes[:, ::-1],
        Transpose.FLIP_TOP_BOTTOM: codes[::-1],
        Transpose.ROTATE_180: codes[::-1, ::-1],
        Transpose.ROTATE_90: np.rot90(codes),
        Transpose.ROTATE_270: np.rot90(codes, 3),
        Transpose.TRANSPOSE: codes.T,
        Transpose.TRANSVERSE: codes[::-1, ::-1].T,
    }[turn]
    turned: MaskValues = np.ascontiguousarray(place)
    return turned


def _save(codes: MaskValues, place: Path, coding: MaskEncoding) -> None:
    if coding.by_color:
        channels = [(codes >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
        pixels = np.stack(channels, -1)
    else:
        pixels = codes.astype(np.uint8 if codes.max() < 256 else np.uint16)
    PIL.Image.fromarray(pixels).save(place, "PNG")
