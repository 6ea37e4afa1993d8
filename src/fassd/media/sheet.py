"""Contact sheets: image, mask in color and overlay of some frames, with a legend."""

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
from PIL.Image import Image as PillowImage
from PIL.Image import Resampling

from fassd.core.arrays import IGNORE, Image, Labels
from fassd.core.labels import LabelSpace
from fassd.media.legend import BACKGROUND, FAINT, IGNORED, TEXT, UNKNOWN, Entry, Font, font, hatching, legend, printable
from fassd.media.paint import colorize, overlay

Views: TypeAlias = tuple[PillowImage | None, PillowImage | None, PillowImage | None]
"""Image, mask in color and overlay; None where it cannot be drawn."""
UnknownPixels: TypeAlias = "np.ndarray[tuple[int, int], np.dtype[np.bool_]]"
"""(H, W) bool: true at values outside the data set's table."""

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
        views: at most `Grid.side` pixels wide and high.
        note: below the name.
        problem: what is wrong with the frame; shown in place of a missing view.
    """

    name: str
    views: Views
    note: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Grid:
    """The layout of a sheet: frames side by side, and the largest side of a view in pixels."""

    columns: int
    side: int

    @property
    def frame(self) -> int:
        """Width of a frame's three views, in pixels."""
        return len(_VIEWS) * self.side + (len(_VIEWS) - 1) * _GAP

    @property
    def width(self) -> int:
        """Width of the sheet, in pixels."""
        return self.columns * self.frame + (self.columns - 1) * _GUTTER + 2 * _MARGIN


def grid_for(frames: int) -> Grid:
    """The grid for a number of frames; up to 3 are drawn larger."""
    return Grid(1, 500) if frames <= 3 else Grid(2, 320)


def small_image(image: Image, side: int) -> PillowImage:
    """An image, fitted into a square of `side` pixels."""
    full = PIL.Image.fromarray(image)
    size = _fitted(full.size, side)
    return full.resize(size, Resampling.LANCZOS if size < full.size else Resampling.NEAREST)


def small_mask(labels: Labels, unknown: UnknownPixels | None, space: LabelSpace, side: int) -> PillowImage:
    """A mask in class colors, fitted into a square; ignored pixels are hatched, unknown values magenta."""
    full = PIL.Image.fromarray(colorize(labels, space))
    size = _fitted(full.size, side)
    painted = full.resize(size, Resampling.BOX if size < full.size else Resampling.NEAREST)
    ignored = PIL.Image.fromarray(labels == IGNORE).convert("L").resize(size, Resampling.BOX)
    painted.paste(hatching(IGNORED, *size, pitch=8), mask=ignored)
    return _with_unknown(painted, unknown)


def small_overlay(
    image: Image, labels: Labels, unknown: UnknownPixels | None, space: LabelSpace, side: int
) -> PillowImage:
    """An image blended with its mask, which has the same size, fitted into a square."""
    photo = small_image(image, side)
    reduced = np.array(PIL.Image.fromarray(labels).resize(photo.size, Resampling.NEAREST))
    return _with_unknown(PIL.Image.fromarray(overlay(np.array(photo), reduced, space, {})), unknown)


