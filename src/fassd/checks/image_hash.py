"""Tests of whether two images are the same: a digest of the pixels, a hash that survives compression, a difference."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from jaxtyping import UInt8
from PIL.Image import Resampling

from fassd.core.arrays import Image, MaskValues
from fassd.media.images import read_image

Gray: TypeAlias = UInt8[np.ndarray[Any, Any], "height width"]

HASH_BYTES = 32
_HASH_SIDE = 16
_COMPARED_SIZE = (96, 64)
"""Width and height to which `difference` resizes both images."""


@dataclass(frozen=True)
class ImageHash:
    """40 bytes that identify an image.

    Attributes:
        digest: 8 bytes; equal for equal pixels.
        brighter: 32 bytes, the difference hash (dHash): whether each of 16 x 16 places is brighter than its left
            neighbor. Compression and scaling change up to 15 of the 256 bits; unrelated images differ in half of them.
    """

    digest: bytes
    brighter: bytes


def image_hash(image: Image, gray: Gray) -> ImageHash:
    """The hash of an image.

    Args:
        image: (H, W, 3) uint8, at full size.
        gray: the same in gray, possibly reduced.
    """
    small = PIL.Image.fromarray(gray).resize((_HASH_SIDE + 1, _HASH_SIDE), Resampling.BOX)
    places = np.asarray(small, np.int16)
    return ImageHash(pixel_digest(image), np.packbits(places[:, 1:] > places[:, :-1]).tobytes())


def pixel_digest(pixels: Image | MaskValues) -> bytes:
    """8 bytes that are equal for equal arrays, and for hardly any others."""
    shape = "x".join(map(str, pixels.shape)).encode()
    return blake2b(np.ascontiguousarray(pixels).data, digest_size=8, person=shape[:16]).digest()


def difference(first: Path, second: Path) -> float:
    """The mean absolute difference of two images at 96 x 64 pixels, normalized to equal mean and contrast; 0..255.

    JPEG or scaling by half gives 0.4 to 2, cropping the margin 2 to 8, the next frame of a drive at 7 frames a second
    3 to 12, unrelated images 12 to 60.

    Raises:
        ImageError: one of them can no longer be read.
    """
    one, other = (_normalized(path) for path in (first, second))
    return float(np.abs(one - other).mean())


def _normalized(path: Path) -> Any:
    small = PIL.Image.fromarray(read_image(path)).resize(_COMPARED_SIZE, Resampling.BOX)
    values = np.asarray(small, np.float32)
    deviation = float(values.std()) or 1.0
    return (values - values.mean()) * (50 / max(deviation, 5.0))
