"""The quick check before training and evaluation: finds within seconds what would otherwise fail an hour later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fassd.checks.file_format import palette_findings, palette_of
from fassd.core.errors import DataError, FileError
from fassd.core.numbers import evenly_spaced
from fassd.data.dataset import Dataset, Pair
from fassd.data.mask_encoding import value_of_color
from fassd.media.formats import EXCHANGING, ImageHeader, opened

_SAMPLE = 24
"""Number of masks whose values are read, evenly sampled."""
_THREADS = 4
_COLORED = ("RGB", "RGBA", "RGBX")


def quick_check(dataset: Dataset) -> None:
    """Checks the headers of all files and the values of some masks; takes seconds for thousands of pairs.

    Raises:
        ImageError, DataError: the first pair that training or evaluation could not read, and how many more there are.
    """
    # Threads, since waiting for a slow disk or a network drive takes longer than parsing.
    with ThreadPoolExecutor(_THREADS) as pool:
        failed = [error for error in pool.map(lambda pair: _problem(dataset, pair), dataset.pairs) if error]
    if failed:
        first, more = failed[0], len(failed) - 1
        others = f", and {more} more of {len(dataset)} pairs cannot be used" if more else ""
        advice = f"{others}; 'fassd data check {dataset.spec}' lists all problems"
        raise type(first)(first.path, first.problem + advice)
    for index in evenly_spaced(len(dataset), _SAMPLE):
        try:
            dataset.read_labels(index)
        except FileError as error:
            advice = f"; 'fassd data check {dataset.spec}' lists all problems"
            raise type(error)(error.path, error.problem + advice) from None


def _problem(dataset: Dataset, pair: Pair) -> FileError | None:
    """The reason why a pair cannot be read, as far as headers show."""
    try:
        with opened(pair.image) as header:
            image = _upright_size(header)
        with opened(pair.mask) as header:
            mask, mode, altered = _upright_size(header), header.image.mode, not header.format.keeps_labels
            if _shows_other_classes(header, dataset):
                wrong = palette_findings(pair.mask, dataset, header)
                if wrong:
                    return DataError(pair.mask, f"has {wrong[0].found}")
        if image != mask:
            problem = f"is {mask[0]}x{mask[1]} but its image {pair.image.name} is {image[0]}x{image[1]}"
            return DataError(pair.mask, problem)
        # A palette may hold values or colors.
        if altered or (mode != "P" and (mode in _COLORED) != dataset.encoding.by_color):
            dataset.encoding.read(pair.mask)
    except FileError as error:
        return error
    return None


def _shows_other_classes(header: ImageHeader, dataset: Dataset) -> bool:
    """Whether the palette has a class's color at another class's index."""
    if header.image.mode != "P" or dataset.encoding.by_color:
        return False
    class_of_color = {value_of_color(one.color): label for label, one in enumerate(dataset.label_space.classes)}
    for index, color in palette_of(header.image).items():
        own = dataset.encoding.classes.get(index)
        if own is not None and class_of_color.get(color, own) != own:
            return True
    return False


def _upright_size(header: ImageHeader) -> tuple[int, int]:
    """Width and height."""
    width, height = header.image.size
    return (height, width) if header.turn in EXCHANGING else (width, height)
