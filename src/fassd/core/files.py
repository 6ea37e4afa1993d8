"""Atomic writing of files, and paths in the home folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fassd.core.errors import FileError


def with_home(path: str | Path) -> Path:
    """A path with a leading "~" or "~name" expanded; unchanged if there is no such home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (`Path.expanduser` raises where there is no home)


def user_cache_folder() -> Path | None:
    """$XDG_CACHE_HOME/fassd, else ~/.cache/fassd; None if there is no home folder.

    There is no other choice: in a folder that all users can write, others could leave files for us.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fassd"
    home = with_home("~")
    return home / ".cache/fassd" if home.is_absolute() else None


def cannot_be_written(path: Path, reason: str) -> FileError:
    """The error of a file that cannot be written."""
    return FileError(path, f"cannot be written ({reason}); choose another folder or make room")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` once the block has succeeded.

    The data is flushed to disk before the rename, so a crash leaves either the old file or the new one, intact.

    Raises:
        FileError: the folder cannot be made or written.
    """
    # Named before it exists, so that it can be removed after Ctrl-C at any moment.
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise cannot_be_written(path, error.strerror or str(error)) from None
    finally:
        # If the parent is a file, nothing was created in it.
        with suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Checks that a file could be written, before hours of work are lost; leaves nothing behind.

    Raises:
        FileError: the folder cannot be made or written.
    """
    probe = path.with_name(f".{secrets.token_hex(8)}")
    made: list[Path] = []
    try:
        made += [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
    except OSError as error:
        raise cannot_be_written(path, error.strerror or str(error)) from None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
