"""Masks that are not aligned with their image: flipped, shifted, of another size, or another image's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from fassd.checks.alignment import FLIPS, SIDE, agreement, borders_of, edge_spectrum
from fassd.checks.findings import FINDING_KINDS, Finding, finding
from fassd.checks.pair_stats import Size
from fassd.checks.split_stats import SplitStats
from fassd.core.errors import FassdError
from fassd.data.dataset import Dataset
from fassd.media.images import read_image

_FLIP_TEXTS = {
    Transpose.FLIP_LEFT_RIGHT: ("mirrored left to right", "mirror the mask"),
    Transpose.FLIP_TOP_BOTTOM: ("upside down", "flip the mask upside down"),
    Transpose.ROTATE_90: ("a quarter turned clockwise", "turn the mask by a quarter, counter-clockwise"),
    Transpose.ROTATE_270: ("a quarter turned counter-clockwise", "turn the mask by a quarter, clockwise"),
    Transpose.ROTATE_180: ("turned by 180 degrees", "turn the mask by 180 degrees"),
}
"""What was found and how to fix it."""
_EXPECTED = "borders on the edges of its image"
_CLEAR_FIT = 8.0
"""The median agreement of a split from which a mask that does not fit stands out."""
_MAX_SUSPECTS = 48
_FITS_ANOTHER_SIZE = 6.0
"""The agreement from which a mask of another size belongs to an image of that size; lower, since few have that size."""

Suspects = tuple[Dataset, list[int]]
"""A split, and the indices of the pairs whose masks may belong to each other's images."""
FindMatchingImages = Callable[[Suspects], Sequence[tuple[int, int]]]


def usual_flip(split_stats: Sequence[SplitStats]) -> Transpose | None:
    """The flip that more than half of the masks of all splits need; None if there is none."""
    flips = Counter(fit.flip for stats in split_stats for fit in stats.misaligned.values() if fit.flip is not None)
    measured = sum(int(np.isfinite(stats.fits).sum()) for stats in split_stats)
    return next((flip for flip, count in flips.most_common(1) if 2 * count > measured), None)


def misaligned_masks(
    stats: SplitStats, unclear: Collection[Path], usual: Transpose | None, find_matches: FindMatchingImages
) -> Iterator[Finding]:
    """Masks that fit their image better after a flip or a shift, fit another image, or have another size.

    Args:
        stats: the split.
        unclear: masks with unexplained values, whose borders may be anything.
        usual: the flip that most masks need; a mask that fits even slightly better after it is reported, too.
        find_matches: `find_matching_images`, perhaps in another process.
    """
    dataset, pairs = stats.dataset, stats.dataset.pairs
    turns = {index: fit.flip for index, fit in stats.misaligned.items() if fit.flip is not None}
    if usual is not None:
        better = np.flatnonzero(stats.flips[:, FLIPS.index(usual)] > stats.fits)
        turns = {int(index): usual for index in better} | turns
    for index in (one for one in sorted({*turns, *stats.misaligned}) if pairs[one].mask not in unclear):
        if index in turns:
            found, fix = _FLIP_TEXTS[turns[index]]
            one = finding("flipped-mask", dataset.split, pairs[index].mask, found, _EXPECTED, f"{fix}; --fix does it")
            yield replace(one, turn=turns[index])
        else:
            found, move = _shift_texts(stats.misaligned[index].shift)
            fix = f"move the mask by {move}, or find out what cropped or padded it but not the image"
            yield finding("shifted-mask", dataset.split, pairs[index].mask, found, _EXPECTED, fix)
    yield from _masks_of_other_images(stats, {*turns, *stats.misaligned}, unclear, find_matches)


