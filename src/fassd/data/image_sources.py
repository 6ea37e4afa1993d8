"""The pictures that a source names: a file, a folder, a pattern, or a data set."""

from __future__ import annotations

from pathlib import Path

from fassd.core.errors import FileError
from fassd.core.files import with_home
from fassd.data.open_dataset import names_dataset, scan_dataset, splits_of
from fassd.media.source import Found, find_images


def images_of(source: str) -> list[Found]:
    """The pictures of a file, a folder, a pattern or, "kind:PATH", all splits of a data set.

    Raises:
        FileError: there are none.
        UnknownName: there is no such kind, but one of nearly that name.
    """
    return _of_dataset(source) if names_dataset(source) else find_images([source])


def _of_dataset(spec: str) -> list[Found]:
    """Every image of a data set's splits, with a mask or without."""
    scans = [scan_dataset(spec, split) for split in splits_of(spec)]
    pairs = [pair for scan in scans for pair in (*scan.dataset.pairs, *scan.lacking)]
    if not pairs:
        folder = with_home(spec.partition(":")[2])
        if not folder.is_dir():
            raise FileError(folder, "there is no such folder; give kind:PATH with the data set's folder")
        raise FileError(spec, "holds no images of this kind of data set; see 'fassd data check'")
    return [Found(pair.image, Path(pair.name)) for pair in pairs]
