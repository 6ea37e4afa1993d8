"""The kinds of data sets, one row each, and how `kind:PATH` becomes one."""

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
    """One way to lay out labeled images on disk.

    Attributes:
        scan: what lies in a split, from how the user named the set, its folder, the split, and the label space to
            answer in.
        splits: the splits that a folder has.
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
        split: which part, for example "train".
        into: the label space to answer in; None keeps the data set's own.

    Raises:
        UsageError: no kind or an unknown one, or no table into the label space.
        DataError, FileError: the files are not as the kind describes them.
    """
    return scan_dataset(spec, split, into).complete()


def scan_dataset(spec: str, split: str, into: LabelSpace | None = None) -> Scan:
    """What lies in a split of "kind:PATH", incomplete pairs included.

    Raises:
        UsageError, DataError, FileError: as `open_dataset`, but for incomplete pairs.
    """
    kind, root = _kind_and_root(spec)
    return kind.scan(spec, root, split, into)


def splits_of(spec: str) -> list[str]:
    """The splits that "kind:PATH" has, in the order in which its owners name them or else of their names.

    Raises:
        UsageError: no kind or an unknown one.
        FileError: the description is missing or wrong.
    """
    kind, root = _kind_and_root(spec)
    return kind.splits(root)


def names_dataset(source: str) -> bool:
    """Whether a source of pictures is a data set, "kind:PATH", and no file, folder or pattern.

    Raises:
        UnknownName: nearly; the kind is misspelt.
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
        raise UsageError(f"'{spec}' names no data set: expected kind:PATH with kind one of {', '.join(KINDS)}{example}")
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
