"""Previews of image-mask pairs, damaged ones included, for contact sheets and check pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fassd.core.arrays import Image, Labels
from fassd.core.errors import FileError
from fassd.core.labels import LabelSpace
from fassd.data.dataset import Dataset, Pair, ignore_unannotated
from fassd.media.images import read_image
from fassd.media.sheet import UnknownPixels, Views, small_image, small_mask, small_overlay

VIEWS = ("image", "mask", "overlay")
"""What `draw_views` draws, in order."""


@dataclass(frozen=True)
class PairPreview:
    """What can be read of a pair.

    Attributes:
        image: (H, W, 3) uint8; None if it cannot be read.
        labels: (H, W) uint8, IGNORE at unknown values; None if they cannot be read.
        unknown: (H, W) bool, true at unknown values; None if there are no labels.
        stored: the mask file as a plain image, if it is one but holds no labels.
        problem: what is wrong with the pair, in a sentence; empty if nothing is.
    """

    image: Image | None
    labels: Labels | None
    unknown: UnknownPixels | None
    stored: Image | None
    problem: str


def preview(dataset: Dataset, pair: Pair) -> PairPreview:
    """Reads what can be read of a pair; damage becomes the preview's `problem` and raises nothing."""
    image, problem = _image(pair.image)
    labels = unknown = stored = None
    try:
        values = dataset.encoding.read(pair.mask)
    except FileError as error:
        problem = problem or _sentence(error)
        stored, _ = _image(pair.mask)
    else:
        found = dataset.encoding.unknown(values)
        unknown = np.isin(values, found)
        labels = ignore_unannotated(dataset.encoding.labels(values), pair, len(dataset.label_space))
        if found and not problem:
            what = "colors" if dataset.encoding.by_color else "values"
            shown = ", ".join(map(dataset.encoding.spell, found[:5])) + (", ..." if len(found) > 5 else "")
            problem = f"{pair.mask.name} holds unknown {what}: {shown}"
    if image is not None and labels is not None and image.shape[:2] != labels.shape and not problem:
        sizes = f"{labels.shape[1]}x{labels.shape[0]}, its image {image.shape[1]}x{image.shape[0]}"
        problem = f"{pair.mask.name} is {sizes}"
    return PairPreview(image, labels, unknown, stored, problem)


def draw_views(seen: PairPreview, space: LabelSpace, side: int) -> Views:
    """Image, mask in color and overlay, each fitted into a square of `side` pixels; None where it cannot be drawn."""
    image = mask = both = None
    if seen.image is not None:
        image = small_image(seen.image, side)
    if seen.labels is not None:
        mask = small_mask(seen.labels, seen.unknown, space, side)
    elif seen.stored is not None:
        mask = small_image(seen.stored, side)
    if seen.image is not None and seen.labels is not None and seen.image.shape[:2] == seen.labels.shape:
        both = small_overlay(seen.image, seen.labels, seen.unknown, space, side)
    return image, mask, both


def _image(path: Path) -> tuple[Image | None, str]:
    try:
        return read_image(path), ""
    except FileError as error:
        return None, _sentence(error)


def _sentence(error: FileError) -> str:
    return f"{error.path.name} {error.problem}"
