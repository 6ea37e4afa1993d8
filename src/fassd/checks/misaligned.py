"""Masks that do not lie on their images: flipped, shifted, or another image's."""

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
from fassd.checks.pair_facts import Size
from fassd.checks.split_tally import SplitStats
from fassd.core.errors import FassdError
from fassd.data.dataset import Dataset
from fassd.media.images import read_image

_SPELLED = {
    Transpose.FLIP_LEFT_RIGHT: ("mirrored left to right", "mirror the mask"),
    Transpose.FLIP_TOP_BOTTOM: ("upside down", "flip the mask upside down"),
    Transpose.ROTATE_90: ("a quarter turned clockwise", "turn the mask by a quarter, counter-clockwise"),
    Transpose.ROTATE_270: ("a quarter turned counter-clockwise", "turn the mask by a quarter, clockwise"),
    Transpose.ROTATE_180: ("turned by 180 degrees", "turn the mask by 180 degrees"),
}
_WANTED = "borders on the edges of its image"
_PLAIN = 8.0
"""The median agreement of a split from which a mask that does not fit stands out."""
_MOST_SUSPECTS = 48

_FITS_ANOTHER_SIZE = 6.0
"""The agreement from which a mask of another size is that of an image of its size; less, for few have that size."""

Suspects = tuple[Dataset, list[int]]
"""A split and those of its pairs that may have each other's masks."""
FindOwners = Callable[[Suspects], Sequence[tuple[int, int]]]


def usual_flip(tallies: Sequence[SplitStats]) -> Transpose | None:
    """The flip that most masks of all splits need, if they do."""
    flips = Counter(fit.flip for tally in tallies for fit in tally.misplaced.values() if fit.flip is not None)
    judged = sum(int(np.isfinite(tally.fits).sum()) for tally in tallies)
    return next((flip for flip, count in flips.most_common(1) if 2 * count > judged), None)


def misplaced_masks(
    tally: SplitStats, unclear: Collection[Path], usual: Transpose | None, find_owners: FindOwners
) -> Iterator[Finding]:
    """Masks that fit their image better after a flip or a shift, fit another image, or have another size.

    Args:
        tally: the split.
        unclear: masks whose values could not be explained; their borders may be anything.
        usual: the flip that most masks need; others need it, too, if they fit ever so little better after it.
        find_owners: `owners`, perhaps in another process.
    """
    dataset, pairs = tally.dataset, tally.dataset.pairs
    turns = {index: fit.flip for index, fit in tally.misplaced.items() if fit.flip is not None}
    if usual is not None:
        better = np.flatnonzero(tally.flips[:, FLIPS.index(usual)] > tally.fits)
        turns = {int(index): usual for index in better} | turns
    for index in (one for one in sorted({*turns, *tally.misplaced}) if pairs[one].mask not in unclear):
        if index in turns:
            yield _turned(dataset, index, turns[index])
        else:
            yield _shifted(dataset, index, tally.misplaced[index].shift)
    yield from _others_masks(tally, {*turns, *tally.misplaced}, unclear, find_owners)


def _others_masks(
    tally: SplitStats, explained: Collection[int], unclear: Collection[Path], find_owners: FindOwners
) -> Iterator[Finding]:
    """Masks of another size than their image or that hardly fit it, with the image that they fit if there is one."""
    dataset, pairs = tally.dataset, tally.dataset.pairs
    usual = float(np.nanmedian(tally.fits)) if np.isfinite(tally.fits).any() else 0.0
    # Where hardly a mask fits, all of them may have slipped to the next image.
    limit = 0.55 * usual if usual > _PLAIN else _PLAIN
    doubtful = [int(one) for one in np.flatnonzero(tally.fits < limit) if int(one) not in explained]
    suspects = [*tally.other_sizes, *(one for one in doubtful if pairs[one].mask not in unclear)]
    found = dict(find_owners((dataset, suspects[:_MOST_SUSPECTS]))) if len(suspects) > 1 else {}
    for index in (one for one in tally.other_sizes if one not in found):
        yield _size_differs(dataset, index, *tally.other_sizes[index])
    for index, owner in found.items():
        yield _swapped(dataset, index, owner, tally.other_sizes.get(index))
    if len(suspects) > _MOST_SUSPECTS:
        text = f"{len(suspects):,} masks that may be another image's, of which the first {_MOST_SUSPECTS} were compared"
        remedy = "mend what was found, and check again"
        yield Finding(FINDING_KINDS["not-compared"], dataset.split, (), text, "few such masks", remedy)


