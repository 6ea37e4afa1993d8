"""Contact sheets: labeled frames side by side as image, mask in color and overlay, over one legend."""

from __future__ import annotations

import textwrap
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter
from PIL.Image import Resampling

from fassd.core.arrays import IGNORE, Image, Labels
from fassd.core.labels import LabelSpace
from fassd.media.legend import BACKGROUND, FAINT, FOREIGN, IGNORED, TEXT, Entry, Font, font, hatching, legend, printable
from fassd.media.paint import colorize, overlay

Picture: TypeAlias = PIL.Image.Image
Foreign: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[np.bool_]]"
"""(H, W) bool: the pixels whose value a mask may not hold."""

_VIEWS = ("image", "mask", "overlay")
_WARNING = (255, 176, 84)
_MARGIN, _GAP, _GUTTER = 36, 8, 48
_TITLE, _SUBTITLE, _EM, _CAPTION = 34, 20, 20, 17  # sizes of letters; _EM is the legend's
_HEADING = 30  # the line of view names
_CAPTIONS = 62  # two lines below a frame, and the space to the next


@dataclass(frozen=True)
class Tile:
    """A frame of the sheet.

    Attributes:
        name: of the frame.
        pictures: image, mask and overlay, small; None for what cannot be shown.
        note: what else is to be known.
        problem: why it is not whole.
    """

    name: str
    pictures: tuple[Picture | None, Picture | None, Picture | None]
    note: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Grid:
    """How a number of frames is set out: frames side by side, and the largest side of a picture in pixels."""

    columns: int
    side: int

    @property
    def frame(self) -> int:
        """The width of a frame's views together."""
        return len(_VIEWS) * self.side + (len(_VIEWS) - 1) * _GAP

    @property
    def width(self) -> int:
        """Of the whole sheet."""
        return self.columns * self.frame + (self.columns - 1) * _GUTTER + 2 * _MARGIN


def grid_for(frames: int) -> Grid:
    """The grid for a number of frames: few are shown larger."""
    return Grid(1, 500) if frames <= 3 else Grid(2, 320)


def small_image(image: Image, side: int) -> Picture:
    """A photo, fitted into a square."""
    picture = PIL.Image.fromarray(image)
    size = _fitted(picture.size, side)
    return picture.resize(size, Resampling.LANCZOS if size < picture.size else Resampling.NEAREST)


def small_mask(labels: Labels, foreign: Foreign | None, space: LabelSpace, side: int) -> Picture:
    """A mask in the colors of its classes, fitted into a square: ignored pixels hatched, foreign ones in magenta."""
    full = PIL.Image.fromarray(colorize(labels, space))
    size = _fitted(full.size, side)
    painted = full.resize(size, Resampling.BOX if size < full.size else Resampling.NEAREST)
    ignored = PIL.Image.fromarray(labels == IGNORE).convert("L").resize(size, Resampling.BOX)
    painted.paste(hatching(IGNORED, *size, pitch=8), mask=ignored)
    return _with_foreign(painted, foreign)


def small_overlay(image: Image, labels: Labels, foreign: Foreign | None, space: LabelSpace, side: int) -> Picture:
    """A photo under the colors of its mask, fitted into a square; both have one size."""
    photo = small_image(image, side)
    few = np.array(PIL.Image.fromarray(labels).resize(photo.size, Resampling.NEAREST))
    return _with_foreign(PIL.Image.fromarray(overlay(np.array(photo), few, space, {})), foreign)


