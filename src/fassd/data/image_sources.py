"""Finds the images that a source names: a file, a folder, a pattern, or a data set."""

from __future__ import annotations

from pathlib import Path

from fassd.core.errors import FileError
from fassd.core.files import with_home
from fassd.data.open_dataset import names_dataset, scan_dataset, splits_of
from fassd.media.source import FoundImage, find_images


def images_of(source: str) -> list[FoundImage]:
    """The images of a file, a folder, a pattern or a data set, "kind:PATH".

    Of a data set these are the images of all splits, with a mask or without.

    Raises:
        FileError: there are none.
        UnknownName: there is no such kind, but one of nearly that name.
    """
    if not names_dataset(source):
        return find_images([source])
    scans = [scan_dataset(source, split) for split in splits_of(source)]
    pairs = [pair for scan in scans for pair in (*scan.dataset.pairs, *scan.lacking)]
    if not pairs:
        folder = with_home(source.partition(":")[2])
        if not folder.is_dir():
            raise FileError(folder, "there is no such folder; give kind:PATH with the data set's folder")
        raise FileError(source, "holds no images of this kind of data set; see 'fassd data check'")
    return [FoundImage(pair.image, Path(pair.name)) for pair in pairs]
