"""Joint operations on image and labels while training. Randomness is passed in."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import IGNORE, Image
from fassd.core.recipe import Augmentation
from fassd.core.types import Sample


def augment(sample: Sample, augmentation: Augmentation, random: np.random.Generator) -> Sample:
    """A random crop of the flipped, resized and padded sample, of exactly `augmentation.crop`.

    The published order: flip; resize by a uniform factor, sides rounded down; where a side is below the crop, pad
    *both* its ends by the whole shortfall (image 0, labels ignored); crop at a uniform place. The crop is chosen
    first here and only its window resized, which gives the same pixels for less work.
    """
    mirrored = random.random() < augmentation.flip
    factor = random.uniform(*augmentation.scale)
    rows = _place(sample.image.shape[0], factor, augmentation.crop[0], random)
    columns = _place(sample.image.shape[1], factor, augmentation.crop[1], random)
    image = np.zeros((*augmentation.crop, 3), np.uint8)
    labels = np.full(augmentation.crop, IGNORE, np.uint8)
    if rows.length and columns.length:
        window = (columns.source[0], rows.source[0], columns.source[1], rows.source[1])
        size = (columns.length, rows.length)
        here = (
            slice(rows.start, rows.start + rows.length),
            slice(columns.start, columns.start + columns.length),
        )
        image[here] = np.asarray(Pillow.fromarray(sample.image).resize(size, Pillow.Resampling.BILINEAR, window))
        labels[here] = np.asarray(Pillow.fromarray(sample.labels).resize(size, Pillow.Resampling.NEAREST, window))
    if mirrored:
        # A uniform crop of the mirrored image is the mirrored uniform crop.
        image, labels = image[:, ::-1], labels[:, ::-1]
    if augmentation.jitter:
        image = jitter(image, augmentation.jitter, random)
    return Sample(sample.name, np.ascontiguousarray(image), np.ascontiguousarray(labels), sample.marked)


class _Placed:
    """Along one axis: where the image lies in the crop, and which part of the source it shows."""

    def __init__(self, start: int, length: int, source: tuple[float, float]) -> None:
        self.start, self.length, self.source = start, length, source


def _place(side: int, factor: float, crop: int, random: np.random.Generator) -> _Placed:
    resized = max(1, int(side * factor))
    padding = max(0, crop - resized)
    offset = int(random.integers(resized + 2 * padding - crop + 1)) - padding
    first, last = max(0, offset), min(resized, offset + crop)
    length = max(0, last - first)
    return _Placed(first - offset, length, (first * side / resized, last * side / resized))


def jitter(image: Image, strength: float, random: np.random.Generator) -> Image:
    """Random exposure, contrast, tint and saturation, as light and cameras vary them.

    Args:
        image: uint8 RGB, (H, W, 3).
        strength: 0 leaves the image as it is; 1 varies exposure and saturation by up to a factor of 2.
        random: where chance comes from.
    """
    exposure, contrast, saturation = 2.0 ** (strength * random.uniform(-1, 1, 3))
    tint = 1 + 0.2 * strength * random.uniform(-1, 1, 3)
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    curves = ((levels**exposure - 0.5) * contrast + 0.5) * tint.astype(np.float32)
    tables = (curves.clip(0, 1) * 255).astype(np.float32)
    coloured = np.stack([tables[:, channel][image[..., channel]] for channel in range(3)], -1)
    grey = coloured.mean(-1, keepdims=True)
    blended: np.ndarray[Any, np.dtype[np.float32]] = grey + (coloured - grey) * np.float32(saturation)
    return blended.clip(0, 255).astype(np.uint8)
