"""Drafts a `dataset.toml` for an unknown folder, and lists what is unsure about it."""

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
from fassd.drafts.classes import IGNORED, ClassGuess, guess_classes, value_text
from fassd.drafts.groups import SPLIT, USUAL_SPLITS
from fassd.drafts.lists import DRAFTED, Listed, listed_pairs, listed_splits
from fassd.drafts.masks import Survey, survey_masks
from fassd.drafts.pairs import FoundPairs, PairPaths, find_pairs
from fassd.drafts.tables import class_tables
from fassd.media.legend import printable

_LISTS = f"pairs/{SPLIT}.csv"


@dataclass(frozen=True)
class Draft:
    """A drafted description.

    Attributes:
        text: of `dataset.toml`.
        lists: texts of further files, by their path below the folder.
        decided: name and value of each decision, for printing.
        unsure: what the user should verify, in sentences.
    """

    text: str
    lists: dict[str, str]
    decided: tuple[tuple[str, str], ...]
    unsure: tuple[str, ...]


@dataclass
class _PairSource:
    """The pairs, and the keys of `dataset.toml` that describe them."""

    pairs: tuple[PairPaths, ...]
    keys: dict[str, str]
    how: str
    unsure: list[str]

    @property
    def splits(self) -> dict[str, str]:
        """The folder's name of each split, in the usual order; "" without splits."""
        found = {split for split, _, _ in self.pairs}
        usual = {name: USUAL_SPLITS.get(name.lower(), name or WHOLE) for name in found}
        if len(set(usual.values())) < len(found):  # for example, valid beside val
            usual = {name: name or WHOLE for name in found}
        order = {name: place for place, name in enumerate(USUAL_SPLITS.values())}
        return {usual[name]: name for name in sorted(found, key=lambda name: (order.get(usual[name], 99), name))}

    def of_split(self, place: str) -> list[PairPaths]:
        """The pairs of a split, by its name in the folder."""
        return [pair for pair in self.pairs if pair[0] == place]


def draft_description(root: Path) -> Draft:
    """Drafts the description of a folder.

    Raises:
        DataError: no such folder, no pairs of images and masks, or masks that no description makes usable.
    """
    if not root.is_dir():
        raise DataError(root, "there is no such folder; name the one that holds images and masks")
    files = _with_plain_names(root, _files(root))
    survey = survey_masks([root / mask for _, _, mask in files.pairs])
    guess = guess_classes(survey, class_tables(root))
    if not files.keys.get("pairs") and not _agrees(root, files, guess, survey):
        files.keys = {}
    lists = {}
    if not files.keys:
        files.keys = {"pairs": _LISTS}
        lists = _written_lists(files)
        files.how += f", listed in {_LISTS}"
    unsure = list(files.unsure)
    if survey.refused:
        path, reason = survey.refused[0]
        count = len(survey.refused)
        unsure.append(f"{count} masks cannot be read; the first: {path.name}{reason.removeprefix(str(path))}")
    if survey.read + len(survey.refused) < survey.masks:
        unsure.append(f"{survey.read} of {survey.masks} masks were read; the others may contain more classes")
    unsure += guess.unsure
    return Draft(_toml(root, files, survey, guess, unsure), lists, _decided(files, survey, guess), tuple(unsure))


def _files(root: Path) -> _PairSource:
    """The pairs, with splits by folders, otherwise by lists, otherwise as one split."""
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
        files.unsure.append(f"{left} labeled images are in no list and were omitted")
    return files


def _by_folder(root: Path, found: FoundPairs) -> _PairSource:
    unsure = []
    if found.lacking:
        unsure.append(f"{found.lacking} images have no mask; fassd data check names them")
    if found.unlabeled:
        unsure.append(f"{found.unlabeled} images of splits without any mask were omitted")
    if found.others:
        unsure.append(f"other masks exist as {', '.join(found.others[:4])}; they are not used")
    if any(root.glob("gtFine/*/*/*_gtFine_label[IT]*ds.png")):
        unsure.append(f"this looks like Cityscapes, which cityscapes:{root} reads without a description")
    if found.masks.startswith((f"{SPLIT}annot/", f"{SPLIT}_labels/")):
        unsure.append(f"if this is CamVid, camvid:{root} reads it without a description")
    how = f"{found.images} with {found.masks}" if found.images else "found by their names"
    keys = {"images": found.images, "masks": found.masks} if found.images else {}
    return _PairSource(found.pairs, keys, how, unsure)


def _by_list(listed: Listed) -> _PairSource:
    names = ", ".join(map(str, listed.lists))
    unsure = [f"{listed.lost} lines of {names} name no pair of image and mask"] if listed.lost else []
    return _PairSource(listed.pairs, {"pairs": listed.pattern} if listed.pattern else {}, f"listed in {names}", unsure)


def _with_plain_names(root: Path, files: _PairSource) -> _PairSource:
    """Without pairs whose names cannot be written to a list or a description."""

    def is_plain(name: str) -> bool:
        return name == name.strip() and len(name.splitlines()) <= 1 and not re.search("[\ud800-\udfff]", name)

    good = tuple(one for one in files.pairs if all(is_plain(str(part)) for part in one))
    if not good:
        raise DataError(root / files.pairs[0][1], "has a name with line breaks or invalid characters; rename it")
    if len(good) < len(files.pairs):
        lost = len(files.pairs) - len(good)
        files.unsure.append(
            f"{lost} pairs have names with line breaks or invalid characters and were omitted: rename them"
        )
        return _PairSource(good, {}, files.how, files.unsure)
    return files


