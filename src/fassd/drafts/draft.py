"""Drafts a `dataset.toml` from what lies in a folder, and says what is unsure about it."""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError
from fassd.data.description import WHOLE, Description
from fassd.data.folder import scan_described
from fassd.data.mask_encoding import value_of_color
from fassd.drafts.classes import IGNORED, Meaning, meaning_of, spell
from fassd.drafts.groups import SPLIT, USUAL_SPLITS
from fassd.drafts.lists import DRAFTED, Listed, listed_pairs, listed_splits
from fassd.drafts.masks import Survey, survey_masks
from fassd.drafts.pairs import Files, Found, find_pairs
from fassd.drafts.tables import class_tables

_LISTS = f"pairs/{SPLIT}.csv"


@dataclass(frozen=True)
class Draft:
    """A description and how it came about.

    Attributes:
        text: for `dataset.toml`.
        lists: further files to be written, by their place below the folder.
        decided: what was decided: key and value, as a person would read them.
        unsure: what the user is to look at, in sentences.
    """

    text: str
    lists: dict[str, str]
    decided: tuple[tuple[str, str], ...]
    unsure: tuple[str, ...]


@dataclass
class _Files:
    """Where the pairs are, as `dataset.toml` will say it."""

    pairs: tuple[Files, ...]
    keys: dict[str, str]
    how: str
    unsure: list[str]

    @property
    def splits(self) -> dict[str, str]:
        """What the folder calls each split, in the usual order; "" for the whole set."""
        found = {split for split, _, _ in self.pairs}
        usual = {name: USUAL_SPLITS.get(name.lower(), name or WHOLE) for name in found}
        if len(set(usual.values())) < len(found):  # valid beside val, say
            usual = {name: name or WHOLE for name in found}
        order = {name: place for place, name in enumerate(USUAL_SPLITS.values())}
        return {usual[name]: name for name in sorted(found, key=lambda name: (order.get(usual[name], 99), name))}

    def of_split(self, place: str) -> list[Files]:
        """The pairs of a split, by its name in the folder."""
        return [pair for pair in self.pairs if pair[0] == place]


def draft_description(root: Path) -> Draft:
    """Looks at a folder and drafts its description.

    Raises:
        DataError: no such folder, no pairs of images and masks in it, or masks that no description can make usable.
    """
    if not root.is_dir():
        raise DataError(root, "there is no such folder; name the one that holds images and masks")
    files = _speakable(root, _files(root))
    survey = survey_masks([root / mask for _, _, mask in files.pairs])
    meaning = meaning_of(survey, class_tables(root))
    if not files.keys.get("pairs") and not _agrees(root, files, meaning, survey):
        files.keys = {}
    lists = {}
    if not files.keys:
        files.keys = {"pairs": _LISTS}
        lists = _written_lists(files)
        files.how += f", listed in {_LISTS}"
    unsure = (*files.unsure, *_unread(survey), *meaning.unsure)
    return Draft(_toml(root, files, survey, meaning, unsure), lists, _decided(files, survey, meaning), unsure)


def _files(root: Path) -> _Files:
    """The pairs: by folders that name splits, else by lists, else all in one."""
    listed = listed_pairs(root)
    try:
        found = find_pairs(root)
    except DataError:
        if listed is None:
            raise
        return _by_list(listed)
    if all(split for split, _, _ in found.pairs):
        return _by_folder(root, found)
    if listed is not None:
        return _by_list(listed)
    named = listed_splits(root, found.pairs)
    if named is None:
        files = _by_folder(root, found)
        files.unsure.append(
            "no splits were found: all images are one set; training needs train and val apart, in folders or listed in "
            "pairs/train.csv and pairs/val.csv"
        )
        return files
    files = _by_list(named)
    files.unsure += _by_folder(root, found).unsure
    left = len(found.pairs) - len({image for _, image, _ in named.pairs})
    if left:
        files.unsure.append(f"{left} labeled images are in no list and were left out")
    return files


def _by_folder(root: Path, found: Found) -> _Files:
    unsure = []
    if found.lacking:
        unsure.append(f"{found.lacking} images have no mask; fassd data check names them")
    if found.unlabeled:
        unsure.append(f"{found.unlabeled} images of splits without any mask were left out")
    if found.others:
        unsure.append(f"masks were also found as {', '.join(found.others[:4])}, which were left aside")
    if any(root.glob("gtFine/*/*/*_gtFine_label[IT]*ds.png")):
        unsure.append(f"this looks like the layout of Cityscapes, which cityscapes:{root} reads without a description")
    if found.masks.startswith((f"{SPLIT}annot/", f"{SPLIT}_labels/")):
        unsure.append(f"if this is CamVid, camvid:{root} reads it without a description")
    how = f"{found.images} with {found.masks}" if found.images else "found by their names"
    keys = {"images": found.images, "masks": found.masks} if found.images else {}
    return _Files(found.pairs, keys, how, unsure)


def _by_list(listed: Listed) -> _Files:
    names = ", ".join(map(str, listed.lists))
    unsure = [f"{listed.lost} lines of {names} name no pair of image and mask"] if listed.lost else []
    return _Files(listed.pairs, {"pairs": listed.pattern} if listed.pattern else {}, f"listed in {names}", unsure)


def _speakable(root: Path, files: _Files) -> _Files:
    """Without names that no list and no description can hold."""
    good = tuple(one for one in files.pairs if all(_is_speakable(str(part)) for part in one))
    if not good:
        raise DataError(root / files.pairs[0][1], "has a name with line breaks or broken letters; rename it")
    if len(good) < len(files.pairs):
        lost = len(files.pairs) - len(good)
        files.unsure.append(
            f"{lost} pairs have names with line breaks or broken letters and were left out: rename them"
        )
        return _Files(good, {}, files.how, files.unsure)
    return files


