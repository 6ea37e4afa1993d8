"""JPEG read no larger than it will be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import Image
from fassd.media.images import read_image, read_size

PHOTO = Path(__file__).parents[2] / "src" / "fassd" / "assets" / "street.jpg"


@pytest.fixture(scope="module")
def photo() -> Image:
    """160x230 pixels of a real one."""
    return read_image(PHOTO)[100:260, 200:430]


def _saved(photo: Image, path: Path, orientation: int = 1, **options: Any) -> Path:
    picture = Pillow.fromarray(photo)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif, **options)
    return path


@pytest.mark.parametrize(
    ("factor", "reduction"), [(2.0, 1), (1.0, 1), (0.51, 1), (0.5, 2), (0.3, 2), (0.25, 4), (0.125, 8), (0.01, 8)]
)
@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 90, "subsampling": 0}, {"progressive": True}])
def test_a_jpeg_comes_no_smaller_than_it_will_be_shown(
    photo: Image, tmp_path: Path, factor: float, reduction: int, options: dict[str, Any]
) -> None:
    path = _saved(photo, tmp_path / "photo.jpg", **options)
    image = read_image(path, factor)
    assert image.shape == (-(-160 // reduction), -(-230 // reduction), 3)
    assert read_size(path, factor) == image.shape[:2]
    whole = read_image(path)[: 160 // reduction * reduction, : 230 // reduction * reduction].astype(float)
    means = whole.reshape(160 // reduction, reduction, 230 // reduction, reduction, 3).mean((1, 3))
    # Each pixel stands for the block of pixels at its place: a shift by one would be seen at every edge.
    assert np.abs(image[: 160 // reduction, : 230 // reduction] - means).mean() < 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("side", "reduction"), [(160, 4), (158, 2), (157, 1)])
def test_a_turned_jpeg_is_reduced_as_far_as_no_block_is_cut(
    photo: Image, tmp_path: Path, orientation: int, side: int, reduction: int
) -> None:
    path = _saved(photo[:side, :side], tmp_path / "turned.jpg", orientation, quality=95)
    image, whole = read_image(path, 0.25), read_image(path)
    expected = -(-side // 4) if orientation == 1 else side // reduction
    assert image.shape == (expected, expected, 3)
    assert read_size(path, 0.25) == image.shape[:2]
    if expected * 4 == side:
        assert np.abs(image - whole.reshape(expected, 4, expected, 4, 3).mean((1, 3))).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tiff"])
def test_other_kinds_are_read_whole(photo: Image, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    Pillow.fromarray(photo).save(path)
    assert read_image(path, 0.1).shape == photo.shape


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (7, 7), (8, 8)])
def test_the_smallest_images_are_not_reduced_to_nothing(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "tiny.jpg"
    Pillow.new("L", size, 77).save(path)
    image = read_image(path, 0.01)
    assert min(image.shape[:2]) >= 1
    assert np.abs(image.astype(int) - 77).max() <= 1