def _agrees(root: Path, files: _PairSource, guess: ClassGuess, survey: Survey) -> bool:
    """Whether the drafted patterns select exactly the pairs that were found."""
    if not files.keys:
        return False
    description = msgspec.convert(tomllib.loads(_toml(root, files, survey, guess, ())), Description)
    masks = {root / mask for _, _, mask in files.pairs}
    for split, place in files.splits.items():
        scan = scan_described("", root, split, description, None)
        if {pair.image for pair in scan.dataset.pairs} != {root / image for _, image, _ in files.of_split(place)}:
            return False
        if any(pair.image in masks for pair in scan.lacking) or scan.repeated:
            return False
    return True


def _written_lists(files: _PairSource) -> dict[str, str]:
    """A list of "image,mask" lines for each split."""
    lists = {}
    for split, place in files.splits.items():
        stream = io.StringIO()
        # A line that starts with # would be a comment.
        rows = ((f"./{image}" if str(image)[0] == "#" else image, mask) for _, image, mask in files.of_split(place))
        csv.writer(stream, lineterminator="\n").writerows(rows)
        lists[_LISTS.replace(SPLIT, split)] = f"{DRAFTED}: image,mask\n{stream.getvalue()}"
    return lists


def _decided(files: _PairSource, survey: Survey, guess: ClassGuess) -> tuple[tuple[str, str], ...]:
    classes = guess.classes
    shown = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
    values = [value_text(value, survey.by_color) for value, name in guess.names.items() if name == IGNORED]
    if not values and not survey.by_color and IGNORE not in guess.names:
        values = [str(IGNORE)]
    ignored = ", ".join(values[:6]) + (" ..." if len(values) > 6 else "")
    return (
        ("files", files.how),
        ("splits", ", ".join(f"{split} {len(files.of_split(place)):,}" for split, place in files.splits.items())),
        ("encoding", f"{'colors' if survey.by_color else 'values'}, from {survey.read:,} of {survey.masks:,} masks"),
        ("classes", f"{len(classes)} by {guess.source}: {shown}"),
        ("ignored", ignored or "nothing"),
    )


def _toml(root: Path, files: _PairSource, survey: Survey, guess: ClassGuess, unsure: Iterable[str]) -> str:
    """The text of `dataset.toml`."""
    lines = [f"{DRAFTED} from the files of this folder: read it, correct it, then run fassd data check."]
    lines += [f"# unsure: {doubt}." for doubt in map(printable, unsure)]
    lines += ["", f"name = {_quoted(root.resolve().name or 'data')}"]
    if files.keys == {"pairs": _LISTS}:
        lines.append("# No pattern matches the pairs; add new pairs to the lists.")
    lines += [f"{key} = {_quoted(value)}" for key, value in files.keys.items()]
    lines += _splits(files)
    if survey.by_color:
        lines.append('mask_encoding = "colors"')
    if guess.space:
        lines.append(f"label_space = {_quoted(guess.space.name)}")
    ignored = [value for value, name in guess.names.items() if name == IGNORED]
    if _needs_mask_values(survey, guess, ignored):
        values = {value_text(value, survey.by_color): name for value, name in guess.names.items()}
        rows = [f"{_quoted(value)} = {_quoted(name)}" for value, name in values.items()]
        lines += ["", "# The class of each mask value.", "[mask_values]", *rows]
    elif ignored:
        value = value_text(ignored[0], survey.by_color)
        lines.append(f"ignore = {_quoted(value) if survey.by_color else value}")
    elif not survey.by_color and IGNORE in survey.pixels:
        lines.append(f"ignore = {IGNORE}")
    for name in [] if guess.space else guess.classes:
        lines += ["", "[[classes]]", f"name = {_quoted(name)}", f"color = {list(guess.colors[name])}"]
    return "\n".join(lines) + "\n"


def _splits(files: _PairSource) -> list[str]:
    """The line that names the splits, with the folder's names where they differ."""
    splits = {split: place for split, place in files.splits.items() if place}
    if not splits:
        return []
    if files.keys == {"pairs": _LISTS} or all(split == place for split, place in splits.items()):
        return [f"splits = [{', '.join(map(_quoted, splits))}]"]
    bare = re.compile(r"[\w-]+", re.ASCII)
    rows = (f"{name if bare.fullmatch(name) else _quoted(name)} = {_quoted(place)}" for name, place in splits.items())
    return [f"splits = {{ {', '.join(rows)} }}"]


def _needs_mask_values(survey: Survey, guess: ClassGuess, ignored: list[int]) -> bool:
    """Whether the mask values differ from the classes' places or colors."""
    classes = {value: name for value, name in guess.names.items() if name != IGNORED}
    if len(ignored) > 1:
        return True
    if not survey.by_color:
        return classes != dict(enumerate(guess.classes))
    space = {label.name: label.color for label in guess.space.classes} if guess.space else guess.colors
    return classes != {value_of_color(space[name]): name for name in guess.classes}


def _quoted(text: str) -> str:
    """A TOML string. JSON's escapes are TOML's, except for DEL; lone surrogates become "?"."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007f")
