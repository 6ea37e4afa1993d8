"""The seam to labeled images: a data set is a list of pairs with a table for the values in its masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fassd.core.arrays import IGNORE, Codes, Labels
from fassd.core.errors import DataError
from fassd.core.labels import LabelSpace
from fassd.core.types import Marked, Sample
from fassd.data.mask_encoding import MaskEncoding, ReadValues
from fassd.media.images import read_image, read_size
from fassd.media.masks import read_values


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the classes (of the data set's label space) that were marked in it."""

    name: str
    image: Path
    mask: Path
    marked: frozenset[int] | None = None


@dataclass(frozen=True)
class Dataset:
    """Labeled images in a stable order.

    Attributes:
        spec: how the user named it, "kind:PATH".
        split: which part of it this is.
        label_space: the classes of its samples.
        coding: what the values or colors in masks mean; any other is refused.
        pairs: the files.
        terms: what its owners allow.
    """

    spec: str
    split: str
    label_space: LabelSpace
    coding: MaskEncoding
    pairs: tuple[Pair, ...]
    terms: str = ""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return Path(self.spec.partition(":")[2]).resolve().name

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """One sample, read from its files; see `read`."""
        return self.read(index)

    def read(self, index: int, factor: float = 1.0, values: ReadValues = read_values) -> Sample:
        """One sample, read from its files.

        Args:
            index: which.
            factor: by how much its image will be resized at most; it may come reduced, see `read_image`.
            values: reads a file of values.

        Raises:
            ImageError: the image or the mask is damaged.
            DataError: the sizes differ, or the mask holds a value outside the table.
        """
        pair = self.pairs[index]
        image, mask = read_image(pair.image, factor), self.coding.read(pair.mask, values)
        height, width = image.shape[:2] if factor >= 1 else read_size(pair.image)
        if (height, width) != mask.shape:
            raise DataError(
                pair.mask,
                f"is {mask.shape[1]}x{mask.shape[0]} but its image {pair.image.name} is "
                f"{width}x{height}; a mask has its image's size",
            )
        return Sample(pair.name, image, self.labels_of(mask, pair), self.marked(index))

    def read_labels(self, index: int, values: ReadValues = read_values) -> Labels:
        """One sample's labels alone, without a look at its image; see `read`."""
        pair = self.pairs[index]
        return self.labels_of(self.coding.read(pair.mask, values), pair)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def marked(self, index: int) -> Marked | None:
        """The classes marked in a frame, as (classes,) bool; None where all were."""
        marked = self.pairs[index].marked
        if marked is None:
            return None
        return np.isin(np.arange(len(self.label_space)), sorted(marked))

    def labels_of(self, codes: Codes, pair: Pair) -> Labels:
        """The labels behind the codes of a pair's mask.

        Raises:
            DataError: the mask holds a code outside the table.
        """
        foreign = self.coding.foreign(codes)
        if foreign:
            what = "color" if self.coding.by_color else "value"
            raise DataError(
                pair.mask,
                f"holds the {what} {', '.join(map(self.coding.spell, foreign[:5]))}; allowed are "
                f"{self.coding.spell_all()}: correct the mask or the data set's table",
            )
        return only_marked(self.coding.labels(codes), pair, len(self.label_space))


def only_marked(labels: Labels, pair: Pair, classes: int) -> Labels:
    """The labels with IGNORE in place of the classes that were not marked; changed where they are."""
    if pair.marked is not None:
        # A class that was not marked on purpose says nothing about its pixels.
        unmarked = [label for label in range(classes) if label not in pair.marked]
        labels[np.isin(labels, unmarked)] = IGNORE
    return labels


@dataclass(frozen=True)
class Scan:
    """What lies on the disk of a split, before it is judged.

    Attributes:
        dataset: the pairs whose files are both there.
        lacking: images whose mask is missing, with the place where it was expected.
        repeated: pairs with the name of an earlier one, and that one's image.
        orphans: masks without an image.
    """

    dataset: Dataset
    lacking: tuple[Pair, ...] = ()
    repeated: tuple[tuple[Pair, Path], ...] = ()
    orphans: tuple[Path, ...] = ()

    def complete(self) -> Dataset:
        """The data set, if every image has a mask and a name of its own.

        Raises:
            DataError: otherwise, about the first that has not.
        """
        for pair in self.lacking:
            raise DataError(pair.image, f"has no mask: {pair.mask} was expected")
        for pair, earlier in self.repeated:
            raise DataError(pair.image, f"has the stem of {earlier.name}; each image needs a stem of its own")
        return self.dataset


def sort_out(dataset: Dataset, pairs: Iterable[Pair], masks: Iterable[Path] = ()) -> Scan:
    """Tells complete pairs from images without a mask, names that occur twice and masks without an image.

    Args:
        dataset: what the pairs belong to, still without them.
        pairs: every image with the place of its mask.
        masks: every mask on the disk.
    """
    images: dict[str, Path] = {}
    complete: list[Pair] = []
    lacking: list[Pair] = []
    repeated: list[tuple[Pair, Path]] = []
    expected = set()
    for pair in pairs:
        expected.add(pair.mask)
        if pair.name in images:
            repeated.append((pair, images[pair.name]))
            continue
        images[pair.name] = pair.image
        (complete if pair.mask.is_file() else lacking).append(pair)
    orphans = tuple(mask for mask in masks if mask not in expected)
    return Scan(replace(dataset, pairs=tuple(complete)), tuple(lacking), tuple(repeated), orphans)