def contact_sheet(title: str, subtitle: str, tiles: Sequence[Tile], grid: Grid, entries: Sequence[Entry]) -> Picture:
    """The sheet: title, frames row by row, legend.

    Args:
        title: in large letters.
        subtitle: below it.
        tiles: at least one, with pictures of at most `grid.side`.
        grid: see `grid_for`.
        entries: of the legend; may be empty.
    """
    room = grid.width - 2 * _MARGIN
    rows = [tiles[start : start + grid.columns] for start in range(0, len(tiles), grid.columns)]
    heights = [max(_height(tile, grid) for tile in row) for row in rows]
    # The legend has a margin of one em of its own.
    below = legend(entries, room + 2 * _EM, _EM) if entries else PIL.Image.new("RGB", (room, 0))
    top = _MARGIN + _TITLE + 14 + _SUBTITLE + 24
    height = top + _HEADING + sum(heights) + _CAPTIONS * len(rows) + below.height
    sheet = PIL.Image.new("RGB", (max(grid.width, below.width + _MARGIN), height), BACKGROUND)
    pen = PIL.ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN + _TITLE), shortened(title, font(_TITLE), room), TEXT, font(_TITLE), "ls")
    line = _MARGIN + _TITLE + 14 + _SUBTITLE
    pen.text((_MARGIN, line), shortened(subtitle, font(_SUBTITLE), room), FAINT, font(_SUBTITLE), "ls")
    _draw_headings(pen, grid, min(len(tiles), grid.columns), top + _CAPTION)
    top += _HEADING
    for row, row_height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            _draw_tile(sheet, tile, grid, (_MARGIN + column * (grid.frame + _GUTTER), top))
        top += row_height + _CAPTIONS
    sheet.paste(below, (_MARGIN - _EM, top))
    return sheet


def shortened(text: str, letters: Font, room: float) -> str:
    """The text on one line, with an ellipsis in its middle where it is wider than the room in pixels."""
    text = printable(text)
    if letters.getlength(text) <= room:
        return text
    kept = bisect_right(range(len(text)), room, key=lambda count: letters.getlength(_keeping(text, count))) - 1
    return _keeping(text, max(0, kept))


def _keeping(text: str, count: int) -> str:
    head = count * 2 // 5  # the end of a file's name tells more than its beginning
    return f"{text[:head]}…{text[len(text) - count + head :]}"


def _draw_headings(pen: PIL.ImageDraw.ImageDraw, grid: Grid, columns: int, baseline: int) -> None:
    for column in range(columns):
        for place, view in enumerate(_VIEWS):
            left = _MARGIN + column * (grid.frame + _GUTTER) + place * (grid.side + _GAP)
            pen.text((left, baseline), view, FAINT, font(_CAPTION), "ls")


def _draw_tile(sheet: Picture, tile: Tile, grid: Grid, corner: tuple[int, int]) -> None:
    left, top = corner
    pen = PIL.ImageDraw.Draw(sheet)
    letters = font(_CAPTION)
    for place, picture in enumerate(tile.pictures):
        if picture is not None:
            sheet.paste(picture, (left + place * (grid.side + _GAP), top))
    if None in tile.pictures:
        gap = tile.pictures.index(None)
        cells = next((n for n, picture in enumerate(tile.pictures[gap:]) if picture is not None), len(_VIEWS) - gap)
        start = left + gap * (grid.side + _GAP)
        _draw_wrapped(pen, tile.problem, (start + 12, top + 12), cells * (grid.side + _GAP) - _GAP - 24)
    baseline = top + _height(tile, grid) + 22
    pen.text((left, baseline), shortened(tile.name, letters, grid.frame), TEXT, letters, "ls")
    color = _WARNING if tile.problem and None not in tile.pictures else FAINT
    pen.text((left, baseline + 20), shortened(tile.note, letters, grid.frame), color, letters, "ls")


def _draw_wrapped(pen: PIL.ImageDraw.ImageDraw, text: str, corner: tuple[int, int], room: int) -> None:
    letters = font(_CAPTION)
    lines = textwrap.wrap(printable(text), max(12, room * 2 // _CAPTION))[:6]
    for number, line in enumerate(lines):
        place = (corner[0], corner[1] + (number + 1) * 22)
        pen.text(place, shortened(line, letters, room), _WARNING, letters, "ls")


def _height(tile: Tile, grid: Grid) -> int:
    least = grid.side // 2 if None in tile.pictures else 1  # room for the problem
    return max(least, *(picture.height for picture in tile.pictures if picture is not None), 1)


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _with_foreign(painted: Picture, foreign: Foreign | None) -> Picture:
    if foreign is not None and foreign.any():
        # A single pixel of 2 million is to be seen, so it is enlarged rather than averaged away.
        share = PIL.Image.fromarray(foreign).convert("F").resize(painted.size, Resampling.BOX)
        seen = PIL.Image.fromarray(np.array(share) > 0).convert("L").filter(PIL.ImageFilter.MaxFilter(3))
        painted.paste(hatching(FOREIGN, *painted.size, pitch=8), mask=seen)
    return painted
