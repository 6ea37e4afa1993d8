"""A data set: a list of image and mask files, and the encoding of its masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fassd.core.arrays import IGNORE, Labels, MaskValues
from fassd.core.errors import DataError
from fassd.core.labels import LabelSpace
from fassd.core.types import AnnotatedClasses, Sample
from fassd.data.mask_encoding import MaskEncoding, ReadValues
from fassd.media.images import read_image, read_size
from fassd.media.masks import read_values


@dataclass(frozen=True)
class Pair:
    """An image file, its mask file, and the annotated classes, in the data set's label space; None means all."""

    name: str
    image: Path
    mask: Path
    annotated: frozenset[int] | None = None


@dataclass(frozen=True)
class Dataset:
    """Labeled images in a stable order.

    Attributes:
        spec: how the user named it, "kind:PATH".
        split: the name of the split.
        label_space: the classes of its samples.
        encoding: the class behind each mask value; unknown values are refused.
        pairs: the files.
        terms: the license, or what its owners allow.
    """

    spec: str
    split: str
    label_space: LabelSpace
    encoding: MaskEncoding
    pairs: tuple[Pair, ...]
    terms: str = ""

    @property
    def name(self) -> str:
        """The name of the folder it lies in."""
        return Path(self.spec.partition(":")[2]).resolve().name

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """One sample, read from its files; see `read`."""
        return self.read(index)

    def read(self, index: int, factor: float = 1.0, read_numbers: ReadValues = read_values) -> Sample:
        """One sample, read from its files.

        Args:
            index: of the pair.
            factor: the largest factor by which the image will be resized; it may come reduced, see `read_image`.
            read_numbers: reads masks that hold numbers.

        Raises:
            ImageError: the image or the mask is damaged.
            DataError: the sizes differ, or the mask holds an unknown value.
        """
        pair = self.pairs[index]
        image, mask = read_image(pair.image, factor), self.encoding.read(pair.mask, read_numbers)
        height, width = image.shape[:2] if factor >= 1 else read_size(pair.image)
        if (height, width) != mask.shape:
            raise DataError(
                pair.mask,
                f"is {mask.shape[1]}x{mask.shape[0]} but its image {pair.image.name} is "
                f"{width}x{height}; the two must have one size",
            )
        return Sample(pair.name, image, self.labels_of(mask, pair), self.annotated(index))

    def read_labels(self, index: int, read_numbers: ReadValues = read_values) -> Labels:
        """One sample's labels, without reading its image; see `read`."""
        pair = self.pairs[index]
        return self.labels_of(self.encoding.read(pair.mask, read_numbers), pair)

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def annotated(self, index: int) -> AnnotatedClasses | None:
        """(classes,) bool: the classes that were annotated in a frame; None means all."""
        annotated = self.pairs[index].annotated
        if annotated is None:
            return None
        return np.isin(np.arange(len(self.label_space)), sorted(annotated))

    def labels_of(self, values: MaskValues, pair: Pair) -> Labels:
        """The labels behind the values of a pair's mask; classes that were not annotated become IGNORE.

        Raises:
            DataError: the mask holds an unknown value.
        """
        unknown = self.encoding.unknown(values)
        if unknown:
            what = "color" if self.encoding.by_color else "value"
            raise DataError(
                pair.mask,
                f"holds the {what} {', '.join(map(self.encoding.spell, unknown[:5]))}; allowed are "
                f"{self.encoding.spell_all()}: correct the mask or the data set's description",
            )
        return ignore_unannotated(self.encoding.labels(values), pair, len(self.label_space))


def ignore_unannotated(labels: Labels, pair: Pair, classes: int) -> Labels:
    """Sets labels of classes that were not annotated to IGNORE, in place."""
    if pair.annotated is not None:
        # Where such a class occurs by accident, its labels are not reliable.
        unannotated = [label for label in range(classes) if label not in pair.annotated]
        labels[np.isin(labels, unannotated)] = IGNORE
    return labels


@dataclass(frozen=True)
class Scan:
    """The files of a split as found on disk, complete or not.

    Attributes:
        dataset: the pairs whose two files exist.
        lacking: pairs whose mask does not exist.
        repeated: pairs with the name of an earlier pair, with the earlier pair's image.
        orphans: masks without an image.
    """

    dataset: Dataset
    lacking: tuple[Pair, ...] = ()
    repeated: tuple[tuple[Pair, Path], ...] = ()
    orphans: tuple[Path, ...] = ()

    def complete(self) -> Dataset:
        """The data set, if every image has a mask and a unique name.

        Raises:
            DataError: otherwise, about the first image that has not.
        """
        for pair in self.lacking:
            raise DataError(pair.image, f"has no mask: {pair.mask} was expected")
        for pair, earlier in self.repeated:
            raise DataError(pair.image, f"has the stem of {earlier.name}; every image needs a unique stem")
        return self.dataset


def sort_out(dataset: Dataset, pairs: Iterable[Pair], masks: Iterable[Path] = ()) -> Scan:
    """Separates complete pairs from images without a mask, repeated names and masks without an image.

    Args:
        dataset: what the pairs belong to, itself without pairs.
        pairs: every image with the path its mask should have.
        masks: every mask on disk.
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


def file_list_digest(datasets: Sequence[Dataset]) -> str:
    """SHA-256 of the list of files, in order: the name of every pair, and the names and sizes of its files.

    It stays the same when a data set is moved, and changes when a file is added, removed, renamed, or rewritten with
    another size. Contents are not read: that would take minutes on large data sets.

    Raises:
        DataError: a file is missing.
    """
    digest = hashlib.sha256()
    for dataset in datasets:
        digest.update(f"{dataset.split} {len(dataset)} {' '.join(dataset.label_space.names)}\n".encode())
        for pair in dataset.pairs:
            files = " ".join(f"{path.name} {file_size(path)}" for path in (pair.image, pair.mask))
            digest.update(f"{pair.name} {files}\n".encode())
    return digest.hexdigest()


def file_size(path: Path) -> int:
    """Bytes.

    Raises:
        DataError: the file is missing.
    """
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}); is the disk with the data still there?") from None
