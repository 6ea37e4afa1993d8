"""Data sets described by a `dataset.toml`: one's own, and the built-in descriptions of known layouts."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from fassd.core.arrays import IGNORE, LookupTable
from fassd.core.errors import DataError, FileError, MissingSplit, UsageError
from fassd.core.labels import LabelSpace, label_space_by_name
from fassd.data.dataset import Dataset, Pair
from fassd.data.label_file import Byte, ClassRow, label_space_of
from fassd.media.images import SUFFIXES

DESCRIPTION = "dataset.toml"


class Partial(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Frames on which only some classes were marked: what else is there carries the class behind it."""

    frames: str
    marked: Annotated[list[str], Meta(min_length=1)]


class Description(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `dataset.toml` may say.

    Attributes:
        name: of the data set.
        images: pattern below the folder; {split} is filled in.
        masks: path below the folder; {split} and {stem} are filled in.
        splits: the splits there are; found on disk where not given.
        label_space: a known label space, whose train ids the masks hold.
        classes: or classes of one's own.
        ignore: the value of pixels without a class; IGNORE (255) always means that too.
        terms: what the owners allow.
        to: tables into other label spaces: class name -> class name there, or "ignore".
        partial: partly marked frames.
    """

    name: str = ""
    images: str = "images/{split}/*"
    masks: str = "masks/{split}/{stem}.png"
    splits: list[str] = []
    label_space: str | None = None
    classes: list[ClassRow] = []
    ignore: Byte = IGNORE
    terms: str = ""
    to: dict[str, dict[str, str]] = {}
    partial: list[Partial] = []


def open_folder(spec: str, root: Path, split: str, into: LabelSpace | None) -> Dataset:
    """A data set of one's own, from the `dataset.toml` in its folder.

    Args:
        spec: how the user named it.
        root: its folder.
        split: which part.
        into: the label space to answer in, through the description's table; None keeps its own.

    Raises:
        FileError, DataError, UsageError: as `open_described`, or the description is missing or wrong.
    """
    path = root / DESCRIPTION
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        description = msgspec.convert(values, Description, strict=True)
    except OSError as error:
        raise FileError(path, f"cannot be read ({error.strerror}); a folder: data set is described there") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not valid TOML ({error})") from None
    except msgspec.ValidationError as error:
        raise FileError(path, f"does not describe a data set: {error}") from None
    _check_pattern(path, "images", description.images, split="train")
    _check_pattern(path, "masks", description.masks, split="train", stem="a")
    return open_described(spec, root, split, description, into)


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


def open_described(spec: str, root: Path, split: str, description: Description, into: LabelSpace | None) -> Dataset:
    """A data set by its description.

    Raises:
        DataError: no such split, no images, an image without its mask, two images of one stem.
        UsageError: no table leads into the label space asked for, or a table names an unknown class.
    """
    own = _own_space(description, root)
    table = own.identity_table()
    if description.ignore < len(own):
        raise FileError(
            root / DESCRIPTION,
            f"ignore = {description.ignore} is the value of the class '{own.names[description.ignore]}'; "
            f"a value that is no class is {len(own)} to {IGNORE}",
        )
    allowed = frozenset({*range(len(own)), description.ignore, IGNORE})
    table[description.ignore] = IGNORE
    space = own
    translate = own.identity_table()
    if into is not None and into != own:
        if into.name not in description.to:
            known = ", ".join(description.to) or "none"
            raise UsageError(
                f"{spec} has the classes of '{own.name}' and no table into '{into.name}' (tables: {known}); "
                f"add [to.{into.name}] to its {DESCRIPTION}"
            )
        translate = own.table_into(into, description.to[into.name])
        table, space = translate[table], into
    pairs = tuple(
        Pair(f"{split}/{image.stem}", image, mask, _marked(image.stem, description, own, translate))
        for image, mask in _pairs(root, split, description)
    )
    return Dataset(spec, split, space, table, allowed, pairs, description.terms)


def _own_space(description: Description, root: Path) -> LabelSpace:
    if description.label_space and description.classes:
        raise FileError(root / DESCRIPTION, "names a label space and classes of its own; one of the two decides")
    if description.label_space:
        return label_space_by_name(description.label_space)
    if not description.classes:
        raise FileError(root / DESCRIPTION, "names neither a label_space nor [[classes]]")
    return label_space_of(description.name or root.name, description.classes)


def _marked(stem: str, description: Description, own: LabelSpace, translate: LookupTable) -> frozenset[int] | None:
    for partial in description.partial:
        if fnmatch.fnmatchcase(stem, partial.frames):
            classes = (int(translate[own.index(name)]) for name in partial.marked)
            return frozenset(label for label in classes if label != IGNORE)
    return None


def _pairs(root: Path, split: str, description: Description) -> list[tuple[Path, Path]]:
    if not root.is_dir():
        raise DataError(root, "there is no such folder; --data takes kind:PATH with the data set's folder")
    pattern = description.images.format(split=split)
    images = sorted(
        path
        for path in root.glob(pattern)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not images:
        raise MissingSplit(root, f"has no split '{split}': nothing matches {pattern}{_offer_splits(root, description)}")
    pairs: dict[str, tuple[Path, Path]] = {}
    for image in images:
        mask = root / description.masks.format(split=split, stem=image.stem)
        if not mask.is_file():
            raise DataError(image, f"has no mask: {mask.relative_to(root)} was expected")
        if image.stem in pairs:
            raise DataError(image, f"has the stem of {pairs[image.stem][0].name}; each image needs a stem of its own")
        pairs[image.stem] = (image, mask)
    return list(pairs.values())


def _offer_splits(root: Path, description: Description) -> str:
    marker = description.images.split("/")
    depth = next((index for index, part in enumerate(marker) if "{split}" in part), 0)
    folder = root.joinpath(*marker[:depth])
    listed = description.splits or sorted(path.name for path in (folder.iterdir() if folder.is_dir() else ()))
    found = [split for split in listed if any(root.glob(description.images.format(split=split)))]
    if not found:
        return "; no other split was found either"
    return f"; there are: {', '.join(found)}"
