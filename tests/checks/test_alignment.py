"""Laws of the agreement between a mask's borders and its image's edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL.Image import Transpose
from tests.checks.scenes import Array, scene

from fassd.checks.alignment import alignment

TURNS = {
    Transpose.FLIP_LEFT_RIGHT: lambda labels: labels[:, ::-1],
    Transpose.FLIP_TOP_BOTTOM: lambda labels: labels[::-1],
    Transpose.ROTATE_180: lambda labels: labels[::-1, ::-1],
}
SEEDS = range(6)


def _gray(seed: int) -> Array:
    gray: Array = scene(seed).image.mean(-1).astype(np.uint8)
    return gray


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mask_on_its_image_agrees(seed: int) -> None:
    fit = alignment(_gray(seed), scene(seed).labels, 1)
    assert fit
    assert fit.here > 8
    assert fit.flip is None
    assert not fit.is_shifted


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_flip_is_named_by_what_takes_it_back(seed: int, turn: Transpose) -> None:
    fit = alignment(_gray(seed), TURNS[turn](scene(seed).labels), 1)
    assert fit
    assert fit.flip == turn


@pytest.mark.parametrize(("quarters", "turn"), [(0, None), (1, Transpose.ROTATE_270), (3, Transpose.ROTATE_90)])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_quarter_turn_of_a_square_is_named_by_what_takes_it_back(
    seed: int, quarters: int, turn: Transpose | None
) -> None:
    fit = alignment(_gray(seed)[:, :120], np.rot90(scene(seed).labels[:, :120], quarters), 1)
    assert fit
    assert fit.flip == turn


@pytest.mark.parametrize(("right", "down"), [(16, 0), (-12, 6), (0, -14)])
def test_a_shift_is_measured(right: int, down: int) -> None:
    labels = np.roll(scene(1).labels, (down, right), (0, 1))
    fit = alignment(_gray(1), labels, 1)
    assert fit
    assert fit.is_shifted
    assert fit.shift == pytest.approx((-right / 160, -down / 120), abs=0.02)


def test_light_and_contrast_do_not_matter() -> None:
    plain, dark = (alignment(gray, scene(2).labels, 1) for gray in (_gray(2), _gray(2) // 3 + 20))
    assert plain
    assert dark
    assert dark.here == pytest.approx(plain.here, rel=0.15)


def test_a_mask_without_borders_tells_nothing() -> None:
    assert alignment(_gray(3), np.zeros((120, 160), np.uint8), 1) is None


def test_a_small_object_tells_too_little() -> None:
    labels = np.zeros((120, 160), np.uint8)
    labels[40:60, 30:60] = 1
    assert alignment(_gray(3), labels, 1) is None


def test_what_fits_far_away_fits_by_chance() -> None:
    fit = alignment(_gray(1), np.roll(scene(1).labels, 60, 1), 1)
    assert fit
    assert abs(fit.shift[0]) > 0.3
    assert not fit.is_shifted


@pytest.mark.slow
@pytest.mark.parametrize("label", [2, 5, 7, 8, 9])
def test_masks_of_one_class_alone_are_not_called_flipped(data_root: Path, label: int) -> None:
    wrong, judged = [], 0
    for mask in sorted((data_root / "camvid/trainannot").glob("*0.png"))[::2]:
        with PIL.Image.open(mask) as labels, PIL.Image.open(data_root / f"camvid/train/{mask.stem}.jpg") as picture:
            fit = alignment(np.asarray(picture.convert("L").reduce(2)), np.asarray(labels) == label, 2)
        judged += fit is not None
        wrong += [mask.name] if fit is not None and fit.flip is not None else []
    assert judged > 20
    assert not wrong


def test_noise_agrees_with_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 160)).astype(np.uint8)
    fit = alignment(noise, scene(4).labels, 1)
    assert fit
    assert fit.here < 6
    assert fit.flip is None
    assert not fit.is_shifted
