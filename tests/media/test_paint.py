"""Painted class maps: the right colors in the right places, and a legend that says what is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ImageDraw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CITYSCAPES, LabelClass, LabelSpace
from fassd.media.images import read_image
from fassd.media.masks import read_values
from fassd.media.paint import colorize, overlay, shares

SHAPES = st.tuples(st.integers(1, 12), st.integers(1, 12))
CLASS_MAPS = arrays(np.uint8, SHAPES, elements=st.integers(0, 10))
ANY_LABELS = arrays(np.uint8, SHAPES, elements=st.integers(0, 10) | st.just(IGNORE))


MANY = LabelSpace("40 classes", tuple(LabelClass(f"class {i}", (i, 250 - i, 5 * i), i) for i in range(40)))


def photo_for(class_map: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (*class_map.shape, 3), dtype=np.uint8)


def painted(class_map: np.ndarray[Any, Any], opacity: float = 0.5) -> np.ndarray[Any, Any]:
    return overlay(photo_for(class_map), class_map, CAMVID, shares(class_map, CAMVID), opacity)


def packed(colors: np.ndarray[Any, Any]) -> Any:
    return colors @ np.array([65536, 256, 1])


def stripes(height: int, width: int, classes: int) -> np.ndarray[Any, Any]:
    return np.broadcast_to((np.arange(width) * classes // width).astype(np.uint8), (height, width)).copy()


@given(ANY_LABELS)
def test_each_pixel_has_its_class_color(class_map: np.ndarray[Any, Any]) -> None:
    picture = colorize(class_map, CAMVID)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, CAMVID.color_table()[class_map])


@given(CLASS_MAPS)
def test_shares_are_fractions_of_the_image(class_map: np.ndarray[Any, Any]) -> None:
    found = shares(class_map, CAMVID)
    assert tuple(found) == CAMVID.names
    assert sum(found.values()) == pytest.approx(1)
    assert found["Road"] == pytest.approx(np.mean(class_map == CAMVID.index("Road")))


def test_unlabeled_pixels_have_no_share() -> None:
    assert shares(np.array([[0, IGNORE, 3, 3]], np.uint8), CAMVID)["Road"] == pytest.approx(2 / 3)
    assert sum(shares(np.full((2, 2), IGNORE, np.uint8), CAMVID).values()) == 0


@given(CLASS_MAPS)
@settings(deadline=None)
def test_at_opacity_0_the_photo_is_untouched(class_map: np.ndarray[Any, Any]) -> None:
    result = painted(class_map, 0.0)
    height, width = class_map.shape
    left = (result.shape[1] - width) // 2
    assert np.array_equal(result[:height, left : left + width], photo_for(class_map))


def test_at_opacity_1_only_the_colors_are_seen() -> None:
    class_map = np.full((20, 300), CAMVID.index("Car"), np.uint8)
    assert np.array_equal(painted(class_map, 1.0)[:20], colorize(class_map, CAMVID))


def test_pixels_without_a_class_keep_the_photo() -> None:
    class_map = np.full((20, 300), IGNORE, np.uint8)
    assert np.array_equal(painted(class_map), photo_for(class_map))  # and there is no legend


def test_contours_lie_between_classes_and_nowhere_else() -> None:
    class_map = stripes(40, 400, 2)
    flat = np.full((40, 400, 3), 128, np.uint8)
    result = overlay(flat, class_map, CAMVID, shares(class_map, CAMVID)).astype(int)[:40]
    steps = np.abs(np.diff(result, axis=1)).sum(axis=(0, 2))
    assert set(np.flatnonzero(steps)) == {198, 199, 200}
    light, dark = result[0, 199].sum(), result[0, 200].sum()
    assert light > result[0, 0].sum()
    assert dark < result[0, -1].sum()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 6000), (3000, 1), (45, 60), (135, 180), (720, 1280)])
@pytest.mark.parametrize("space", [CAMVID, CITYSCAPES, MANY], ids=lambda space: space.name)
def test_any_size_gets_a_whole_legend(height: int, width: int, space: LabelSpace) -> None:
    class_map = stripes(height, width, min(width, len(space)))
    result = overlay(photo_for(class_map), class_map, space, dict.fromkeys(space.names, 1 / len(space)))
    assert result.dtype == np.uint8
    assert result.shape[1] >= width
    legend = result[height:]
    swatches = set(np.unique(packed(legend)))
    assert all(packed(np.array(label.color)) in swatches for label in space.classes)
    background = legend[0, 0]
    for border in (legend[:2], legend[-2:], legend[:, :2], legend[:, -2:]):
        assert (border == background).all()  # nothing is cut off


@dataclass(frozen=True)
class Written:
    """A text of the legend and the pixels that it takes."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def legend_of(monkeypatch: pytest.MonkeyPatch, class_map: np.ndarray[Any, Any], space: LabelSpace) -> list[Written]:
    written: list[Written] = []
    draw = PIL.ImageDraw.ImageDraw.text

    def record(pen: Any, place: Any, text: str, fill: Any, font: Any, anchor: str) -> None:
        written.append(Written(text, *pen.textbbox(place, text, font, anchor)))
        draw(pen, place, text, fill, font, anchor)

    monkeypatch.setattr(PIL.ImageDraw.ImageDraw, "text", record)
    overlay(photo_for(class_map), class_map, space, shares(class_map, space))
    return written


