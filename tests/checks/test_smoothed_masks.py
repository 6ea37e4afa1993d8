"""Masks whose pixels were averaged: JPEG and smooth resizing are told apart, sound masks are left in peace."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from PIL.Image import Resampling
from tests.checks.scenes import painted, scene

from fassd.checks.smoothed_masks import smoothing_of
from fassd.core.arrays import MaskValues
from fassd.core.labels import CAMVID
from fassd.data.mask_encoding import value_of_color
from fassd.media.masks import read_values

Change = Callable[[PIL.Image.Image], PIL.Image.Image]


def _jpeg(quality: int, subsampling: int = 2) -> Change:
    def change(mask: PIL.Image.Image) -> PIL.Image.Image:
        stream = io.BytesIO()
        mask.save(stream, "JPEG", quality=quality, subsampling=subsampling)
        with PIL.Image.open(stream) as picture:
            return picture.convert(mask.mode)

    return change


def _resized(factor: float, how: Resampling, back: bool = False) -> Change:
    def change(mask: PIL.Image.Image) -> PIL.Image.Image:
        small = mask.resize((round(mask.width * factor), round(mask.height * factor)), how)
        return small.resize(mask.size, how) if back else small

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "none": (lambda mask: mask, ""),
    "nearest neighbor, smaller": (_resized(0.5, Resampling.NEAREST), ""),
    "nearest neighbor, larger": (_resized(1.5, Resampling.NEAREST), ""),
    "JPEG 50": (_jpeg(50), "jpeg-mask"),
    "JPEG 75": (_jpeg(75), "jpeg-mask"),
    "JPEG 90": (_jpeg(90), "jpeg-mask"),
    "JPEG 95": (_jpeg(95), "jpeg-mask"),
    "JPEG 90 with colors in full": (_jpeg(90, 0), "jpeg-mask"),
    "bilinear, there and back": (_resized(0.5, Resampling.BILINEAR, back=True), "blurred-mask"),
    "bilinear, smaller": (_resized(0.5, Resampling.BILINEAR), "blurred-mask"),
    "bilinear, larger": (_resized(1.5, Resampling.BILINEAR), "blurred-mask"),
    "bicubic, smaller": (_resized(1 / 3, Resampling.BICUBIC), "blurred-mask"),
    "Lanczos, larger": (_resized(1.5, Resampling.LANCZOS), "blurred-mask"),
    "blurred": (lambda mask: mask.filter(PIL.ImageFilter.GaussianBlur(1)), "blurred-mask"),
}


def _codes(mask: PIL.Image.Image) -> MaskValues:
    pixels = np.array(mask)
    return pixels if pixels.ndim == 2 else pixels.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)


@pytest.mark.parametrize("form", ["values", "colors"])
@pytest.mark.parametrize("change", CHANGES)
def test_real_masks_tell_how_they_were_mixed(data_root: Path, form: str, change: str) -> None:
    paths = sorted((data_root / "camvid" / "trainannot").glob("*.png"))[::60]
    if not paths:
        pytest.skip("FASSD_DATA has no folder camvid")
    colors = np.array([*(one.color for one in CAMVID.classes), (0, 0, 0)], np.uint8)
    do, expected = CHANGES[change]
    masks = [read_values(path) for path in paths]
    told = Counter(
        smoothing_of(_codes(do(PIL.Image.fromarray(colors[one] if form == "colors" else one)))) for one in masks
    )
    assert told == {expected: len(paths)}


@pytest.mark.parametrize("change", ["none", "JPEG 75", "bilinear, there and back", "blurred"])
def test_small_drawn_masks_tell_it_too(change: str) -> None:
    do, expected = CHANGES[change]
    told = Counter(smoothing_of(_codes(do(PIL.Image.fromarray(painted(scene(seed).labels))))) for seed in range(8))
    assert told.most_common(1)[0][0] == expected, told


def test_noise_and_the_smallest_masks_are_no_mixtures() -> None:
    noise = np.random.default_rng(0).integers(0, 11, (96, 128)).astype(np.uint8)
    assert smoothing_of(noise) == "noise-mask"
    for shape in ((1, 1), (1, 400), (400, 1), (7, 7), (8, 8), (16, 20)):
        small = np.zeros(shape, np.uint32)
        small[::2] = value_of_color((1, 2, 3))
        assert smoothing_of(small) == ""