def _masks_of_other_images(
    stats: SplitStats, explained: Collection[int], unclear: Collection[Path], find_matches: FindMatchingImages
) -> Iterator[Finding]:
    """Masks that hardly fit their image or have another size, with the image that they fit if there is one."""
    dataset, pairs = stats.dataset, stats.dataset.pairs
    median = float(np.nanmedian(stats.fits)) if np.isfinite(stats.fits).any() else 0.0
    # Where hardly any mask fits, all of them may have slipped to the next image.
    limit = 0.55 * median if median > _CLEAR_FIT else _CLEAR_FIT
    doubtful = [int(one) for one in np.flatnonzero(stats.fits < limit) if int(one) not in explained]
    suspects = [*stats.other_sizes, *(one for one in doubtful if pairs[one].mask not in unclear)]
    matches = dict(find_matches((dataset, suspects[:_MAX_SUSPECTS]))) if len(suspects) > 1 else {}
    for index, (image_size, mask_size) in stats.other_sizes.items():
        if index in matches:
            continue
        fix = "export the mask at its image's size; resizing it without smoothing (nearest neighbor) is second best"
        if mask_size == image_size[::-1]:
            fix = "turn the mask by a quarter; it seems to lie on its side"
        expected = f"{_size_text(image_size)}, as its image"
        yield finding("size-differs", dataset.split, pairs[index].mask, _size_text(mask_size), expected, fix)
    for index, match in matches.items():
        image, own = pairs[match].image, pairs[index].image.name
        found = f"fits {image.name}, not {own}"
        if index in stats.other_sizes:
            image_size, mask_size = stats.other_sizes[index]
            found = f"{_size_text(mask_size)} and fits {image.name}, while {own} is {_size_text(image_size)}"
        fix = "look at both; if their masks were swapped, rename them"
        one = finding("swapped-mask", dataset.split, pairs[index].mask, found, _EXPECTED, fix)
        yield replace(one, related_file=image)
    if len(suspects) > _MAX_SUSPECTS:
        text = f"{len(suspects):,} masks that may be another image's, of which the first {_MAX_SUSPECTS} were compared"
        fix = "fix what was found, and check again"
        yield Finding(FINDING_KINDS["not-compared"], dataset.split, (), text, "few such masks", fix)


def find_matching_images(suspects: Suspects) -> list[tuple[int, int]]:
    """Compares the masks of some pairs with the images of all of them.

    Returns:
        (index, match): the mask of pair `index` clearly fits the image of pair `match` better than its own.
    """
    dataset, indices = suspects
    edges, borders = {}, {}
    for index in indices:
        try:
            image, values = read_image(dataset.pairs[index].image), dataset.encoding.read(dataset.pairs[index].mask)
        except FassdError:
            continue
        borders[index] = values.shape, borders_of(values, _reduction(values.shape))
        factor = _reduction(image.shape)
        shape = tuple(len(range(factor // 2, side, factor)) for side in image.shape[:2])
        gray = np.asarray(PIL.Image.fromarray(image).reduce(factor).convert("L"))
        edges[index] = image.shape[:2], edge_spectrum(gray, shape)
    matches = []
    for index, (size, lines) in borders.items():
        fits = {other: agreement(one, lines) for other, (its, one) in edges.items() if its == size}
        best = max(fits, key=fits.__getitem__, default=index)
        own = fits.get(index)
        enough = _FITS_ANOTHER_SIZE if own is None else max(_CLEAR_FIT, own + 4.0, 1.5 * own)
        if best != index and fits[best] >= enough:
            matches.append((index, best))
    return matches


def _reduction(shape: tuple[int, ...]) -> int:
    return max(1, round(max(shape[:2]) / SIDE))


def _size_text(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _shift_texts(shift: tuple[float, float]) -> tuple[str, str]:
    """Where the mask lies, and how to move it."""
    right, down = (round(one * 100) for one in shift)
    lies = [f"{abs(right)} % of the width too far {'left' if right > 0 else 'right'}"] if right else []
    lies += [f"{abs(down)} % of the height too {'high' if down > 0 else 'low'}"] if down else []
    move = [f"{abs(right)} % to the {'right' if right > 0 else 'left'}"] if right else []
    move += [f"{abs(down)} % {'down' if down > 0 else 'up'}"] if down else []
    return " and ".join(lies) or "a little off", " and ".join(move) or "a little"
