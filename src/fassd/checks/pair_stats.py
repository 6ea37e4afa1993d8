"""Check of one image-mask pair: read once, in a worker process, and reduced to some hundred bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from jaxtyping import Int8
from PIL.Image import Transpose

from fassd.checks.alignment import SIDE, Alignment, alignment
from fassd.checks.file_format import ReadFile, check_image_file, check_mask_file
from fassd.checks.findings import Finding, finding
from fassd.checks.image_hash import ImageHash, image_hash, pixel_digest
from fassd.checks.smoothed_masks import smoothing_of
from fassd.core.arrays import Image, Labels, MaskValues
from fassd.data.dataset import Dataset, Pair
from fassd.media.formats import EXCHANGING

_MAX_UNKNOWN = 64
"""Number of unknown values that are kept of a mask."""

Redness: TypeAlias = Int8[np.ndarray[Any, Any], " classes_and_one"]
UNSEEN = -128
Size: TypeAlias = tuple[int, int]
"""Height and width."""

_INVERSE = {Transpose.ROTATE_90: Transpose.ROTATE_270, Transpose.ROTATE_270: Transpose.ROTATE_90}
"""The rotations that are not their own inverse."""

_EXPORT_AGAIN = "export the mask again, as PNG, and resize it without smoothing (nearest neighbor)"
_SMOOTHED = {
    "jpeg-mask": ("values between classes along borders, as JPEG leaves them", _EXPORT_AGAIN),
    "blurred-mask": ("values between classes along borders, as smooth resizing leaves them", _EXPORT_AGAIN),
    "noise-mask": (
        "most pixels differ from the one before, as in noise",
        "look at the mask; export it again, or remove the pair",
    ),
}
"""What was found and how to fix it, by kind of finding."""


@dataclass(frozen=True)
class MaskStats:
    """Statistics of one mask.

    Attributes:
        counts: pixels of each value; of unknown values only the `_MAX_UNKNOWN` lowest.
        digest: 8 bytes, equal for equal masks.
        smoothed: the row of `FINDING_KINDS` if values were averaged or are noise, otherwise "".
        middle: the most frequent value at the lower middle, where streets have road; -1 if there is no pixel.
        top: the same at the upper middle.
        size: when upright.
    """

    counts: dict[int, int]
    digest: bytes
    smoothed: str
    middle: int
    top: int
    size: Size


@dataclass(frozen=True)
class PairStats:
    """Statistics of one pair.

    Attributes:
        findings: those that need no other pair; each has one file.
        size: of the upright image; None where it cannot be read.
        image_hash: of the image; None where it cannot be read.
        mask: None where it cannot be read.
        alignment: of mask and image; None where it cannot be measured.
        redness: (classes + 1,) int8, the mean of red - blue over each class's pixels and, last, over all pixels; UNSEEN
            where a class has none.
    """

    findings: tuple[Finding, ...]
    size: Size | None = None
    image_hash: ImageHash | None = None
    mask: MaskStats | None = None
    alignment: Alignment | None = None
    redness: Redness | None = None

    @property
    def turned(self) -> bool:
        """Whether the EXIF orientation of image and mask differs."""
        return any(one.kind.name == "turned-by-exif" for one in self.findings)


def check_pair(dataset: Dataset, pair: Pair) -> PairStats:
    """Reads and checks a pair; damaged files become findings and raise nothing."""
    image_file, mask_file = check_image_file(pair.image, dataset.split), check_mask_file(pair.mask, dataset)
    found = (*image_file.findings, *mask_file.findings)
    image, values = image_file.pixels, mask_file.pixels
    mask = None if values is None else _mask_stats(values, dataset)
    if mask is not None and mask.smoothed:
        text, fix = _SMOOTHED[mask.smoothed]
        expected = "one class at each pixel"
        found = (*found, finding(mask.smoothed, dataset.split, pair.mask, text, expected, fix))
    if image is None:
        return PairStats(found, mask=mask)
    factor = max(1, round(max(image.shape[:2]) / SIDE))
    small = PIL.Image.fromarray(image).reduce(factor)
    gray = np.asarray(small.convert("L"))
    size, hashed = (image.shape[0], image.shape[1]), image_hash(image, gray)
    if values is None:
        return PairStats(found, size, hashed)
    if size != values.shape:
        swapped_by_exif = image_file.turn in EXCHANGING or mask_file.turn in EXCHANGING
        if swapped_by_exif and image_file.stored == mask_file.stored:
            found = (*found, _turned_by_exif(dataset, pair, image_file, mask_file))
        return PairStats(found, size, hashed, mask)
    if mask and mask.smoothed:
        return PairStats(found, size, hashed, mask)
    fit = alignment(gray, values, factor)
    if fit is not None and fit.flip is not None and fit.flip in {image_file.turn, _inverse(mask_file.turn)}:
        return PairStats((*found, _turned_by_exif(dataset, pair, image_file, mask_file)), size, hashed, mask)
    labels = dataset.encoding.labels(values)[factor // 2 :: factor, factor // 2 :: factor]
    redness = _redness(np.asarray(small), labels, len(dataset.label_space))
    return PairStats(found, size, hashed, mask, fit, redness)


def _mask_stats(values: MaskValues, dataset: Dataset) -> MaskStats:
    found, sums = _value_counts(values)
    known = dataset.encoding.classes
    unknown = [value for value in found.tolist() if value not in known]
    dropped = set(unknown[_MAX_UNKNOWN:])
    counts = {value: count for value, count in zip(found.tolist(), sums.tolist(), strict=True) if value not in dropped}
    height, width = values.shape
    across = slice(width * 2 // 5, width * 3 // 5)
    low, high = values[height * 4 // 5 : height * 9 // 10, across], values[height // 10 : height // 5, across]
    return MaskStats(
        counts, pixel_digest(values), smoothing_of(values), _most_frequent(low), _most_frequent(high), (height, width)
    )


def _most_frequent(values: MaskValues) -> int:
    found, sums = _value_counts(values) if values.size else ((), ())
    return int(found[int(np.argmax(sums))]) if len(found) else -1


def _value_counts(values: MaskValues) -> tuple[Any, Any]:
    """The values that occur, ascending, and how often each does."""
    flat = values.ravel()
    if values.dtype == np.uint8:
        sums = np.bincount(flat, minlength=256)
        found = np.flatnonzero(sums)
        return found, sums[found]
    # Sorting the starts of runs is twenty times less work than sorting pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    found, places = np.unique(flat[starts], return_inverse=True)
    return found, np.bincount(places, np.diff(starts, append=flat.size)).astype(np.int64)


def _turned_by_exif(dataset: Dataset, pair: Pair, image: ReadFile, mask: ReadFile) -> Finding:
    # If both have an orientation, they differ; then the mask's is undone.
    on_mask = mask.turn is not None
    which, other, turn = (pair.mask, "image", mask.turn) if on_mask else (pair.image, "mask", image.turn)
    assert turn is not None
    text = f"an EXIF orientation that turns it ({turn.name.lower().replace('_', ' ')}), while its {other} has none"
    fix = "rotate the mask like its image, and save both without EXIF; --fix rotates the mask"
    one = finding("turned-by-exif", dataset.split, which, text, "both upright", fix)
    return replace(one, turn=_inverse(turn) if on_mask else turn)


def _inverse(turn: Transpose | None) -> Transpose | None:
    return turn if turn is None else _INVERSE.get(turn, turn)


def _redness(image: Image, labels: Labels, classes: int) -> Redness | None:
    """The mean of red - blue of each class and of all pixels in a reduced image."""
    rows, columns = (min(one, other) for one, other in zip(image.shape, labels.shape, strict=False))
    cut = image[:rows, :columns].astype(np.int16)
    difference, places = (cut[..., 0] - cut[..., 2]).ravel(), labels[:rows, :columns].ravel()
    if not places.size:
        return None  # An image of one line, of which the reduced labels have none.
    sums = np.bincount(places, difference, minlength=256)[:classes]
    counts = np.bincount(places, minlength=256)[:classes]
    enough = counts > places.size / 500
    means = np.where(enough, sums / np.maximum(counts, 1), UNSEEN)
    redness: Redness = np.append(means, difference.mean()).round().clip(UNSEEN, 127).astype(np.int8)
    return redness
