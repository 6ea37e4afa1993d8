"""Opens a data set by its name, `kind:PATH`; the table of kinds."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fassd.core.errors import UnknownName, UsageError
from fassd.core.files import with_home
from fassd.core.labels import LabelSpace
from fassd.data.camvid import camvid_splits, scan_camvid
from fassd.data.cityscapes import cityscapes_splits, scan_cityscapes
from fassd.data.dataset import Dataset, Scan
from fassd.data.folder import folder_splits, scan_folder


@dataclass(frozen=True)
class Kind:
    """A layout of labeled images on disk.

    Attributes:
        scan: (spec, folder, split, label space to translate into or None) -> the files of the split.
        splits: folder -> its splits.
    """

    scan: Callable[[str, Path, str, LabelSpace | None], Scan]
    splits: Callable[[Path], list[str]]


KINDS = {
    "cityscapes": Kind(scan_cityscapes, cityscapes_splits),
    "camvid": Kind(scan_camvid, camvid_splits),
    "folder": Kind(scan_folder, folder_splits),
}


def open_dataset(spec: str, split: str, into: LabelSpace | None = None) -> Dataset:
    """The data set that "kind:PATH" names.

    Args:
        spec: for example "camvid:data/camvid" or "folder:data/mine".
        split: for example "train".
        into: the label space to translate the labels into; None keeps the data set's own.

    Raises:
        UsageError: the kind is missing or unknown, or there is no table into the label space.
        DataError, FileError: the files do not have the layout of the kind.
    """
    return scan_dataset(spec, split, into).complete()


def scan_dataset(spec: str, split: str, into: LabelSpace | None = None) -> Scan:
    """The files of a split of "kind:PATH", incomplete pairs included.

    Raises:
        UsageError, DataError, FileError: as `open_dataset`, except for incomplete pairs.
    """
    kind, root = _kind_and_root(spec)
    return kind.scan(spec, root, split, into)


def splits_of(spec: str) -> list[str]:
    """The splits of "kind:PATH", in the order of its description, or else sorted.

    Raises:
        UsageError: the kind is missing or unknown.
        FileError: the description is missing or wrong.
    """
    kind, root = _kind_and_root(spec)
    return kind.splits(root)


def names_dataset(source: str) -> bool:
    """Whether a source of images is a data set, "kind:PATH", and not a file, folder or pattern.

    Raises:
        UnknownName: the kind is misspelled.
    """
    kind, separator, _ = source.partition(":")
    if not separator or Path(source).exists():
        return False
    if kind not in KINDS and difflib.get_close_matches(kind, KINDS):
        raise UnknownName("kind of data set", kind, KINDS)
    return kind in KINDS


def _kind_and_root(spec: str) -> tuple[Kind, Path]:
    kind, separator, path = spec.partition(":")
    if not separator or not path:
        example = f", such as folder:{spec}" if spec and not separator and spec not in KINDS else ""
        raise UsageError(f"'{spec}' is not a data set; expected kind:PATH with kind one of {', '.join(KINDS)}{example}")
    if kind not in KINDS:
        raise UnknownName("kind of data set", kind, KINDS)
    return KINDS[kind], with_home(path)


def open_together(specs: Sequence[str], split: str) -> list[Dataset]:
    """Several data sets in the label space of the first.

    Raises:
        UsageError, DataError, FileError: as `open_dataset`.
    """
    first = open_dataset(specs[0], split)
    return [first, *(open_dataset(spec, split, first.label_space) for spec in specs[1:])]
