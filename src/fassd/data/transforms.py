"""Augmentation: random crops of an image together with its labels. Randomness is passed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fassd.core.arrays import IGNORE, Image, Labels
from fassd.core.recipe import Augmentation
from fassd.core.types import Sample
from fassd.kernels.crops import COLOR_BITS, LEVEL_BITS, WEIGHT_BITS, change_colors, pick_window, resize_window
from fassd.media.images import REDUCTIONS

_Whole = np.ndarray[Any, np.dtype[np.int64]]
_Weights = np.ndarray[Any, np.dtype[np.int32]]


def augment(sample: Sample, augmentation: Augmentation, random: np.random.Generator) -> Sample:
    """A random crop of the flipped, resized and padded sample, of exactly `augmentation.crop_size`.

    The published order: flip; resize by a uniform factor, sides rounded down; where a side is below the crop, pad
    *both* its ends by the full difference (image 0, labels ignored); crop at a uniform position. Here the crop is
    chosen first and only its window is resized, which gives the same pixels for less work. Colors change before
    padding, which stays 0.

    Args:
        sample: its image may have 1/2, 1/4 or 1/8 of the labels' size, see `read_image`.
        augmentation: of the recipe.
        random: source of randomness.
    """
    crop = draw_crop(sample.labels.shape, augmentation, random)
    image = crop.of_image(sample.image)
    if augmentation.color_jitter:
        part = image[crop.part]
        jitter(part, augmentation.color_jitter, random, out=part)
    return Sample(sample.name, image, crop.of_labels(sample.labels), sample.annotated)


def draw_crop(size: tuple[int, ...], augmentation: Augmentation, random: np.random.Generator) -> Crop:
    """A random crop of an image of a size (height, width), drawn without its pixels."""
    mirrored = bool(random.random() < augmentation.hflip)
    factor = random.uniform(*augmentation.scale)
    rows, columns = (_draw_span(*sides, factor, random) for sides in zip(size, augmentation.crop_size, strict=True))
    return Crop(augmentation.crop_size, rows, columns, mirrored)


@dataclass(frozen=True)
class Span:
    """A crop along one axis.

    Attributes:
        side: length of the stored image.
        resized: its length after resizing.
        first: first pixel of the resized image that the crop shows.
        length: number of pixels it shows.
        start: their offset in the crop.
    """

    side: int
    resized: int
    first: int
    length: int
    start: int


def _draw_span(side: int, crop: int, factor: float, random: np.random.Generator) -> Span:
    resized = max(1, int(side * factor))
    padding = max(0, crop - resized)
    offset = int(random.integers(resized + 2 * padding - crop + 1)) - padding
    first, last = max(0, offset), min(resized, offset + crop)
    return Span(side, resized, first, max(0, last - first), first - offset)


@dataclass(frozen=True)
class Crop:
    """A window of a resized image at some position in a rectangle, mirrored or not.

    Attributes:
        size: of the rectangle, (height, width).
        rows, columns: the window before it is mirrored.
        mirrored: whether left and right are exchanged.
    """

    size: tuple[int, int]
    rows: Span
    columns: Span
    mirrored: bool

    @property
    def part(self) -> tuple[slice, slice]:
        """The part of the rectangle that shows the image; the rest is padding."""
        top, left = self._corner
        return slice(top, top + self.rows.length), slice(left, left + self.columns.length)

    def of_image(self, image: Image) -> Image:
        """The crop of an image: bilinear with antialiasing, as Pillow resizes; padding is 0.

        Args:
            image: of the size that the crop was drawn for, or reduced, see `read_image`.
        """
        out = np.zeros((*self.size, 3), np.uint8)
        if self._shows_something:
            reduction = _reduction(image.shape, (self.rows.side, self.columns.side))
            rows, columns = (_weights(span, reduction) for span in (self.rows, self.columns))
            resize_window(np.ascontiguousarray(image), rows, columns, self.mirrored, out, *self._corner)
        return out

    def of_labels(self, labels: Labels) -> Labels:
        """The crop of labels, by the nearest pixel; padding is IGNORE."""
        out = np.full(self.size, IGNORE, np.uint8)
        if self._shows_something:
            rows, columns = _nearest(self.rows, False), _nearest(self.columns, self.mirrored)
            pick_window(np.ascontiguousarray(labels), rows, columns, out, *self._corner)
        return out

    @property
    def _shows_something(self) -> bool:
        return self.rows.length > 0 and self.columns.length > 0

    @property
    def _corner(self) -> tuple[int, int]:
        # A uniform crop of the mirrored image is the mirrored uniform crop.
        columns = self.columns
        return self.rows.start, self.size[1] - columns.start - columns.length if self.mirrored else columns.start


def _reduction(found: tuple[int, ...], size: tuple[int, int]) -> int:
    """The factor by which an image was reduced, from its shape."""
    for reduction in REDUCTIONS:
        if found[:2] == tuple(-(-side // reduction) for side in size):
            return reduction
    raise ValueError(f"an image of {found} is not a reduction of {size}")


def _weights(span: Span, reduction: int) -> tuple[_Whole, _Weights]:
    """For every pixel of the window the first source pixel that it reads, and the weights of those it reads.

    The weights are a triangle around the pixel's center that extends one pixel of the coarser grid to both sides;
    pixels outside the image have no weight.
    """
    side, step = -(-span.side // reduction), span.side / span.resized / reduction
    reach = max(1.0, step)
    centers = (np.arange(span.first, span.first + span.length) + 0.5) * step
    starts = np.floor(centers - reach + 0.5).astype(np.int64).clip(0, side - 1)
    ends = np.floor(centers + reach + 0.5).astype(np.int64).clip(1, side)
    places = starts[:, None] + np.arange(np.max(ends - starts))
    shares = (1 - np.abs(places + 0.5 - centers[:, None]) / reach).clip(0)
    shares[places >= ends[:, None]] = 0
    weights = np.rint(shares * (1 << WEIGHT_BITS) / shares.sum(1, keepdims=True)).astype(np.int32)
    # The rounding error goes to the largest weight, so that a constant color does not change.
    weights[np.arange(span.length), weights.argmax(1)] += (1 << WEIGHT_BITS) - weights.sum(1)
    return starts, weights


def _nearest(span: Span, mirrored: bool) -> _Whole:
    """The nearest source pixel of every pixel of the window, in the order of the crop; a tie takes the later one."""
    if not mirrored:
        return (2 * np.arange(span.first, span.first + span.length) + 1) * span.side // (2 * span.resized)
    # As if the image had been mirrored first.
    beyond = span.resized - span.first - span.length
    places = (2 * np.arange(beyond, beyond + span.length) + 1) * span.side // (2 * span.resized)
    return np.asarray(span.side - 1 - places)


def jitter(image: Image, strength: float, random: np.random.Generator, out: Image | None = None) -> Image:
    """Random exposure, contrast, tint and saturation, as lighting and cameras vary.

    Args:
        image: uint8 RGB, (H, W, 3).
        strength: 0 changes nothing; 1 varies exposure and saturation by up to a factor of 2.
        random: where chance comes from.
        out: receives the result; may be the image itself. None allocates a new array.
    """
    exposure, contrast, saturation = 2.0 ** (strength * random.uniform(-1, 1, 3))
    tint = 1 + 0.2 * strength * random.uniform(-1, 1, 3)
    levels = np.arange(256)[:, None] / 255
    curves = ((levels**exposure - 0.5) * contrast + 0.5) * tint
    tables = np.rint(curves.clip(0, 1) * (255 << LEVEL_BITS)).astype(np.int32)
    # Away from gray, the mean of the three channels, or towards it.
    rest = round((1 - saturation) / 3 * (1 << COLOR_BITS))
    result = np.empty_like(image) if out is None else out
    change_colors(image, np.ascontiguousarray(tables.T), (1 << COLOR_BITS) - 3 * rest, rest, result)
    return result
