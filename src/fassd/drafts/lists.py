"""Finds text files of an unknown folder that list its pairs, or the images of its splits."""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fassd.drafts.groups import split_in
from fassd.drafts.pairs import PairPaths
from fassd.media.formats import SUFFIXES

DRAFTED = "# Drafted by fassd data init"
"""The first words of every drafted file."""

_MAX_DEPTH, _MAX_BYTES, _ENOUGH = 4, 50_000_000, 0.8


@dataclass(frozen=True)
class _List:
    """A text file whose lines name files: its place, the split in its name, and the fields of its lines."""

    place: PurePosixPath
    split: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Listed:
    """The pairs of some lists.

    Attributes:
        pairs: in the order of the lists.
        lists: their places.
        lost: number of lines that name no pair.
        pattern: the value of `pairs` in `dataset.toml`, if the lists can be used unchanged; otherwise "".
    """

    pairs: tuple[PairPaths, ...]
    lists: tuple[PurePosixPath, ...]
    lost: int
    pattern: str = ""


def listed_pairs(root: Path) -> Listed | None:
    """The pairs of lists with two files a line; None without such lists."""
    best: Listed | None = None
    for alike in _alike(root).values():
        pairs, lost, plain = [], 0, True
        for one in alike:
            base = root / one.place.parent
            for row in one.rows:
                image, mask = (_below(root, base, text) for text in (*row, "", "")[:2])
                if image is None or mask is None:
                    lost += 1
                    continue
                pairs.append((one.split, image, mask))
                plain &= len(row) == 2 and (root / row[0]).is_file() and (root / row[1]).is_file()
        plain &= not lost and all(_is_plain(root / one.place) for one in alike)
        if pairs and len(pairs) >= _ENOUGH * (len(pairs) + lost) and (best is None or len(pairs) > len(best.pairs)):
            places = tuple(one.place for one in alike)
            pattern = places[0].with_name(split_in(places[0].stem)[0] + places[0].suffix).as_posix()
            best = Listed(tuple(pairs), places, lost, pattern if plain else "")
    return best


def listed_splits(root: Path, pairs: tuple[PairPaths, ...]) -> Listed | None:
    """The pairs with their splits by lists of names; None without such lists."""
    by_stem: dict[str, list[PairPaths]] = defaultdict(list)
    for pair in pairs:
        image = pair[1]
        for name in {image.stem, image.with_suffix("").as_posix()}:
            by_stem[name].append(pair)
    found = []
    for alike in _alike(root).values():
        sorted_pairs, lost = [], 0
        for one in alike:
            for row in one.rows:
                matches = by_stem.get(_name(row[0]), []) or by_stem.get(PurePosixPath(_name(row[0])).name, [])
                lost += len(matches) != 1
                sorted_pairs += [(one.split, image, mask) for _, image, mask in matches[:1] if len(matches) == 1]
        if all(one.split for one in alike) and len(sorted_pairs) >= _ENOUGH * (len(sorted_pairs) + lost) > 0:
            found.append(Listed(tuple(sorted_pairs), tuple(one.place for one in alike), lost))
    return max(found, key=lambda listed: (len(listed.pairs), "seg" in str(listed.lists[0]).lower()), default=None)


def _alike(root: Path) -> dict[PurePosixPath, list[_List]]:
    """Lists by their place without the split: train.txt and val.txt belong together."""
    found: dict[PurePosixPath, list[_List]] = defaultdict(list)
    for one in _lists(root):
        found[one.place.with_name(split_in(one.place.stem)[0] + one.place.suffix)].append(one)
    return found


def _lists(root: Path) -> Iterator[_List]:
    for place, below, names in os.walk(root):
        folder = Path(place).relative_to(root)
        below[:] = sorted(name for name in below if name[0] != ".") if len(folder.parts) < _MAX_DEPTH else []
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix.lower() not in (".txt", ".csv", ".tsv", ".lst") or not path.is_file():
                continue
            try:
                text = path.read_text(encoding="utf-8-sig") if path.stat().st_size <= _MAX_BYTES else ""
                rows = tuple(_fields(line) for line in text.splitlines() if line.strip() and not line.startswith("#"))
            except (OSError, UnicodeDecodeError, csv.Error):
                continue
            if rows and not text.startswith(DRAFTED):
                yield _List(PurePosixPath((folder / name).as_posix()), split_in(path.stem)[1], rows)


def _fields(line: str) -> tuple[str, ...]:
    for separator in (",", "\t"):
        if separator in line:
            return tuple(field.strip() for field in next(csv.reader([line], delimiter=separator)))
    return tuple(line.split())


def _is_plain(path: Path) -> bool:
    """Whether every line is "image,mask", as `dataset.toml` requires."""
    return "\t" not in (text := path.read_text(encoding="utf-8-sig")) and all(
        line.count(",") == 1 for line in text.splitlines() if line.strip() and not line.startswith("#")
    )


def _below(root: Path, base: Path, text: str) -> PurePosixPath | None:
    """The image file that a list names, relative to the root; None if there is none."""
    if Path(text).suffix.lower() not in SUFFIXES or ".." in Path(text).parts or "\0" in text:
        return None
    for start in (root, base):
        path = start / text.lstrip("/")
        try:
            if path.is_file():
                return PurePosixPath(path.relative_to(root).as_posix())
        except OSError:  # for example, a name that is too long
            return None
    return None


def _name(text: str) -> str:
    """A name without the suffix of an image format."""
    return str(Path(text).with_suffix("")) if Path(text).suffix.lower() in SUFFIXES else text
