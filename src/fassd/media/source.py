"""Where pictures come from: files, patterns and folders, expanded into a list with a name for each result."""

from __future__ import annotations

import difflib
import glob
import itertools
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fassd.core.errors import FileError, UsageError
from fassd.media.formats import SUFFIXES


@dataclass(frozen=True)
class Found:
    """A picture to read, and the name of its results: its place below what was asked for, without suffix."""

    path: Path
    relative: Path


def find_images(sources: Sequence[str]) -> list[Found]:
    """The pictures that `sources` name, in the order of the sources and sorted within each.

    A file counts whatever its name. Folders (with all folders below, but for linked ones, which could form a
    circle) and patterns (`*.jpg`, `drives/**/*.png`) give the files that are named like pictures and are not
    hidden. A file that is found twice under one name counts once.

    Raises:
        FileError: a source does not exist, cannot be listed, or holds no picture.
        UsageError: no source at all, or two pictures whose results would have one name.
    """
    if not sources or "" in sources:
        raise UsageError("no source is given; name a picture, a folder or a pattern such as 'photos/*.jpg'")
    return without_repeats(itertools.chain.from_iterable(map(_expand, sources)))


def without_repeats(pictures: Iterable[Found]) -> list[Found]:
    """The pictures in their order, each once.

    Raises:
        UsageError: two pictures whose results would have one name.
    """
    by_name: dict[Path, Found] = {}
    for found in pictures:
        other = by_name.setdefault(found.relative, found)
        if other is not found and other.path.resolve() != found.path.resolve():
            problem = f"{other.path} and {found.path} would both be written as '{found.relative}'"
            raise UsageError(f"{problem}; rename one of them or give them in two runs")
    return list(by_name.values())


def _expand(source: str) -> list[Found]:
    path = Path(source)
    try:
        if path.is_dir():
            return _pictures(path, "holds", path, _files_below(path))
        if path.exists():  # Before patterns: "photo[1].jpg" is how browsers name a second download.
            return [Found(path, Path(path.name).with_suffix(""))]
        if not glob.has_magic(source):
            raise FileError(path, _missing(path))
    except OSError as error:
        raise FileError(path, f"cannot be reached ({error.strerror}); check path and permissions") from None
    # Unlike Path.glob, this takes absolute patterns, skips hidden files, and lets "**" match files too.
    files = [file for file in map(Path, glob.glob(source, recursive=True)) if file.is_file()]  # noqa: PTH207
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
    return _pictures(path, "matches", Path(*fixed), files)


def _pictures(source: Path, verb: str, root: Path, files: Sequence[Path]) -> list[Found]:
    """Those of the files that are named like pictures, sorted, each with its name below `root`."""
    pictures = sorted({file for file in files if file.suffix.lower() in SUFFIXES})
    if not pictures:
        found = "other files but no pictures" if files else "no files"
        raise FileError(source, f"{verb} {found}; looked for names ending in {', '.join(sorted(SUFFIXES))}")
    return [Found(picture, picture.relative_to(root).with_suffix("")) for picture in pictures]


def _files_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise FileError(error.filename, f"cannot be listed ({error.strerror}); check its permissions")

    files = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return files


def _missing(path: Path) -> str:
    """What to say of a path that does not exist: the most similar name beside it, if any is similar."""
    if not path.parent.is_dir():
        return f"does not exist, nor does the folder {path.parent}; check the path"
    names = {entry.name.lower(): entry.name for entry in path.parent.iterdir()}
    near = difflib.get_close_matches(path.name.lower(), names, n=1)
    return f"does not exist; did you mean '{names[near[0]]}'?" if near else "does not exist; check the name"
