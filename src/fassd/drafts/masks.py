"""What masks of unknown coding hold: their codes, how often, and whereabouts in the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fassd.core.arrays import MaskValues
from fassd.core.errors import DataError, FassdError
from fassd.data.mask_encoding import Color
from fassd.media.formats import opened
from fassd.media.masks import read_colors, read_values

_MOST_MASKS, _MOST_PIXELS, _MOST_CODES, _LOOKED_AT = 1000, 500_000_000, 5000, 24
_SEVERAL_PALETTES = 3


@dataclass
class Survey:
    """What was found in masks.

    Attributes:
        by_color: whether they hold colors; the codes below are then such.
        pixels: how many pixels each code has.
        upper: of these, how many are in the upper third of their picture.
        lower: likewise, in the lower third.
        palette: the color of each index, where the masks have one palette.
        folder: of the first mask.
        masks: how many there are.
        read: how many of them were read.
        refused: those that could not be, with the reason.
    """

    by_color: bool
    palette: dict[int, Color]
    folder: Path
    masks: int
    pixels: Counter[int] = field(default_factory=Counter)
    upper: Counter[int] = field(default_factory=Counter)
    lower: Counter[int] = field(default_factory=Counter)
    read: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)

    def share(self, codes: set[int]) -> float:
        """The share of all pixels that have one of the codes."""
        return sum(self.pixels[code] for code in codes) / max(1, self.pixels.total())


def survey_masks(masks: Sequence[Path]) -> Survey:
    """Reads masks: all of them up to a thousand, and otherwise a thousand from beginning to end.

    Raises:
        DataError: none can be read, or they hold more codes than classes can be.
    """
    by_color, palette = _mode(_evenly(masks, _LOOKED_AT))
    survey = Survey(by_color, palette, masks[0].parent, len(masks))
    for path in _evenly(masks, _MOST_MASKS):
        try:
            codes = read_colors(path) if by_color else read_values(path)
        except FassdError as error:
            survey.refused.append((path, str(error)))
            continue
        _add(survey, codes)
        survey.read += 1
        if survey.pixels.total() > _MOST_PIXELS:
            break
        if len(survey.pixels) > _MOST_CODES:
            kind = "colors: they look resized with smoothing, or saved as JPEG in between"
            what = kind if by_color else "values: they look like instance ids or depth"
            raise DataError(
                path.parent, f"holds masks with more than {_MOST_CODES} {what}; give masks with a code for each class"
            )
    if not survey.read:
        raise DataError(survey.folder, f"holds no mask that can be read; the first: {survey.refused[0][1]}")
    return survey


def _add(survey: Survey, codes: MaskValues) -> None:
    third = len(codes) // 3
    for counter, part in ((survey.pixels, codes), (survey.upper, codes[:third]), (survey.lower, codes[-third:])):
        flat = part.ravel()
        if not third and counter is not survey.pixels:
            continue
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        found, places = np.unique(flat[starts], return_inverse=True)
        counts = np.bincount(places, np.diff(starts, append=flat.size), len(found))
        for code, count in zip(found.tolist(), counts.tolist(), strict=True):
            counter[code] += int(count)


def _mode(masks: Sequence[Path]) -> tuple[bool, dict[int, Color]]:
    """Whether most masks hold colors, and the palette that all of them share."""
    votes: Counter[bool] = Counter()
    palettes = []
    for path in masks:
        try:
            with opened(path) as header:
                mode = header.image.mode
                palettes.append(header.image.getpalette("RGB") or [] if mode == "P" else [])
        except FassdError:
            continue
        votes[mode in ("RGB", "RGBA", "RGBX", "PA")] += 1
    different = {tuple(palette) for palette in palettes if palette}
    if len(different) >= _SEVERAL_PALETTES:
        return True, {}  # programs that save space number the colors of each file anew
    numbers = max(different, key=len, default=())
    colors = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False))
    return votes[True] > votes[False], dict(enumerate(colors))


def _evenly(things: Sequence[Path], count: int) -> list[Path]:
    return [things[place] for place in sorted({len(things) * step // count for step in range(count)})]
