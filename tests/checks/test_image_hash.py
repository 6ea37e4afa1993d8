"""When two pictures are the same, and how that is found among many."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.checks.scenes import scene

from fassd.checks.image_hash import difference, image_hash, pixel_digest
from fassd.checks.leaks import NEAR_BITS, NEAR_LEVELS
from fassd.core.arrays import Image


def _bits(one: Image, other: Image) -> int:
    prints = [image_hash(image, np.asarray(Pillow.fromarray(image).convert("L"))).brighter for image in (one, other)]
    first, second = (np.unpackbits(np.frombuffer(brighter, np.uint8)) for brighter in prints)
    return int((first != second).sum())


def _compressed(image: Image) -> Image:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=50)
    return np.array(Pillow.open(buffer))


def _halved(image: Image) -> Image:
    return np.array(Pillow.fromarray(image).resize((80, 60), Pillow.Resampling.BILINEAR))


CHANGES = {
    "compressed": _compressed,
    "halved": _halved,
    "brighter": lambda image: (image * 1.1).clip(0, 255).astype(np.uint8),
    "flatter": lambda image: (image * 0.8 + 20).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_copy_is_near(change: Callable[[Image], Image], tmp_path: Path) -> None:
    for seed in range(4):
        image = scene(seed).image
        assert _bits(image, change(image)) <= NEAR_BITS
        for name, pixels in (("a.png", image), ("b.png", change(image))):
            Pillow.fromarray(pixels).save(tmp_path / name)
        assert difference(tmp_path / "a.png", tmp_path / "b.png") <= NEAR_LEVELS


def test_strangers_are_far(tmp_path: Path) -> None:
    for seed in range(8):
        Pillow.fromarray(scene(seed).image).save(tmp_path / f"{seed}.png")
    for one in range(7):
        assert _bits(scene(one).image, scene(one + 1).image) > NEAR_BITS
        assert difference(tmp_path / f"{one}.png", tmp_path / f"{one + 1}.png") > NEAR_LEVELS


def test_digests_tell_shape_and_every_pixel_apart() -> None:
    image = scene(0).image
    changed = image.copy()
    changed[-1, -1, -1] ^= 1
    arrays = [image, changed, image[:, ::-1], np.ascontiguousarray(image.reshape(160, 120, 3))]
    assert len({pixel_digest(one) for one in arrays}) == len(arrays)
    assert pixel_digest(image) == pixel_digest(image.copy())
