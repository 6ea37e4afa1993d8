"""Compiled graphs on disk, so that the next process starts sooner.

A graph is found again only under the same key: content of the weights, size, precision, versions, processor. What is
damaged is made anew; where nothing can be written, nothing is kept. The folder is $FASSD_CACHE, else
$XDG_CACHE_HOME/fassd, else ~/.cache/fassd, and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from fassd.core.errors import FileError
from fassd.core.files import written_whole

_LIMIT = 256 * 2**20
_DIGEST_BYTES = 32


def cache_folder() -> Path:
    """Where compiled graphs are kept."""
    if named := os.environ.get("FASSD_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fassd"


def key_of(*parts: object) -> str:
    """A file name for everything that a compiled graph depends on."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:40]


def load(key: str) -> bytes | None:
    """What was stored under a key, or None: nothing was, or it is damaged."""
    path = _path(key)
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
    with suppress(FileError, OSError):
        with written_whole(_path(key)) as temporary:
            temporary.write_bytes(hashlib.sha256(content).digest() + content)
        _drop_oldest()


def forget(key: str) -> None:
    """Removes what was stored under a key."""
    with suppress(OSError):
        _path(key).unlink(missing_ok=True)


def _path(key: str) -> Path:
    return cache_folder() / "graphs" / f"{key}.blob"


def _drop_oldest() -> None:
    kept = 0
    ages = [(file.stat().st_mtime, file.stat().st_size, file) for file in _path("").parent.glob("*.blob")]
    for _, size, file in sorted(ages, reverse=True):
        kept += size
        if kept > _LIMIT:
            file.unlink(missing_ok=True)
