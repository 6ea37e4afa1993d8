"""Surveys masks of unknown encoding: which values they hold, how often, and where in the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fassd.core.arrays import MaskValues
from fassd.core.errors import DataError, FassdError
from fassd.core.numbers import evenly_spaced
from fassd.data.mask_encoding import Color
from fassd.media.formats import opened
from fassd.media.masks import read_colors, read_values

_MAX_MASKS, _MAX_PIXELS, _MAX_CODES, _SAMPLED_HEADERS = 1000, 500_000_000, 5000, 24
_SEVERAL_PALETTES = 3


@dataclass
class Survey:
    """Statistics of some masks.

    Attributes:
        by_color: whether values are colors, see `MaskEncoding`.
        palette: the color of each index, if all masks have one palette.
        folder: of the first mask.
        masks: their number.
        pixels: pixels of each value.
        upper: pixels of each value in the upper third of the masks.
        lower: the same in the lower third.
        read: number of masks that were read.
        refused: masks that cannot be read, with the reason.
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

    def share(self, values: set[int]) -> float:
        """The share of all pixels that have one of the values."""
        return sum(self.pixels[value] for value in values) / max(1, self.pixels.total())


def survey_masks(masks: Sequence[Path]) -> Survey:
    """Reads masks, 1000 evenly sampled ones if there are more.

    Raises:
        DataError: no mask can be read, or they hold more than 5000 values.
    """
    by_color, palette = _encoding(_sample(masks, _SAMPLED_HEADERS))
    survey = Survey(by_color, palette, masks[0].parent, len(masks))
    for path in _sample(masks, _MAX_MASKS):
        try:
            values = read_colors(path) if by_color else read_values(path)
        except FassdError as error:
            survey.refused.append((path, str(error)))
            continue
        _add(survey, values)
        survey.read += 1
        if survey.pixels.total() > _MAX_PIXELS:
            break
        if len(survey.pixels) > _MAX_CODES:
            colors = "colors, as after smooth resizing or JPEG"
            what = colors if by_color else "values, as in instance ids or depth"
            raise DataError(
                path.parent, f"holds masks with more than {_MAX_CODES} {what}; give masks with one value for each class"
            )
    if not survey.read:
        raise DataError(survey.folder, f"holds no mask that can be read; the first: {survey.refused[0][1]}")
    return survey


def _add(survey: Survey, values: MaskValues) -> None:
    third = len(values) // 3
    for counter, part in ((survey.pixels, values), (survey.upper, values[:third]), (survey.lower, values[-third:])):
        flat = part.ravel()
        if not third and counter is not survey.pixels:
            continue
        starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        found, places = np.unique(flat[starts], return_inverse=True)
        counts = np.bincount(places, np.diff(starts, append=flat.size), len(found))
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            counter[value] += int(count)


def _encoding(masks: Sequence[Path]) -> tuple[bool, dict[int, Color]]:
    """Whether most masks hold colors, and their palette if all share one."""
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
        return True, {}  # some programs number the colors of each file anew
    numbers = max(different, key=len, default=())
    colors = list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=False))
    return votes[True] > votes[False], dict(enumerate(colors))


def _sample(masks: Sequence[Path], count: int) -> list[Path]:
    return [masks[place] for place in evenly_spaced(len(masks), count)]
