"""The images that a benchmark is timed on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.speed import images as benchmark_images
from fassd.speed.images import TimedImages, timed_images

SIZE = (64, 96)


def test_the_images_of_a_batch_differ() -> None:
    (images,) = TimedImages().batches(SIZE, 3)
    assert (images.shape, images.dtype) == ((3, *SIZE, 3), np.uint8)
    assert len({image.tobytes() for image in images}) == 3


def test_given_images_are_used_in_order_resized_to_one_size(gray_photos: list[Path]) -> None:
    images = timed_images([str(gray_photos[0].parent)], None, "val")
    assert images.files == tuple(gray_photos)
    assert images.size == (80, 120)
    batches = images.batches(SIZE, 2)
    assert [[int(image[0, 0, 0]) for image in batch] for batch in batches] == [[10, 20], [30, 40], [50, 10]]
    assert {batch.shape for batch in batches} == {(2, *SIZE, 3)}
    (many,) = images.batches(SIZE, 7)
    assert [int(image[0, 0, 0]) for image in many] == [10, 20, 30, 40, 50, 10, 20]


def test_many_images_are_sampled_evenly_and_few_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(63):
        Pillow.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number:02}.png")
    images = timed_images([str(tmp_path)], None, "val")
    assert [int(path.stem) for path in images.files] == list(range(0, 63, 2))
    monkeypatch.setattr(benchmark_images, "_MOST_BYTES", 5 * 3 * 8 * 8 * 2 + 1)
    assert len(images.batches((8, 8), 2)) == 5
    assert len(images.batches((80, 80), 2)) == 1
