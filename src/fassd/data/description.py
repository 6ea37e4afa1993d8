"""`dataset.toml`: its keys, and the mask encoding and label space they describe."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.labels import LabelSpace, label_space_by_name
from fassd.core.renamed import description_with_new_keys
from fassd.data.label_file import ClassRow, label_space_of
from fassd.data.mask_encoding import MaskEncoding, value_of_color

DESCRIPTION = "dataset.toml"
WHOLE = "all"
"""The only split of data sets without splits."""

_IGNORED = "ignore"
_VALUES = 1 << 16
_SPLIT = "{split}"


class PartiallyAnnotated(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frames on which only some classes were annotated: other objects carry the label of what is behind them.

    Attributes:
        frames: pattern for the stems of their images.
        annotated: names of the annotated classes.
    """

    frames: str
    annotated: Annotated[list[str], Meta(min_length=1)]


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The keys of `dataset.toml`. Files with the keys of earlier versions are read as well, see `core/renamed.py`.

    Attributes:
        name: of the data set.
        images: pattern below the folder; {split} is filled in.
        masks: path below the folder; {split} and {stem} are filled in.
        pairs: in place of both, a file of lines "image,mask", paths below the folder; {split} is filled in.
        splits: names of the splits, or name -> name in the folder, such as {train = "training"}; by default found on
            disk. Without {split} in `pairs` or `images` there is one split, called "all" unless it is named.
        mask_encoding: whether masks hold a value or a color for each class.
        label_space: a known label space; masks hold its train ids, or its colors.
        classes: or custom classes; masks hold their indices, or their colors.
        mask_values: where masks hold other values or colors: "7" or "128,64,128" -> class name, or "ignore".
        ignore: the value or color, as in `mask_values`, of pixels without a class. The value IGNORE (255) always means
            the same.
        terms: the license, or what the owners allow.
        to: tables into other label spaces: class name -> class name there, or "ignore".
        partially_annotated: frames on which only some classes were annotated.
    """

    name: str = ""
    images: str = "images/{split}/*"
    masks: str = "masks/{split}/{stem}.png"
    pairs: str = ""
    splits: list[str] | dict[str, str] = []
    mask_encoding: Literal["values", "colors"] = "values"
    label_space: str | None = None
    classes: list[ClassRow] = []
    mask_values: dict[str, str] = {}
    ignore: int | str | None = None
    terms: str = ""
    to: dict[str, dict[str, str]] = {}
    partially_annotated: list[PartiallyAnnotated] = []

    @property
    def by_split(self) -> str:
        """The pattern whose {split} decides what is in a split."""
        return self.pairs or self.images

    @property
    def only_split(self) -> str | None:
        """The name of the only split where the patterns have no {split}; otherwise None."""
        return None if _SPLIT in self.by_split else next(iter(self.splits), WHOLE)

    def filled(self, pattern: str, split: str, **fields: str) -> str:
        """A pattern with {split} filled in by the folder's name for it, and the other fields as given."""
        place = self.splits.get(split, split) if isinstance(self.splits, dict) else split
        return pattern.format(split=place, **fields)


