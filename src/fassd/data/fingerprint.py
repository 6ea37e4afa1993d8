"""What identifies the files of data sets: a digest by which changed data are noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fassd.core.errors import DataError
from fassd.data.dataset import Dataset


def digest_of(datasets: Sequence[Dataset]) -> str:
    """SHA-256 of the list of files, in order: the name of each image, and the name and size of both of its files.

    It stays when a data set moves, and changes with any file that is added, taken away, renamed or rewritten at
    another size. Contents are not read: that would take minutes on large sets.

    Raises:
        DataError: a file vanished.
    """
    digest = hashlib.sha256()
    for dataset in datasets:
        digest.update(f"{dataset.split} {len(dataset)} {' '.join(dataset.label_space.names)}\n".encode())
        for pair in dataset.pairs:
            files = " ".join(f"{path.name} {_size(path)}" for path in (pair.image, pair.mask))
            digest.update(f"{pair.name} {files}\n".encode())
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}); is the disk with the data still there?") from None
