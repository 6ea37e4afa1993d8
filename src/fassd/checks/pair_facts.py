"""What one pair of image and mask tells: read once, whole, in a worker process, and kept in some hundred bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from jaxtyping import Int8
from PIL.Image import Transpose

from fassd.checks.alignment import SIDE, Alignment, alignment
from fassd.checks.file_checks import ReadFile, read_mask, read_picture
from fassd.checks.findings import Finding, finding
from fassd.checks.image_hash import ImageHash, likeness, pixel_digest
from fassd.checks.mixed_values import mixing_of
from fassd.core.arrays import Image, Labels, MaskValues
from fassd.data.dataset import Dataset, Pair
from fassd.media.formats import EXCHANGING

_MOST_CODES = 64
"""Values beyond the table that are kept of a mask."""

Redness: TypeAlias = Int8[np.ndarray[Any, Any], " classes_and_one"]
UNSEEN = -128
Size: TypeAlias = tuple[int, int]
"""Height and width."""

_INVERSE = {Transpose.ROTATE_90: Transpose.ROTATE_270, Transpose.ROTATE_270: Transpose.ROTATE_90}
"""The turns that are not their own inverse."""

_EXPORT_AGAIN = "export the mask again, as PNG, and resize it without smoothing (nearest neighbor)"
_MIXED = {
    "jpeg-mask": ("values between classes along borders, as JPEG leaves them", _EXPORT_AGAIN),
    "blurred-mask": ("values between classes along borders, as smooth resizing leaves them", _EXPORT_AGAIN),
    "noise-mask": (
        "another value at most pixels than at the one before, as in noise",
        "look at the mask; export it again, or take the pair out",
    ),
}


@dataclass(frozen=True)
class MaskFacts:
    """What a mask holds.

    Attributes:
        counts: pixels of each code; of codes outside the table only the `_MOST_CODES` lowest.
        digest: 8 bytes, equal for equal masks.
        mixed: the row of `FINDING_KINDS`, where values were averaged; "" for a sound mask.
        middle: the most frequent code at the lower middle, where streets have road; -1 if there is no pixel.
        top: the same at the upper middle.
        size: as it is upright.
    """

    counts: dict[int, int]
    digest: bytes
    mixed: str
    middle: int
    top: int
    size: Size


@dataclass(frozen=True)
class PairFacts:
    """What one pair tells.

    Attributes:
        findings: what can be said without the other pairs; each has one file.
        size: of the upright image; None where it cannot be read.
        likeness: of the image.
        mask: None where it cannot be read.
        alignment: of both; None where it cannot be told.
        redness: (classes + 1,) int8, the mean of red - blue over each class's pixels, and over all; UNSEEN where there
            are none.
    """

    findings: tuple[Finding, ...]
    size: Size | None = None
    likeness: ImageHash | None = None
    mask: MaskFacts | None = None
    alignment: Alignment | None = None
    redness: Redness | None = None

    @property
    def turned(self) -> bool:
        """EXIF turns one of both alone."""
        return any(one.kind.name == "turned-by-exif" for one in self.findings)


def inspect(dataset: Dataset, pair: Pair) -> PairFacts:
    """Reads a pair and says what it is like; nothing in its files makes this fail."""
    picture, labeled = read_picture(pair.image, dataset.split), read_mask(pair.mask, dataset)
    found = (*picture.findings, *labeled.findings)
    image, codes = picture.pixels, labeled.pixels
    mask = None if codes is None else _mask_facts(codes, dataset)
    if mask is not None and mask.mixed:
        found = (*found, _mixed(dataset, pair, mask.mixed))
    if image is None:
        return PairFacts(found, mask=mask)
    factor = max(1, round(max(image.shape[:2]) / SIDE))
    small = PIL.Image.fromarray(image).reduce(factor)
    gray = np.asarray(small.convert("L"))
    size, look = (image.shape[0], image.shape[1]), likeness(image, gray)
    if codes is None:
        return PairFacts(found, size, look)
    if image.shape[:2] != codes.shape:
        if _differs_by_exif(picture, labeled):
            found = (*found, _turned(dataset, pair, picture, labeled))
        return PairFacts(found, size, look, mask)
    if mask and mask.mixed:
        return PairFacts(found, size, look, mask)
    fit = alignment(gray, codes, factor)
    if fit is not None and fit.flip is not None and fit.flip in {picture.turn, _back(labeled.turn)}:
        return PairFacts((*found, _turned(dataset, pair, picture, labeled)), size, look, mask)
    labels = dataset.encoding.labels(codes)[factor // 2 :: factor, factor // 2 :: factor]
    redness = _redness(np.asarray(small), labels, len(dataset.label_space))
    return PairFacts(found, size, look, mask, fit, redness)


def _mask_facts(codes: MaskValues, dataset: Dataset) -> MaskFacts:
    found, sums = _counted(codes)
    known = dataset.encoding.classes
    foreign = [code for code in found.tolist() if code not in known]
    dropped = set(foreign[_MOST_CODES:])
    counts = {code: count for code, count in zip(found.tolist(), sums.tolist(), strict=True) if code not in dropped}
    height, width = codes.shape
    across = slice(width * 2 // 5, width * 3 // 5)
    low, high = codes[height * 4 // 5 : height * 9 // 10, across], codes[height // 10 : height // 5, across]
    size = (height, width)
    return MaskFacts(counts, pixel_digest(codes), mixing_of(codes), _commonest(low), _commonest(high), size)


def _commonest(codes: MaskValues) -> int:
    found, sums = _counted(codes) if codes.size else ((), ())
    return int(found[int(np.argmax(sums))]) if len(found) else -1


def _counted(codes: MaskValues) -> tuple[Any, Any]:
    """The codes that occur, ascending, and how often each does."""
    flat = codes.ravel()
    if codes.dtype == np.uint8:
        sums = np.bincount(flat, minlength=256)
        found = np.flatnonzero(sums)
        return found, sums[found]
    # Sorting the starts of runs is twenty times less work than sorting pixels.
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    found, places = np.unique(flat[starts], return_inverse=True)
    return found, np.bincount(places, np.diff(starts, append=flat.size)).astype(np.int64)


def _mixed(dataset: Dataset, pair: Pair, kind: str) -> Finding:
    found, remedy = _MIXED[kind]
    return finding(kind, dataset.split, pair.mask, found, "one class at each pixel", remedy)


def _differs_by_exif(image: ReadFile, mask: ReadFile) -> bool:
    return (image.turn in EXCHANGING or mask.turn in EXCHANGING) and image.stored == mask.stored


def _turned(dataset: Dataset, pair: Pair, image: ReadFile, mask: ReadFile) -> Finding:
    # Where both have a turn, they are different ones; the mask's own is taken back.
    on_mask = mask.turn is not None
    which, other, turn = (pair.mask, "image", mask.turn) if on_mask else (pair.image, "mask", image.turn)
    assert turn is not None
    text = f"an EXIF orientation that turns it ({turn.name.lower().replace('_', ' ')}), while its {other} has none"
    remedy = "turn the mask as its image, and save both without EXIF; --fix turns the mask"
    back = _back(turn) if on_mask else turn
    return replace(finding("turned-by-exif", dataset.split, which, text, "both upright", remedy), turn=back)


def _back(turn: Transpose | None) -> Transpose | None:
    """The turn that takes one back."""
    return turn if turn is None else _INVERSE.get(turn, turn)


def _redness(image: Image, labels: Labels, classes: int) -> Redness | None:
    """How red rather than blue each class is in a reduced picture."""
    rows, columns = (min(one, other) for one, other in zip(image.shape, labels.shape, strict=False))
    cut = image[:rows, :columns].astype(np.int16)
    difference, places = (cut[..., 0] - cut[..., 2]).ravel(), labels[:rows, :columns].ravel()
    if not places.size:
        return None  # A line of pixels, of which the reduced labels have none.
    sums = np.bincount(places, difference, minlength=256)[:classes]
    counts = np.bincount(places, minlength=256)[:classes]
    enough = counts > places.size / 500
    means = np.where(enough, sums / np.maximum(counts, 1), UNSEEN)
    redness: Redness = np.append(means, difference.mean()).round().clip(UNSEEN, 127).astype(np.int8)
    return redness