def read_description(root: Path) -> Description:
    """The `dataset.toml` in a folder.

    Raises:
        DataError: there is no such folder.
        FileError: missing, not TOML, an unknown key, a wrong type, or a pattern that cannot be filled in.
    """
    path = root / DESCRIPTION
    try:
        values = description_with_new_keys(tomllib.loads(path.read_text(encoding="utf-8")))
        description = msgspec.convert(values, Description, strict=True)
    except OSError as error:
        if not root.is_dir():
            raise DataError(root, "there is no such folder; give folder:PATH with the data set's folder") from None
        raise FileError(
            path,
            f"cannot be read ({error.strerror}); a folder: data set is described there, and "
            f"'fassd data init {root}' drafts it",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not valid TOML ({error})") from None
    except msgspec.ValidationError as error:
        raise FileError(path, f"does not describe a data set: {_explain(str(error))}") from None
    _check_pattern(path, "images", description.images, split="train")
    _check_pattern(path, "masks", description.masks, split="train", stem="a")
    if description.pairs:
        _check_pattern(path, "pairs", description.pairs, split="train")
    _check_splits(path, description)
    return description


def _explain(message: str) -> str:
    """msgspec's message, with the nearest known key or choice where one is unknown."""
    key, choice = re.search(r"unknown field `(.+?)`", message), re.search(r"Invalid enum value '(.*?)'", message)
    if choice:
        return f"{message}; {_nearest(choice[1], ['values', 'colors'])}"
    if not key:
        return message
    # msgspec names the place of all but the outermost tables: `$.classes[...]`.
    rows = {"classes": ClassRow, "partially_annotated": PartiallyAnnotated}
    struct = next((row for place, row in rows.items() if f"$.{place}" in message), Description)
    return f"{message}; {_nearest(key[1], struct.__struct_fields__)}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def own_space(description: Description, root: Path) -> LabelSpace:
    """The classes of a data set, before any table into another label space.

    Raises:
        FileError: no classes, both kinds of them, or a class named twice.
        UnknownName: no such label space.
    """
    path = root / DESCRIPTION
    if description.label_space and description.classes:
        raise FileError(path, "has both label_space and [[classes]]; keep one of the two")
    if description.label_space:
        return label_space_by_name(description.label_space)
    if not description.classes:
        raise FileError(path, "has neither a label_space nor [[classes]]; give one of the two")
    try:
        return label_space_of(description.name or root.resolve().name, description.classes)
    except UsageError as error:
        raise FileError(path, str(error)) from None


def mask_encoding_of(description: Description, space: LabelSpace, root: Path) -> MaskEncoding:
    """The class behind each value or color of the masks.

    Args:
        description: of the data set.
        space: its own classes.
        root: its folder, for messages.

    Raises:
        FileError: a value or color cannot be read or names no class, two classes share a color, or `ignore` is the
            value or color of a class.
    """
    path, by_color = root / DESCRIPTION, description.mask_encoding == "colors"
    if description.mask_values:
        rows = description.mask_values.items()
        classes = {
            _value(path, "[mask_values]", text, by_color): _class(path, text, name, space) for text, name in rows
        }
    elif by_color:
        classes = {value_of_color(label.color): index for index, label in enumerate(space.classes)}
        if len(classes) < len(space):
            raise FileError(path, "gives two classes the same color, so masks of colors cannot tell them apart")
    else:
        classes = {label: label for label in range(len(space))}
    ignored = {} if by_color else {IGNORE: IGNORE}
    if description.ignore is not None:
        value = _value(path, "ignore", str(description.ignore), by_color)
        if classes.get(value, IGNORE) != IGNORE:
            free = "" if by_color else f"; unused values are {len(space)} to {IGNORE}"
            what = "color" if by_color else "value"
            name = space.names[classes[value]]
            raise FileError(path, f"ignore = {description.ignore} is the {what} of the class '{name}'{free}")
        ignored[value] = IGNORE
    return MaskEncoding({**ignored, **classes}, by_color)


def _value(path: Path, where: str, text: str, by_color: bool) -> int:
    """A value or color of the description as a number."""
    numbers = [int(part) for part in text.split(",")] if re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text) else []
    if by_color and len(numbers) == 3 and max(numbers) < 256:
        return value_of_color((numbers[0], numbers[1], numbers[2]))
    if not by_color and len(numbers) == 1 and numbers[0] < _VALUES:
        return numbers[0]
    kind, wanted = ("colors", 'a color like "128,64,128"') if by_color else ("values", f"0 to {_VALUES - 1}")
    raise FileError(path, f"{where} names '{text}'; with mask_encoding = \"{kind}\" it is {wanted}")


def _class(path: Path, text: str, name: str, space: LabelSpace) -> int:
    if name == _IGNORED:
        return IGNORE
    try:
        return space.index(name)
    except UsageError as error:
        raise FileError(path, f"[mask_values] {text} = '{name}': {error}") from None


def _check_pattern(path: Path, key: str, pattern: str, **fields: str) -> None:
    known = " and ".join("{" + field + "}" for field in fields)
    try:
        filled = pattern.format(**fields)
    except (LookupError, ValueError, AttributeError):
        raise FileError(
            path, f"{key} = '{pattern}' cannot be filled in; it may hold {known} and nothing else"
        ) from None
    if not filled or Path(filled).is_absolute():
        raise FileError(path, f"{key} = '{pattern}' names nothing below the folder; give a relative pattern")


def _check_splits(path: Path, description: Description) -> None:
    names = list(description.splits)
    places = list(description.splits.values()) if isinstance(description.splits, dict) else []
    for name in (*names, *places):
        if not re.fullmatch(r"[^/\\*?{}\[\]]+", name) or not name.strip("."):
            raise FileError(path, f"splits names '{name}'; a split has the name of a folder, such as train")
        if names.count(name) > 1 or places.count(name) > 1:
            raise FileError(path, f"splits names '{name}' twice")
    if len(names) > 1 and _SPLIT not in description.by_split:
        key, given = ("pairs", description.pairs) if description.pairs else ("images", description.images)
        raise FileError(
            path,
            f"splits names {', '.join(names)}, but {key} = '{given}' has no {_SPLIT} to tell them apart; sort the "
            f'images into a folder for each split, or list them with pairs = "pairs/{_SPLIT}.csv"',
        )