def contact_sheet(
    title: str, subtitle: str, tiles: Sequence[Tile], grid: Grid, entries: Sequence[Entry]
) -> PillowImage:
    """Draws a sheet: title, subtitle, frames row by row, legend.

    Args:
        title: the heading.
        subtitle: below it.
        tiles: at least one.
        grid: see `grid_for`.
        entries: of the legend; may be empty.
    """
    room = grid.width - 2 * _MARGIN
    rows = [tiles[start : start + grid.columns] for start in range(0, len(tiles), grid.columns)]
    heights = [max(_height(tile, grid) for tile in row) for row in rows]
    # The legend includes a margin of one em.
    below = legend(entries, room + 2 * _EM, _EM) if entries else PIL.Image.new("RGB", (room, 0))
    top = _MARGIN + _TITLE + 14 + _SUBTITLE + 24
    height = top + _HEADING + sum(heights) + _CAPTIONS * len(rows) + below.height
    sheet = PIL.Image.new("RGB", (max(grid.width, below.width + _MARGIN), height), BACKGROUND)
    pen = PIL.ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN + _TITLE), shortened(title, font(_TITLE), room), TEXT, font(_TITLE), "ls")
    line = _MARGIN + _TITLE + 14 + _SUBTITLE
    pen.text((_MARGIN, line), shortened(subtitle, font(_SUBTITLE), room), FAINT, font(_SUBTITLE), "ls")
    for column in range(min(len(tiles), grid.columns)):
        for place, name in enumerate(_VIEWS):
            left = _MARGIN + column * (grid.frame + _GUTTER) + place * (grid.side + _GAP)
            pen.text((left, top + _CAPTION), name, FAINT, font(_CAPTION), "ls")
    top += _HEADING
    for row, row_height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            _draw_tile(sheet, tile, grid, (_MARGIN + column * (grid.frame + _GUTTER), top))
        top += row_height + _CAPTIONS
    sheet.paste(below, (_MARGIN - _EM, top))
    return sheet


def shortened(text: str, letters: Font, room: float) -> str:
    """The text on one line, with an ellipsis in the middle if it is wider than `room` pixels."""
    text = printable(text)
    if letters.getlength(text) <= room:
        return text
    kept = bisect_right(range(len(text)), room, key=lambda count: letters.getlength(_keeping(text, count))) - 1
    return _keeping(text, max(0, kept))


def _keeping(text: str, count: int) -> str:
    head = count * 2 // 5  # the end of a file name is more specific than its beginning
    return f"{text[:head]}…{text[len(text) - count + head :]}"


def _draw_tile(sheet: PillowImage, tile: Tile, grid: Grid, corner: tuple[int, int]) -> None:
    left, top = corner
    pen = PIL.ImageDraw.Draw(sheet)
    letters = font(_CAPTION)
    for place, view in enumerate(tile.views):
        if view is not None:
            sheet.paste(view, (left + place * (grid.side + _GAP), top))
    if None in tile.views:
        gap = tile.views.index(None)
        cells = next((n for n, view in enumerate(tile.views[gap:]) if view is not None), len(_VIEWS) - gap)
        start = left + gap * (grid.side + _GAP)
        _draw_wrapped(pen, tile.problem, (start + 12, top + 12), cells * (grid.side + _GAP) - _GAP - 24)
    baseline = top + _height(tile, grid) + 22
    pen.text((left, baseline), shortened(tile.name, letters, grid.frame), TEXT, letters, "ls")
    color = _WARNING if tile.problem and None not in tile.views else FAINT
    pen.text((left, baseline + 20), shortened(tile.note, letters, grid.frame), color, letters, "ls")


def _draw_wrapped(pen: PIL.ImageDraw.ImageDraw, text: str, corner: tuple[int, int], room: int) -> None:
    letters = font(_CAPTION)
    lines = textwrap.wrap(printable(text), max(12, room * 2 // _CAPTION))[:6]
    for number, line in enumerate(lines):
        place = (corner[0], corner[1] + (number + 1) * 22)
        pen.text(place, shortened(line, letters, room), _WARNING, letters, "ls")


def _height(tile: Tile, grid: Grid) -> int:
    least = grid.side // 2 if None in tile.views else 1  # space for the problem
    return max(least, *(view.height for view in tile.views if view is not None), 1)


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _with_unknown(painted: PillowImage, unknown: UnknownPixels | None) -> PillowImage:
    if unknown is not None and unknown.any():
        # A single unknown pixel must stay visible, so it is dilated rather than averaged away.
        share = PIL.Image.fromarray(unknown).convert("F").resize(painted.size, Resampling.BOX)
        visible = PIL.Image.fromarray(np.array(share) > 0).convert("L").filter(PIL.ImageFilter.MaxFilter(3))
        painted.paste(hatching(UNKNOWN, *painted.size, pitch=8), mask=visible)
    return painted