def test_the_legend_names_the_classes_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class_map = np.repeat(np.array([0, 3, 5, 8], np.uint8), [250, 600, 149, 1]).reshape(10, 100)
    expected = ["Road", "60.0 %", "Sky", "25.0 %", "Tree", "14.9 %", "Car", "0.1 %"]
    assert [written.text for written in legend_of(monkeypatch, class_map, CAMVID)] == expected


@pytest.mark.parametrize("space", [CAMVID, CITYSCAPES], ids=lambda space: space.name)
@pytest.mark.parametrize("width", [*range(40, 800, 40), 1024, 1280, 1920, 2048, 4000, 6000])
def test_the_legend_s_columns_keep_their_distance(
    monkeypatch: pytest.MonkeyPatch, width: int, space: LabelSpace
) -> None:
    texts = legend_of(monkeypatch, stripes(2, width, len(space)), space)
    names, numbers = texts[::2], texts[1::2]
    assert len(names) == len(space)
    digit = numbers[0].bottom - numbers[0].top
    assert all(name.right + digit < number.left for name, number in zip(names, numbers, strict=True))
    for number, name in zip(numbers, names[1:], strict=False):
        assert name.left < number.left or number.right + 3 * digit < name.left
    assert width < 200 or max(number.right for number in numbers) + digit < width


def test_classes_too_small_to_state_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class_map = np.zeros((50, 50), np.uint8)
    class_map[0, 0] = 8  # 0.04 %
    assert [written.text for written in legend_of(monkeypatch, class_map, CAMVID)] == ["Sky", "100.0 %"]


def test_a_long_name_widens_the_result_rather_than_being_cut() -> None:
    space = LabelSpace("long", (LabelClass("a class with quite a long name", (9, 99, 199), 0),))
    class_map = np.zeros((50, 50), np.uint8)
    result = overlay(photo_for(class_map), class_map, space, {space.names[0]: 1.0})
    assert result.shape[1] > 200
    assert (result[50:, -2:] == result[-1, -1]).all()


@pytest.mark.parametrize(("shape", "opacity"), [((4, 5), 0.5), ((5, 4), -0.1), ((5, 4), 1.1)])
def test_wrong_arguments_are_refused(shape: tuple[int, int], opacity: float) -> None:
    with pytest.raises(ValueError, match=r"image .* class map .* opacity"):
        overlay(np.zeros((5, 4, 3), np.uint8), np.zeros(shape, np.uint8), CAMVID, {}, opacity)


def test_painting_does_not_change_its_arguments() -> None:
    class_map = stripes(30, 200, 5)
    image = photo_for(class_map)
    before = image.copy(), class_map.copy()
    overlay(image, class_map, CAMVID, shares(class_map, CAMVID))
    assert np.array_equal(image, before[0])
    assert np.array_equal(class_map, before[1])


def test_real_labels_are_painted(data_root: Path) -> None:
    path = min((data_root / "camvid" / "val").iterdir())
    mask = read_values(path.parents[1] / "valannot" / f"{path.stem}.png")
    result = overlay(read_image(path), mask, CAMVID, shares(mask, CAMVID))
    assert result.shape[1] == 480
    assert result.shape[0] > 360
