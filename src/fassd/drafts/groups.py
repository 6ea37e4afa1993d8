"""Groups the image files of an unknown folder by place and name, and distinguishes photos from masks."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

import numpy as np

from fassd.core.errors import FassdError
from fassd.core.numbers import evenly_spaced
from fassd.media.formats import SUFFIXES, opened

Folder: TypeAlias = tuple[str, ...]
"""The parts of a path below the root, with SPLIT in place of the name of a split."""

SPLIT = "{split}"
USUAL_SPLITS = {
    "training": "train",
    "train": "train",
    "validation": "val",
    "valid": "val",
    "val": "val",
    "testing": "test",
    "test": "test",
}
"""Common names of splits, and their names here."""
_SPLIT_PART = re.compile(
    rf"(?P<before>|.*[_\-. ])(?P<split>{'|'.join(USUAL_SPLITS)})"
    r"(?P<after>|[_\-. \d].*|(?:annot|annotation|mask|label|gt|img|image)s?\d*)",
    re.IGNORECASE,
)
_MASK_WORDS = re.findall(
    r"\w+",
    "mask masks label labels lbl annot annots annotation annotations ann anns gt groundtruth truth seg segs "
    "segmentation target targets l labelids labeltrainids trainids gtfine gtcoarse classes color colour colored "
    "coloured instanceids instances semantic overlay",
)
_IMAGE_WORDS = re.findall(r"\w+", "image images img imgs leftimg8bit photo photos rgb frame frames input inputs sat")
_WORD = "|".join(sorted(_MASK_WORDS + _IMAGE_WORDS, key=len, reverse=True))
# A separator or a digit sets a word apart: a_mask, 0017gt, mask_3, img12.
_ENDING = re.compile(rf"(?:(?:[_\-. ]|(?<=\d))(?:{_WORD}))+$", re.IGNORECASE)
_BEGINNING = re.compile(rf"^(?:(?:{_WORD})(?:[_\-. ]|(?=\d)))+", re.IGNORECASE)
_MASK_PLACE = re.compile(r"mask|label|annot|^anns?$|^gt|_gt|truth|seg|target|lbl", re.IGNORECASE)
_MAX_DEPTH, _OPENED = 8, 4
_FLAT = 0.75
_MAX_CODES = 400

Content = Literal["photos", "masks", "unknown"]


@dataclass(frozen=True)
class Item:
    """An image file.

    Attributes:
        path: below the root.
        folder: of the path, with SPLIT in place of a split's name.
        split: that name as written; "" where there is none.
        beginning: the common start of the stems of its group, such as "mask_".
        middle: the stem without beginning and ending.
        ending: the common end of the stems of its group, such as "_mask".
    """

    path: PurePosixPath
    folder: Folder
    split: str
    beginning: str
    middle: str
    ending: str


@dataclass(frozen=True)
class Group:
    """Files named alike in one folder, or in the folders of several splits."""

    items: tuple[Item, ...]
    content: Content


def groups_below(root: Path) -> list[Group]:
    """All image files below a folder in groups, without hidden ones; at most 8 folders deep."""
    found: dict[tuple[Folder, str, str, str], list[Item]] = defaultdict(list)
    for folder, names in _folders(root):
        template, split = _template(folder)
        by_suffix: dict[str, list[str]] = defaultdict(list)
        for name in names:
            by_suffix[Path(name).suffix].append(name)
        for suffix, alike in by_suffix.items():
            stems = [name.removesuffix(suffix) for name in alike]
            for name, (beginning, middle, ending) in zip(alike, _affixes(stems), strict=True):
                item = Item(PurePosixPath(*folder, name), template, split, beginning, middle, ending)
                found[template, beginning, ending, suffix].append(item)
    contents: dict[tuple[Folder, str, str, str], Content] = {}
    groups = []
    for (folder, beginning, ending, suffix), items in found.items():
        # Folders that differ only in numbers, such as those of drives, have the same content; there may be thousands.
        place = (tuple(re.sub(r"\d+", "#", part) for part in folder), beginning, ending, suffix)
        if place not in contents:
            contents[place] = _content(root, items)
        groups.append(Group(tuple(items), contents[place]))
    return groups


def split_in(name: str) -> tuple[str, str]:
    """A name with SPLIT in place of the split in it, and that split; the name and "" without one."""
    match = _SPLIT_PART.fullmatch(name)
    if not match:
        return name, ""
    return f"{match['before']}{SPLIT}{match['after']}", match["split"]


def _folders(root: Path) -> Iterator[tuple[Folder, list[str]]]:
    """Each folder with the image files in it, in order. Links to folders are followed once."""
    seen = set()
    for place, below, names in os.walk(root, followlinks=True):
        folder = Path(place).relative_to(root).parts
        real = Path(place).resolve()
        if real in seen or len(folder) >= _MAX_DEPTH:
            below.clear()
        if real in seen:
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        images = sorted(name for name in names if Path(name).suffix.lower() in SUFFIXES and name[0] != ".")
        if images:
            yield folder, images


def _template(folder: Folder) -> tuple[Folder, str]:
    """A folder with SPLIT in place of the first split in its name, and that split."""
    split = next((found for _, found in map(split_in, folder) if found), "")
    if not split:
        return folder, ""
    parts = (split_in(part) for part in folder)
    return tuple(new if found == split else old for old, (new, found) in zip(folder, parts, strict=True)), split


def _affixes(stems: list[str]) -> list[tuple[str, str, str]]:
    """Beginning, middle and ending of each stem."""
    shared = _shared_ending(stems)
    cut = []
    for stem in stems:
        if stem.lower() in (*_MASK_WORDS, *_IMAGE_WORDS):
            cut.append(("", "", stem))  # one folder for each pair: 17/img.png, 17/label.png
            continue
        match = _ENDING.search(stem)
        ending = max(match.group() if match else "", shared, key=len)
        rest = stem.removesuffix(ending)
        head = _BEGINNING.match(rest)
        beginning = head.group() if head and head.group() != rest else ""
        cut.append((beginning, rest.removeprefix(beginning), ending) if rest else ("", stem, ""))
    return cut


def _shared_ending(stems: list[str]) -> str:
    """The common end of all stems from a separator on, such as "_final"; "" if there is none or it is a number."""
    if len(stems) < 3:
        return ""
    backwards = zip(*(reversed(stem) for stem in stems), strict=False)
    length = sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, backwards))
    match = re.search(r"[_\-. ][A-Za-z].*$", stems[0][len(stems[0]) - length :])
    return match.group() if match else ""


def _content(root: Path, items: list[Item]) -> Content:
    """The content of most of a few files; names decide where pixels do not."""
    votes = [
        vote
        for place in evenly_spaced(len(items), _OPENED)
        if (vote := _looks_like(root / items[place].path)) != "unknown"
    ]
    first = items[0]
    named_mask = bool(_MASK_PLACE.search("/".join(first.folder)) or _is_mask_word(first.beginning + first.ending))
    if not votes or (votes.count("masks") > 0 and named_mask):
        return "masks" if named_mask else (votes[0] if votes else "unknown")
    return "masks" if votes.count("masks") * 2 > len(votes) else "photos"


def _is_mask_word(affix: str) -> bool:
    return any(word.lower() in _MASK_WORDS for word in re.split(r"[_\-. ]", affix) if word)


def _looks_like(path: Path) -> Content:
    """The content of a file by its pixels: masks have few values, mostly equal among neighbors."""
    try:
        with opened(path) as header:
            if header.format.name == "JPEG":
                return "photos"
            pixels = np.array(header.upright())
    except FassdError:
        return "unknown"
    pixels = pixels[..., :3] if pixels.ndim == 3 else pixels[..., None]
    pixels = pixels[:: max(1, len(pixels) // 256)].astype(np.int64)
    values = (pixels * [1 << 16 * place for place in range(pixels.shape[2])]).sum(-1)
    if values.shape[1] < 2:
        return "unknown"
    flat = float(np.mean(values[:, 1:] == values[:, :-1]))
    return "masks" if flat > _FLAT and len(np.unique(values)) <= _MAX_CODES else "photos"
