"""Reading many label files: the quick decoder where it will, the careful reader where it declines."""

from __future__ import annotations

from pathlib import Path

from fassd.core.arrays import MaskValues
from fassd.kernels.label_png import decode_label_png
from fassd.media.masks import read_values


def read_values_quickly(path: Path) -> MaskValues:
    """The same as `read_values`, errors included."""
    try:
        values = decode_label_png(path.read_bytes())
    except OSError:
        values = None
    return read_values(path) if values is None else values
