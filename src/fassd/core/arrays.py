"""Array types that several layers share, with shape, dtype and range."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64, UInt, UInt8

Image: TypeAlias = UInt8[np.ndarray[Any, Any], "height width 3"]
"""Red, green, blue; 0..255; upright."""

Images: TypeAlias = UInt8[np.ndarray[Any, Any], "n height width 3"]
"""A batch of images of one size."""

ClassMap: TypeAlias = UInt8[np.ndarray[Any, Any], "height width"]
"""The prediction for an image: a class at every pixel, 0..number of classes - 1."""

ClassMaps: TypeAlias = UInt8[np.ndarray[Any, Any], "n height width"]
"""The predictions for a batch."""

Logits: TypeAlias = Float32[np.ndarray[Any, Any], "n classes height width"]
"""The output of a network: a number for every class at every pixel of a smaller map; the largest wins."""

Labels: TypeAlias = UInt8[np.ndarray[Any, Any], "height width"]
"""Ground truth: a class, or IGNORE, at every pixel."""

MaskValues: TypeAlias = UInt[np.ndarray[Any, Any], "height width"]
"""A label file as stored: a number at every pixel, or a color as red * 65536 + green * 256 + blue."""

Confusion: TypeAlias = Int64[np.ndarray[Any, Any], "classes classes"]
"""Pixels counted by (true class, predicted class)."""

LookupTable: TypeAlias = UInt8[np.ndarray[Any, Any], "256"]
"""8-bit value -> class or IGNORE."""

IGNORE = 255
"""The label of pixels that are neither trained on nor scored, whatever value a file uses for them."""