def owners(suspects: Suspects) -> list[tuple[int, int]]:
    """The pairs whose masks fit another pair's image, with that pair."""
    dataset, places = suspects
    edges, borders = {}, {}
    for place in places:
        try:
            image, codes = read_image(dataset.pairs[place].image), dataset.encoding.read(dataset.pairs[place].mask)
        except FassdError:
            continue
        borders[place] = codes.shape, borders_of(codes, _factor(codes.shape))
        factor = _factor(image.shape)
        shape = tuple(len(range(factor // 2, side, factor)) for side in image.shape[:2])
        gray = np.asarray(PIL.Image.fromarray(image).reduce(factor).convert("L"))
        edges[place] = image.shape[:2], edge_spectrum(gray, shape)
    found = []
    for place, (size, lines) in borders.items():
        fits = {other: agreement(one, lines) for other, (its, one) in edges.items() if its == size}
        best = max(fits, key=fits.__getitem__, default=place)
        own = fits.get(place)
        enough = _FITS_ANOTHER_SIZE if own is None else max(_PLAIN, own + 4.0, 1.5 * own)
        if best != place and fits[best] >= enough:
            found.append((place, best))
    return found


def _factor(shape: tuple[int, ...]) -> int:
    return max(1, round(max(shape[:2]) / SIDE))


def _turned(dataset: Dataset, index: int, flip: Transpose) -> Finding:
    found, remedy = _SPELLED[flip]
    mask = dataset.pairs[index].mask
    one = finding("flipped-mask", dataset.split, mask, found, _WANTED, f"{remedy}; --fix does it")
    return replace(one, turn=flip)


def _shifted(dataset: Dataset, index: int, shift: tuple[float, float]) -> Finding:
    found, move = _spell_shift(shift)
    remedy = f"move the mask by {move}, or find out what cut or padded it and not the image"
    return finding("shifted-mask", dataset.split, dataset.pairs[index].mask, found, _WANTED, remedy)


def _size_differs(dataset: Dataset, index: int, image: Size, mask: Size) -> Finding:
    remedy = "export the mask at its image's size; enlarging one without smoothing (nearest neighbor) is second best"
    if mask == image[::-1]:
        remedy = "turn the mask by a quarter; it seems to lie on its side"
    wanted = f"{_spell_size(image)}, as its image"
    return finding("size-differs", dataset.split, dataset.pairs[index].mask, _spell_size(mask), wanted, remedy)


def _swapped(dataset: Dataset, index: int, owner: int, sizes: tuple[Size, Size] | None) -> Finding:
    image, own = dataset.pairs[owner].image, dataset.pairs[index].image.name
    found = f"fits {image.name}, not {own}"
    if sizes is not None:
        found = f"{_spell_size(sizes[1])} and fits {image.name}, while {own} is {_spell_size(sizes[0])}"
    remedy = "look at both; where their masks were exchanged, rename them"
    one = finding("swapped-mask", dataset.split, dataset.pairs[index].mask, found, _WANTED, remedy)
    return replace(one, partner=image)


def _spell_size(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _spell_shift(shift: tuple[float, float]) -> tuple[str, str]:
    """Where the mask lies, and how to move it."""
    right, down = (round(one * 100) for one in shift)
    lies = [f"{abs(right)} % of the width too far {'left' if right > 0 else 'right'}"] if right else []
    lies += [f"{abs(down)} % of the height too {'high' if down > 0 else 'low'}"] if down else []
    move = [f"{abs(right)} % to the {'right' if right > 0 else 'left'}"] if right else []
    move += [f"{abs(down)} % {'down' if down > 0 else 'up'}"] if down else []
    return " and ".join(lies) or "a little off", " and ".join(move) or "a little"
