"""What tells whether two pictures are the same: a digest of the pixels, and a hash that survives compression."""

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
_SIZE = (96, 64)
"""Width and height at which two pictures are compared closely."""


@dataclass(frozen=True)
class ImageHash:
    """A picture in 40 bytes.

    Attributes:
        digest: 8 bytes; equal for equal pixels.
        brighter: 32 bytes; whether a place is brighter than its neighbor on the left, at 16 x 16 places (the
            difference hash, dHash). Compression and scaling change up to 15 of the 256 bits; strangers differ in half.
    """

    digest: bytes
    brighter: bytes


def likeness(image: Image, gray: Gray) -> ImageHash:
    """What a picture is recognized by.

    Args:
        image: all its pixels.
        gray: the same, reduced.
    """
    small = PIL.Image.fromarray(gray).resize((_HASH_SIDE + 1, _HASH_SIDE), Resampling.BOX)
    places = np.asarray(small, np.int16)
    return ImageHash(pixel_digest(image), np.packbits(places[:, 1:] > places[:, :-1]).tobytes())


def pixel_digest(pixels: Image | MaskValues) -> bytes:
    """8 bytes that are equal for equal arrays, and for hardly any others."""
    shape = "x".join(map(str, pixels.shape)).encode()
    return blake2b(np.ascontiguousarray(pixels).data, digest_size=8, person=shape[:16]).digest()


def difference(first: Path, second: Path) -> float:
    """The mean difference of two pictures in levels of 0..255, at a small size, after their brightness was made equal.

    Saving as JPEG or scaling by half costs 0.4 to 2, cutting the margin 2 to 8; the next frame of a drive at 7 frames a
    second is off by 3 to 12, strangers by 12 to 60.

    Raises:
        ImageError: one of them cannot be read any more.
    """
    one, other = (_normalized(path) for path in (first, second))
    return float(np.abs(one - other).mean())


def _normalized(path: Path) -> Any:
    picture = PIL.Image.fromarray(read_image(path)).resize(_SIZE, Resampling.BOX)
    values = np.asarray(picture, np.float32)
    deviation = float(values.std()) or 1.0
    return (values - values.mean()) * (50 / max(deviation, 5.0))
