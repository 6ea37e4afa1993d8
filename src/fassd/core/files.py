"""Files: writing them whole or not at all, and finding those that lie at home."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fassd.core.errors import FileError


def with_home(path: str | Path) -> Path:
    """A path with the "~" or "~name" that it begins with spelled out; as it was given where they have no home."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 (`Path.expanduser` raises where there is no home)


def user_cache_folder() -> Path | None:
    """$XDG_CACHE_HOME/fassd, else ~/.cache/fassd; None for those who have no home.

    They have no cache: in a folder that all can write, others could leave files for us.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fassd"
    home = with_home("~")
    return home / ".cache/fassd" if home.is_absolute() else None


def cannot_be_written(path: Path, reason: str) -> FileError:
    """What to say of a file that was to be written."""
    return FileError(path, f"cannot be written ({reason}); choose another folder or make room")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, and renames it to `path` once the block has succeeded.

    The data is flushed to the disk before the rename, so that a crash leaves either the old file or the new one.

    Raises:
        FileError: the folder cannot be made or written.
    """
    # Named before it exists, so that Ctrl-C at any moment finds something to remove.
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
        # Where the folder that was asked for is a file, nothing was made in it.
        with suppress(NotADirectoryError):
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Refuses, before hours are spent, a file that could not be written afterwards; leaves nothing behind.

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
