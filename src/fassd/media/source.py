"""Finds the images that files, folders and patterns name, and a name for the results of each."""

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
class FoundImage:
    """An image file, and the name of its results: its path below the source, without suffix."""

    path: Path
    relative: Path


def find_images(sources: Sequence[str]) -> list[FoundImage]:
    """The images that `sources` name, in the order of the sources, sorted within a source.

    A file is taken whatever its name. Of folders (with the folders below them, except linked ones, which could form a
    cycle) and patterns (`*.jpg`, `drives/**/*.png`) the files with the suffix of an image are taken, hidden ones
    excepted. A file found twice under one name is taken once.

    Raises:
        FileError: a source does not exist, cannot be listed, or holds no image.
        UsageError: no source, or two images whose results would have one name.
    """
    if not sources or "" in sources:
        raise UsageError("no source is given; name an image, a folder or a pattern such as 'photos/*.jpg'")
    return without_repeats(itertools.chain.from_iterable(map(_expand, sources)))


def without_repeats(images: Iterable[FoundImage]) -> list[FoundImage]:
    """The images in their order, without repetitions.

    Raises:
        UsageError: two images whose results would have one name.
    """
    by_name: dict[Path, FoundImage] = {}
    for found in images:
        other = by_name.setdefault(found.relative, found)
        if other is not found and other.path.resolve() != found.path.resolve():
            problem = f"{other.path} and {found.path} would both be written as '{found.relative}'"
            raise UsageError(f"{problem}; rename one of them, or give them in two runs")
    return list(by_name.values())


def _expand(source: str) -> list[FoundImage]:
    path = Path(source)
    try:
        if path.is_dir():
            return _images(path, "holds", path, _files_below(path))
        if path.exists():  # Before patterns: "photo[1].jpg" is how browsers name a second download.
            return [FoundImage(path, Path(path.name).with_suffix(""))]
        if not glob.has_magic(source):
            raise FileError(path, _missing(path))
    except OSError as error:
        raise FileError(path, f"cannot be reached ({error.strerror}); check path and permissions") from None
    # Unlike Path.glob, this takes absolute patterns, skips hidden files, and lets "**" match files too.
    files = [file for file in map(Path, glob.glob(source, recursive=True)) if file.is_file()]  # noqa: PTH207
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
    return _images(path, "matches", Path(*fixed), files)


def _images(source: Path, verb: str, root: Path, files: Sequence[Path]) -> list[FoundImage]:
    """The files with the suffix of an image, sorted, named by their path below `root`."""
    images = sorted({file for file in files if file.suffix.lower() in SUFFIXES})
    if not images:
        found = "other files but no images" if files else "no files"
        raise FileError(source, f"{verb} {found}; looked for names ending in {', '.join(sorted(SUFFIXES))}")
    return [FoundImage(image, image.relative_to(root).with_suffix("")) for image in images]


def _files_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise FileError(error.filename, f"cannot be listed ({error.strerror}); check its permissions")

    files = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".")]
    return files


def _missing(path: Path) -> str:
    """The message for a path that does not exist; offers the most similar name in its folder."""
    if not path.parent.is_dir():
        return f"does not exist, nor does the folder {path.parent}; check the path"
    names = {entry.name.lower(): entry.name for entry in path.parent.iterdir()}
    near = difflib.get_close_matches(path.name.lower(), names, n=1)
    return f"does not exist; did you mean '{names[near[0]]}'?" if near else "does not exist; check the name"
