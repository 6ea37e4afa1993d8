"""Compiled graphs on disk, so that the next process starts sooner.

A graph is found again only under the same key: content of the weights, size, precision, versions, processor. Damaged
files are replaced; where nothing can be written, nothing is kept. The folder is $FASSD_CACHE, else the user's cache
(see `user_cache_folder`), and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from fassd.core.errors import FileError
from fassd.core.files import user_cache_folder, with_home, written_whole

_LIMIT = 256 * 2**20
_DIGEST_BYTES = 32


def cache_folder() -> Path | None:
    """Where compiled graphs are kept; None where there is no place for them."""
    if named := os.environ.get("FASSD_CACHE"):
        return with_home(named)
    return user_cache_folder()


def key_of(*parts: object) -> str:
    """A file name for everything that a compiled graph depends on."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:40]


def load(key: str) -> bytes | None:
    """What was stored under a key, or None: nothing was, or it is damaged."""
    path = _path(key)
    if path is None:
        return None
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        forget(key)
        return None
    with suppress(OSError):
        os.utime(path)  # the oldest are dropped first, by when they were last of use
    return content


def store(key: str, content: bytes) -> None:
    """Keeps a compiled graph; a disk that is full or closed to us only costs the next start some time."""
    path = _path(key)
    if path is None:
        return
    with suppress(FileError, OSError):
        with written_whole(path) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
        _drop_oldest(path.parent)


def forget(key: str) -> None:
    """Removes what was stored under a key."""
    if (path := _path(key)) is not None:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _path(key: str) -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / "graphs" / f"{key}.blob"


def _drop_oldest(folder: Path) -> None:
    kept = 0
    ages = [(file.stat().st_mtime, file.stat().st_size, file) for file in folder.glob("*.blob")]
    for _, size, file in sorted(ages, reverse=True):
        kept += size
        if kept > _LIMIT:
            file.unlink(missing_ok=True)
