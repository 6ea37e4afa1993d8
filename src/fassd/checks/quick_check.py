"""The cheap part of the check, for those about to train or to evaluate: what would only fail an hour later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fassd.checks.file_checks import contradicting_palette, palette_of
from fassd.core.errors import DataError, FileError
from fassd.data.dataset import Dataset, Pair
from fassd.data.mask_encoding import value_of_color
from fassd.media.formats import EXCHANGING, Header, opened

_SAMPLE = 24
"""Masks whose values are read, evenly over the data set."""
_THREADS = 4
_COLORED = ("RGB", "RGBA", "RGBX")


def quick_check(dataset: Dataset) -> None:
    """Looks at the headers of all files and at the values of some masks; seconds for thousands of pairs.

    Raises:
        ImageError, DataError: about the first pair that training or evaluation could not read; says how many more
            there are.
    """
    # Headers are read in threads: on a slow disk or a network drive, waiting takes longer than parsing.
    with ThreadPoolExecutor(_THREADS) as pool:
        failed = [error for error in pool.map(lambda pair: _problem(dataset, pair), dataset.pairs) if error]
    if failed:
        first, more = failed[0], len(failed) - 1
        others = f", and {more} more of {len(dataset)} pairs cannot be used" if more else ""
        advice = f"{others}; 'fassd data check {dataset.spec}' tells everything"
        raise type(first)(first.path, first.problem + advice)
    for place in sorted(set(np.linspace(0, len(dataset) - 1, _SAMPLE).astype(int).tolist())):
        try:
            dataset.read_labels(place)
        except FileError as error:
            advice = f"; 'fassd data check {dataset.spec}' tells everything"
            raise type(error)(error.path, error.problem + advice) from None


def _problem(dataset: Dataset, pair: Pair) -> FileError | None:
    """What keeps a pair from being read, as far as headers tell."""
    try:
        with opened(pair.image) as header:
            image = _upright_size(header)
        with opened(pair.mask) as header:
            mask, mode, altered = _upright_size(header), header.image.mode, not header.format.keeps_labels
            if _shows_other_classes(header, dataset):
                wrong = contradicting_palette(pair.mask, dataset, header)
                if wrong:
                    return DataError(pair.mask, f"has {wrong[0].found}")
        if image != mask:
            problem = f"is {mask[0]}x{mask[1]} but its image {pair.image.name} is {image[0]}x{image[1]}"
            return DataError(pair.mask, problem)
        # Palettes are good for both.
        if altered or (mode != "P" and (mode in _COLORED) != dataset.encoding.by_color):
            dataset.encoding.read(pair.mask)
    except FileError as error:
        return error
    return None


def _shows_other_classes(header: Header, dataset: Dataset) -> bool:
    """Whether the palette, which lies in the header, has a class's color at another class's index."""
    if header.image.mode != "P" or dataset.encoding.by_color:
        return False
    classes, places = (
        dataset.encoding.classes,
        {value_of_color(one.color): at for at, one in enumerate(dataset.label_space.classes)},
    )
    palette = palette_of(header.image)
    return any(
        places.get(color, own) != own for index, color in palette.items() if (own := classes.get(index)) is not None
    )


def _upright_size(header: Header) -> tuple[int, int]:
    """Width and height."""
    width, height = header.image.size
    return (height, width) if header.turn in EXCHANGING else (width, height)
