"""Colors and fonts of drawn images, and the legend below them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

Color = tuple[int, int, int]
Font = PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont

BACKGROUND, TEXT, FAINT = (23, 25, 29), (240, 241, 243), (150, 155, 163)
_RIM = (255, 255, 255, 90)


@dataclass(frozen=True)
class Stripes:
    """The fill of pixels without a class: stripes on a ground, which cannot be mistaken for a class."""

    ground: Color
    stripe: Color


IGNORED = Stripes((58, 61, 67), (104, 109, 118))
UNKNOWN = Stripes((255, 0, 255), (255, 255, 255))
"""Unknown values of a mask."""


@dataclass(frozen=True)
class Entry:
    """A line of the legend."""

    fill: Color | Stripes
    name: str
    share: str


def legend(entries: Sequence[Entry], width: int, em: int) -> PIL.Image.Image:
    """An image of the entries in columns.

    Args:
        entries: at least one.
        width: of the image, in pixels; it is larger if the longest entry needs more.
        em: font size in pixels.
    """
    letters = font(em)
    name_width = max(letters.getlength(printable(entry.name)) for entry in entries)
    share_width = max(letters.getlength(entry.share) for entry in entries)
    # A table of equal cells; all lengths in pixels.
    cell = math.ceil(1.5 * em + name_width + 0.9 * em + share_width)
    width, gap = max(width, cell + 2 * em), round(1.5 * em)
    rows = math.ceil(len(entries) / ((width - 2 * em + gap) // (cell + gap)))
    columns = math.ceil(len(entries) / rows)  # as evenly filled as the number of rows allows
    pitch = min((width - 2 * em + gap) // columns, round(1.3 * (cell + gap)))
    canvas = PIL.Image.new("RGB", (width, round((1.7 * rows + 1.3) * em)), BACKGROUND)
    pen = PIL.ImageDraw.Draw(canvas)
    for position, entry in enumerate(entries):
        row, column = divmod(position, columns)
        left = em + column * pitch
        middle = round((1.5 + 1.7 * row) * em)
        swatch = _swatch(entry.fill, em)
        canvas.paste(swatch, (left, middle - em // 2), swatch)
        baseline = middle + round(0.35 * em)  # half the height of a capital letter
        pen.text((left + round(1.5 * em), baseline), printable(entry.name), TEXT, letters, "ls")
        pen.text((left + cell, baseline), entry.share, FAINT, letters, "rs")
    return canvas


def hatching(stripes: Stripes, width: int, height: int, pitch: int) -> PIL.Image.Image:
    """Slanted stripes.

    Args:
        stripes: their colors.
        width, height: of the image, in pixels.
        pitch: distance of the stripes, in pixels.
    """
    image = PIL.Image.new("RGB", (width, height), stripes.ground)
    pen = PIL.ImageDraw.Draw(image)
    for start in range(-height, width, pitch):
        pen.line((start, height, start + height, 0), stripes.stripe, max(1, round(pitch / 4)))
    return image


@lru_cache(maxsize=8)
def font(size: int) -> Font:
    """The font of all drawn text, `size` pixels high."""
    return PIL.ImageFont.load_default(size=size)


def printable(text: str) -> str:
    """The text on one line, with ? for characters that cannot be printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _swatch(fill: Color | Stripes, size: int) -> PIL.Image.Image:
    """A rounded square with a faint rim, which sets dark colors off from the background."""
    fine = 4  # drawn four times as large and reduced, because Pillow draws jagged corners
    side = size * fine
    shape = PIL.Image.new("L", (side, side))
    corner, rim = side * 0.24, max(fine, side // 12)
    PIL.ImageDraw.Draw(shape).rounded_rectangle((0, 0, side - 1, side - 1), corner, 255)
    if isinstance(fill, Stripes):
        large = hatching(fill, side, side, side // 3)
    else:
        large = PIL.Image.new("RGB", (side, side), fill)
    large.putalpha(shape)
    PIL.ImageDraw.Draw(large).rounded_rectangle((0, 0, side - 1, side - 1), corner, None, _RIM, rim)
    return large.reduce(fine)
