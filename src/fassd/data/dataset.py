"""The seam to labelled images: a data set is a list of pairs with a table for the values in its masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fassd.core.arrays import IGNORE, Labels, LookupTable
from fassd.core.errors import DataError
from fassd.core.labels import LabelSpace
from fassd.core.types import Marked, Sample
from fassd.media.images import read_image, read_mask


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the classes (of the data set's label space) that were marked in it."""

    name: str
    image: Path
    mask: Path
    marked: frozenset[int] | None = None


@dataclass(frozen=True)
class Dataset:
    """Labelled images in a stable order.

    Attributes:
        spec: how the user named it, "kind:PATH".
        split: which part of it this is.
        label_space: the classes of its samples.
        table: the class or IGNORE that each value of a mask becomes.
        allowed: the values a mask may hold; any other is refused.
        pairs: the files.
        terms: what its owners allow.
    """

    spec: str
    split: str
    label_space: LabelSpace
    table: LookupTable
    allowed: frozenset[int]
    pairs: tuple[Pair, ...]
    terms: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return Path(self.spec.partition(":")[2]).resolve().name

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """One sample, read from its files.

        Raises:
            PictureError: the image or the mask is damaged.
            DataError: the sizes differ, or the mask holds a value outside the table.
        """
        pair = self.pairs[index]
        image, mask = read_image(pair.image), read_mask(pair.mask)
        if image.shape[:2] != mask.shape:
            raise DataError(
                pair.mask,
                f"is {mask.shape[1]}x{mask.shape[0]} but its image {pair.image.name} is "
                f"{image.shape[1]}x{image.shape[0]}; a mask has its image's size",
            )
        return Sample(pair.name, image, self._labels(mask, pair), self.marked(index))

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def marked(self, index: int) -> Marked | None:
        """The classes marked in a frame, as (classes,) bool; None where all were."""
        marked = self.pairs[index].marked
        if marked is None:
            return None
        return np.isin(np.arange(len(self.label_space)), sorted(marked))

    def _labels(self, mask: Labels, pair: Pair) -> Labels:
        found = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
        foreign = [int(value) for value in found if int(value) not in self.allowed]
        if foreign:
            raise DataError(
                pair.mask,
                f"holds the value {', '.join(map(str, foreign[:5]))}; allowed are {_ranges(self.allowed)}: "
                "correct the mask or the data set's table",
            )
        labels: Labels = self.table[mask]
        if pair.marked is not None:
            # A class that was not marked on purpose says nothing about its pixels.
            unmarked = [label for label in range(len(self.label_space)) if label not in pair.marked]
            labels[np.isin(labels, unmarked)] = IGNORE
        return labels


def _ranges(values: frozenset[int]) -> str:
    """0, 1, 2, 255 -> '0-2, 255'."""
    ordered = sorted(values)
    breaks = [i for i in range(1, len(ordered)) if ordered[i] != ordered[i - 1] + 1]
    groups = [ordered[start:end] for start, end in zip([0, *breaks], [*breaks, len(ordered)], strict=True)]
    return ", ".join(f"{group[0]}-{group[-1]}" if len(group) > 1 else f"{group[0]}" for group in groups)
