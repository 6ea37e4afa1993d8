"""Masks that do not lie on their images: flipped, shifted, or another image's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from fassd.checks.alignment import SIDE, agreement, borders_of, edge_spectrum
from fassd.checks.findings import FINDING_KINDS, Finding, finding
from fassd.checks.split_tally import SplitTally
from fassd.core.errors import FassdError
from fassd.data.dataset import Dataset
from fassd.media.images import read_image

_SPELLED = {
    Transpose.FLIP_LEFT_RIGHT: ("mirrored left to right", "mirror the mask"),
    Transpose.FLIP_TOP_BOTTOM: ("upside down", "flip the mask upside down"),
    Transpose.ROTATE_180: ("turned by 180 degrees", "turn the mask by 180 degrees"),
}
_PLAIN = 8.0
"""The median agreement of a split from which a mask that does not fit stands out."""
_MOST_SUSPECTS = 48

Suspects = tuple[Dataset, list[int]]
"""A split and those of its pairs that may have each other's masks."""
FindOwners = Callable[[Suspects], Sequence[tuple[int, int]]]


def misplaced_masks(tally: SplitTally, find_owners: FindOwners) -> Iterator[Finding]:
    """Masks that fit their image better after a flip or a shift, or fit another image.

    Args:
        tally: the split.
        find_owners: `owners`, perhaps in another process.
    """
    dataset = tally.dataset
    for index, fit in tally.misplaced.items():
        mask = dataset.pairs[index].mask
        if fit.flip is not None:
            found, remedy = _SPELLED[fit.flip]
            remedy += "; --fix does it"
            one = finding("flipped-mask", dataset.split, mask, found, "borders on the edges of its image", remedy)
            yield replace(one, turn=fit.flip)
        else:
            found, move = _spell_shift(fit.shift)
            remedy = f"move the mask by {move}, or find out what cut or padded it and not the image"
            yield finding("shifted-mask", dataset.split, mask, found, "borders on the edges of its image", remedy)
    usual = float(np.nanmedian(tally.fits)) if np.isfinite(tally.fits).any() else 0.0
    # Where hardly a mask fits, all of them may have slipped to the next image.
    limit = 0.55 * usual if usual > _PLAIN else _PLAIN
    doubtful = [int(index) for index in np.flatnonzero(tally.fits < limit) if index not in tally.misplaced]
    for index, owner in find_owners((dataset, doubtful[:_MOST_SUSPECTS])) if len(doubtful) > 1 else ():
        image = dataset.pairs[owner].image
        yield Finding(
            FINDING_KINDS["swapped-mask"],
            dataset.split,
            (dataset.pairs[index].mask,),
            f"fits {image.name}, not {dataset.pairs[index].image.name}",
            "borders on the edges of its image",
            "look at both; where their masks were exchanged, rename them",
            partner=image,
        )


def owners(suspects: Suspects) -> list[tuple[int, int]]:
    """The pairs whose masks fit another pair's image, with that pair."""
    dataset, places = suspects
    edges, borders = {}, {}
    for place in places:
        try:
            sample = read_image(dataset.pairs[place].image), dataset.coding.read(dataset.pairs[place].mask)
        except FassdError:
            continue
        factor = max(1, round(max(sample[0].shape[:2]) / SIDE))
        borders[place] = borders_of(sample[1], factor)
        grey = np.asarray(PIL.Image.fromarray(sample[0]).reduce(factor).convert("L"))
        edges[place] = edge_spectrum(grey, borders[place].shape)
    found = []
    for place, lines in borders.items():
        own = agreement(edges[place], lines)
        fits = {other: agreement(one, lines) for other, one in edges.items() if one.shape == edges[place].shape}
        best = max(fits, key=fits.__getitem__)
        if best != place and fits[best] >= max(_PLAIN, own + 4.0, 1.5 * own):
            found.append((place, best))
    return found


def _spell_shift(shift: tuple[float, float]) -> tuple[str, str]:
    """Where the mask lies, and how to move it."""
    right, down = (round(one * 100) for one in shift)
    lies = [f"{abs(right)} % of the width too far {'left' if right > 0 else 'right'}"] if right else []
    lies += [f"{abs(down)} % of the height too {'high' if down > 0 else 'low'}"] if down else []
    move = [f"{abs(right)} % to the {'right' if right > 0 else 'left'}"] if right else []
    move += [f"{abs(down)} % {'down' if down > 0 else 'up'}"] if down else []
    return " and ".join(lies) or "a little off", " and ".join(move) or "a little"
