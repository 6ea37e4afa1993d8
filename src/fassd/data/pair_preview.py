"""Labeled frames as they are, whole or not: what contact sheets and reports draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fassd.core.errors import FileError
from fassd.data.dataset import Dataset, Pair, ignore_unannotated
from fassd.media.images import read_image
from fassd.media.sheet import small_image, small_mask, small_overlay

if TYPE_CHECKING:
    from pathlib import Path

    from fassd.core.arrays import Image, Labels
    from fassd.core.labels import LabelSpace
    from fassd.media.sheet import Foreign, Picture


@dataclass(frozen=True)
class PairPreview:
    """What can be read of a frame.

    Attributes:
        image: the photo; None if it cannot be read.
        labels: the labels, IGNORE where the mask holds what it may not; None if they cannot be read.
        foreign: where the mask holds what it may not.
        stored: the mask as a plain picture, where it is one but holds no labels.
        problem: why the frame is not whole, in a sentence; empty if it is.
    """

    image: Image | None
    labels: Labels | None
    foreign: Foreign | None
    stored: Image | None
    problem: str


def view(dataset: Dataset, pair: Pair) -> PairPreview:
    """Reads what can be read of a frame; damage becomes the view's problem and no error."""
    image, problem = _image(pair.image)
    labels = foreign = stored = None
    try:
        codes = dataset.encoding.read(pair.mask)
    except FileError as error:
        problem = problem or _sentence(error)
        stored, _ = _image(pair.mask)
    else:
        found = dataset.encoding.unknown(codes)
        foreign = np.isin(codes, found)
        labels = ignore_unannotated(dataset.encoding.labels(codes), pair, len(dataset.label_space))
        if found and not problem:
            what = "colors" if dataset.encoding.by_color else "values"
            spelt = ", ".join(map(dataset.encoding.spell, found[:5])) + (", ..." if len(found) > 5 else "")
            problem = f"{pair.mask.name} holds {what} that mean nothing: {spelt}"
    if image is not None and labels is not None and image.shape[:2] != labels.shape and not problem:
        sizes = f"{labels.shape[1]}x{labels.shape[0]}, its image {image.shape[1]}x{image.shape[0]}"
        problem = f"{pair.mask.name} is {sizes}"
    return PairPreview(image, labels, foreign, stored, problem)


VIEWS = ("image", "mask", "overlay")
"""What `pictures` draws, in order."""

Pictures: TypeAlias = "tuple[Picture | None, Picture | None, Picture | None]"
"""Image, mask in color and overlay, None for what there is not."""


def pictures(seen: PairPreview, space: LabelSpace, side: int) -> Pictures:
    """Image, mask in color and overlay, each fitted into a square of `side` pixels."""
    image = mask = both = None
    if seen.image is not None:
        image = small_image(seen.image, side)
    if seen.labels is not None:
        mask = small_mask(seen.labels, seen.foreign, space, side)
    elif seen.stored is not None:
        mask = small_image(seen.stored, side)
    if seen.image is not None and seen.labels is not None and seen.image.shape[:2] == seen.labels.shape:
        both = small_overlay(seen.image, seen.labels, seen.foreign, space, side)
    return image, mask, both


def _image(path: Path) -> tuple[Image | None, str]:
    try:
        return read_image(path), ""
    except FileError as error:
        return None, _sentence(error)


def _sentence(error: FileError) -> str:
    return f"{error.path.name} {error.problem}"
