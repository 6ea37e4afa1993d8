"""The arrays that travel between layers, named once with shape, type and range."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64, UInt, UInt8

Image: TypeAlias = UInt8[np.ndarray[Any, Any], "height width 3"]
"""Red, green, blue; 0..255; upright."""

Images: TypeAlias = UInt8[np.ndarray[Any, Any], "n height width 3"]
"""A batch of images of one size."""

ClassMap: TypeAlias = UInt8[np.ndarray[Any, Any], "height width"]
"""The answer for one image: a class at every pixel, 0..number of classes - 1."""

ClassMaps: TypeAlias = UInt8[np.ndarray[Any, Any], "n height width"]
"""The answer for a batch."""

Logits: TypeAlias = Float32[np.ndarray[Any, Any], "n classes height width"]
"""A network's coarse answer: one number for each class at every pixel of a smaller map; the largest wins."""

Labels: TypeAlias = UInt8[np.ndarray[Any, Any], "height width"]
"""Ground truth: a class at every pixel, or IGNORE."""

MaskValues: TypeAlias = UInt[np.ndarray[Any, Any], "height width"]
"""A label file as it is stored: a value at every pixel, or a color as red * 65536 + green * 256 + blue."""

Confusion: TypeAlias = Int64[np.ndarray[Any, Any], "classes classes"]
"""Pixels counted by (true class, predicted class)."""

LookupTable: TypeAlias = UInt8[np.ndarray[Any, Any], "256"]
"""The class, or IGNORE, that each 8-bit value becomes."""

IGNORE = 255
"""The label of pixels that are neither learned from nor scored, whatever value a file uses for it."""
