"""The kinds of data sets, one row each, and how `kind:PATH` becomes one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fassd.core.errors import UnknownName, UsageError
from fassd.core.labels import LabelSpace
from fassd.data.camvid import open_camvid
from fassd.data.cityscapes import open_cityscapes
from fassd.data.dataset import Dataset
from fassd.data.folder import open_folder

KINDS: dict[str, Callable[[str, Path, str, LabelSpace | None], Dataset]] = {
    "cityscapes": open_cityscapes,
    "camvid": open_camvid,
    "folder": open_folder,
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
    kind, separator, path = spec.partition(":")
    if not separator or not path:
        raise UsageError(f"--data {spec}: expected kind:PATH with kind one of {', '.join(KINDS)}")
    if kind not in KINDS:
        raise UnknownName("kind of data set", kind, KINDS)
    return KINDS[kind](spec, Path(path).expanduser(), split, into)


def open_together(specs: Sequence[str], split: str) -> list[Dataset]:
    """Several data sets in the label space of the first.

    Raises:
        UsageError, DataError, FileError: as `open_dataset`.
    """
    first = open_dataset(specs[0], split)
    return [first, *(open_dataset(spec, split, first.label_space) for spec in specs[1:])]
