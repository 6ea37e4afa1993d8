"""Writes predictions: the class map as a palette PNG, the overlay as a JPEG. Files are complete or absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image

from fassd.core.arrays import ClassMap, Image
from fassd.core.files import written_whole
from fassd.core.labels import LabelSpace
from fassd.media.paint import overlay, shares

_OVERLAY, _CLASS_MAP = "_overlay.jpg", "_classmap.png"
RESULT_ENDINGS = (_OVERLAY, _CLASS_MAP)
"""The endings of the names of written files."""


def write_class_map(path: Path, class_map: ClassMap, label_space: LabelSpace) -> None:
    """Writes an 8-bit palette PNG: its indices are the classes, its palette their colors.

    Equal class maps give equal bytes.

    Raises:
        FileError: the file cannot be written.
        ValueError: not a class map.
    """
    if class_map.dtype != np.uint8 or class_map.ndim != 2:
        raise ValueError(f"a class map is uint8, height x width, not {class_map.dtype} of {class_map.shape}")
    indexed = PIL.Image.fromarray(class_map)
    # All 256 colors, so that every value (IGNORE is 255) has one.
    indexed.putpalette(label_space.color_table().tobytes())
    with written_whole(path) as temporary:
        indexed.save(temporary, "PNG")


def write_overlay(path: Path, image: Image) -> None:
    """Writes a JPEG without color subsampling, which would blur thin contours and small text.

    Raises:
        FileError: the file cannot be written.
    """
    with written_whole(path) as temporary:
        PIL.Image.fromarray(image).save(temporary, "JPEG", quality=92, subsampling="4:4:4")


def write_prediction(
    folder: Path, relative: Path, image: Image, class_map: ClassMap, label_space: LabelSpace
) -> tuple[Path, Path]:
    """Writes `<folder>/<relative>_overlay.jpg` and `<folder>/<relative>_classmap.png`; returns their paths.

    Raises:
        FileError: a file or its folder cannot be written.
        ValueError: `relative` would leave the folder.
    """
    if relative.is_absolute() or ".." in relative.parts:
        raise ValueError(f"{relative} lies outside the folder for results")
    target = folder / relative
    overlay_path = target.with_name(f"{target.name}{_OVERLAY}")
    class_map_path = target.with_name(f"{target.name}{_CLASS_MAP}")
    write_overlay(overlay_path, overlay(image, class_map, label_space, shares(class_map, label_space)))
    write_class_map(class_map_path, class_map, label_space)
    return overlay_path, class_map_path
