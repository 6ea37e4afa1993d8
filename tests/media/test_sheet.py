"""Contact sheets: every pixel that matters is seen, and no text leaves its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID
from fassd.media.legend import BACKGROUND, IGNORED, UNKNOWN, Entry, font, printable
from fassd.media.sheet import Tile, contact_sheet, grid_for, shortened, small_image, small_mask, small_overlay

MASK = np.full((40, 60), 3, np.uint8)


def colors(picture: PIL.Image.Image) -> set[Any]:
    return {tuple(color) for color in np.array(picture).reshape(-1, 3).tolist()}


@pytest.mark.parametrize("size", [(40, 60), (60, 40), (2000, 3000), (1, 1), (3, 5000)])
def test_images_are_fitted_into_a_square(size: tuple[int, int]) -> None:
    image, labels = np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)
    drawn = (
        small_image(image, 320),
        small_mask(labels, None, CAMVID, 320),
        small_overlay(image, labels, None, CAMVID, 320),
    )
    for picture in drawn:
        assert max(picture.size) == 320
        assert (picture.width >= picture.height) == (size[1] >= size[0])


def test_a_mask_has_the_colors_of_its_classes() -> None:
    assert colors(small_mask(MASK, None, CAMVID, 320)) == {CAMVID.classes[3].color}


def test_ignored_pixels_are_hatched() -> None:
    drawn = small_mask(np.full((40, 60), IGNORE, np.uint8), None, CAMVID, 320)
    assert colors(drawn) == {IGNORED.ground, IGNORED.stripe}


def test_one_foreign_pixel_among_two_million_is_seen() -> None:
    labels = np.full((1024, 2048), 3, np.uint8)
    unknown = np.zeros(labels.shape, np.bool_)
    unknown[700, 900] = True
    photo = np.full((*labels.shape, 3), 90, np.uint8)
    for drawn in (small_mask(labels, unknown, CAMVID, 320), small_overlay(photo, labels, unknown, CAMVID, 320)):
        assert colors(drawn) & {UNKNOWN.ground, UNKNOWN.stripe}
    assert not colors(small_mask(labels, ~unknown & False, CAMVID, 320)) & {UNKNOWN.ground, UNKNOWN.stripe}


@given(st.text(max_size=200), st.integers(20, 400))
@settings(deadline=None)
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, room: int) -> None:
    letters = font(17)
    shown = shortened(text, letters, room)
    assert letters.getlength(shown) <= room or shown == "…"
    if shown != printable(text) and len(shown) > 3:
        head, _, tail = shown.partition("…")
        assert printable(text).startswith(head) and printable(text).endswith(tail)


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("gap", [None, 0, 1, 2])
def test_any_number_of_frames_whole_or_not_stays_inside(count: int, gap: int | None) -> None:
    grid = grid_for(count)
    red = PIL.Image.new("RGB", (grid.side, grid.side // 2), (255, 0, 0))
    views = [None if place == gap else red for place in range(3)]
    tile = Tile(
        "name\n\udcff" * 60, (views[0], views[1], views[2]), "note " * 90, "a problem " * 90 if gap is not None else ""
    )
    entry = Entry((0, 255, 0), "class " * 80, "100.0 %")
    sheet = np.array(contact_sheet("title " * 100, "subtitle " * 99, [tile] * count, grid, [entry]))
    borders = (sheet[:12], sheet[-12:], sheet[:, :12], sheet[:, -12:])
    assert all((border == BACKGROUND).all() for border in borders)
    shown = int((sheet == (255, 0, 0)).all(-1).sum())
    assert shown == count * (3 if gap is None else 2) * red.width * red.height