def _is_speakable(name: str) -> bool:
    return name == name.strip() and len(name.splitlines()) <= 1 and not re.search("[\ud800-\udfff]", name)


def _agrees(root: Path, files: _Files, meaning: Meaning, survey: Survey) -> bool:
    """Whether the patterns find the pairs that were found, and no images beside them but those without a mask."""
    if not files.keys:
        return False
    description = msgspec.convert(tomllib.loads(_toml(root, files, survey, meaning, ())), Description)
    masks = {root / mask for _, _, mask in files.pairs}
    for split, place in files.splits.items():
        scan = scan_described("", root, split, description, None)
        if {pair.image for pair in scan.dataset.pairs} != {root / image for _, image, _ in files.of_split(place)}:
            return False
        if any(pair.image in masks for pair in scan.lacking) or scan.repeated:
            return False
    return True


def _written_lists(files: _Files) -> dict[str, str]:
    """A list of "image,mask" lines for each split."""
    lists = {}
    for split, place in files.splits.items():
        stream = io.StringIO()
        # A line that begins with # would be a comment.
        rows = ((f"./{image}" if str(image)[0] == "#" else image, mask) for _, image, mask in files.of_split(place))
        csv.writer(stream, lineterminator="\n").writerows(rows)
        lists[_LISTS.replace(SPLIT, split)] = f"{DRAFTED}: image,mask\n{stream.getvalue()}"
    return lists


def _unread(survey: Survey) -> list[str]:
    doubts = []
    if survey.refused:
        path, reason = survey.refused[0]
        doubts.append(
            f"{len(survey.refused)} masks could not be read as the others; the first: "
            f"{path.name}{reason.removeprefix(str(path))}"
        )
    if survey.read + len(survey.refused) < survey.masks:
        doubts.append(f"{survey.read} of {survey.masks} masks were read; the others may hold more classes")
    return doubts


def _decided(files: _Files, survey: Survey, meaning: Meaning) -> tuple[tuple[str, str], ...]:
    classes = meaning.classes
    shown = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
    codes = [spell(code, survey.by_color) for code, name in meaning.names.items() if name == IGNORED]
    if not codes and not survey.by_color and IGNORE not in meaning.names:
        codes = [str(IGNORE)]
    ignored = ", ".join(codes[:6]) + (" ..." if len(codes) > 6 else "")
    return (
        ("files", files.how),
        ("splits", ", ".join(f"{split} {len(files.of_split(place)):,}" for split, place in files.splits.items())),
        ("coding", f"{'colors' if survey.by_color else 'values'}, from {survey.read:,} of {survey.masks:,} masks"),
        ("classes", f"{len(classes)} by {meaning.why}: {shown}"),
        ("ignored", ignored or "nothing"),
    )


def _toml(root: Path, files: _Files, survey: Survey, meaning: Meaning, unsure: Iterable[str]) -> str:
    """The text of `dataset.toml`."""
    lines = [f"{DRAFTED} from what lies in this folder: read it, correct it, then run fassd data check."]
    lines += [f"# unsure: {doubt}." for doubt in map(_one_line, unsure)]
    lines += ["", f"name = {_quoted(root.resolve().name or 'data')}"]
    if files.keys == {"pairs": _LISTS}:
        lines.append("# No pattern says which files belong together; what is added later must be listed, too.")
    lines += [f"{key} = {_quoted(value)}" for key, value in files.keys.items()]
    lines += _splits(files)
    if survey.by_color:
        lines.append('mask_encoding = "colors"')
    if meaning.space:
        lines.append(f"label_space = {_quoted(meaning.space.name)}")
    ignored = [code for code, name in meaning.names.items() if name == IGNORED]
    if _needs_codes(survey, meaning, ignored):
        rows = [f"{_quoted(spell(code, survey.by_color))} = {_quoted(name)}" for code, name in meaning.names.items()]
        lines += ["", "# What masks hold, and the class behind it.", "[mask_values]", *rows]
    elif ignored:
        code = spell(ignored[0], survey.by_color)
        lines.append(f"ignore = {_quoted(code) if survey.by_color else code}")
    elif not survey.by_color and IGNORE in survey.pixels:
        lines.append(f"ignore = {IGNORE}")
    for name in [] if meaning.space else meaning.classes:
        lines += ["", "[[classes]]", f"name = {_quoted(name)}", f"color = {list(meaning.colors[name])}"]
    return "\n".join(lines) + "\n"


def _splits(files: _Files) -> list[str]:
    """The line that names the splits; under other names than those in the folder where `train` looks for others."""
    splits = {split: place for split, place in files.splits.items() if place}
    if not splits:
        return []
    if files.keys == {"pairs": _LISTS} or all(split == place for split, place in splits.items()):
        return [f"splits = [{', '.join(map(_quoted, splits))}]"]
    bare = re.compile(r"[\w-]+", re.ASCII)
    rows = (f"{name if bare.fullmatch(name) else _quoted(name)} = {_quoted(place)}" for name, place in splits.items())
    return [f"splits = {{ {', '.join(rows)} }}"]


def _needs_codes(survey: Survey, meaning: Meaning, ignored: list[int]) -> bool:
    """Whether the codes are others than the classes' places or colors."""
    classes = {code: name for code, name in meaning.names.items() if name != IGNORED}
    if len(ignored) > 1:
        return True
    if not survey.by_color:
        return classes != dict(enumerate(meaning.classes))
    space = {label.name: label.color for label in meaning.space.classes} if meaning.space else meaning.colors
    return classes != {value_of_color(space[name]): name for name in meaning.classes}


def _quoted(text: str) -> str:
    """A TOML string: JSON's escapes are TOML's, but for one control character; half of a letter becomes a ?."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
