"""Opens data sets by their description: custom ones with a `dataset.toml`, and known layouts."""

from __future__ import annotations

import csv
import fnmatch
import re
from pathlib import Path

from fassd.core.arrays import IGNORE, LookupTable
from fassd.core.errors import DataError, MissingSplit, UsageError
from fassd.core.labels import LabelSpace
from fassd.data.dataset import Dataset, Pair, Scan, sort_out
from fassd.data.description import DESCRIPTION, Description, mask_encoding_of, own_space, read_description
from fassd.media.formats import SUFFIXES


def scan_folder(spec: str, root: Path, split: str, into: LabelSpace | None) -> Scan:
    """A custom data set, by the `dataset.toml` in its folder.

    Args:
        spec: how the user named it, "folder:PATH".
        root: its folder.
        split: the name of the split.
        into: the label space to translate the labels into, by the description's table; None keeps its own.

    Raises:
        FileError: the description is missing or wrong.
        DataError, UsageError: as `scan_described`.
    """
    return scan_described(spec, root, split, read_description(root), into)


def folder_splits(root: Path) -> list[str]:
    """The splits of a custom data set that have images.

    Raises:
        FileError: the description is missing or wrong.
    """
    return described_splits(root, read_description(root))


def scan_described(spec: str, root: Path, split: str, description: Description, into: LabelSpace | None) -> Scan:
    """A data set by its description.

    Raises:
        DataError: no such folder or split, no images, or an unreadable list of pairs.
        FileError: classes, mask values and `ignore` contradict each other.
        UsageError: there is no table into the label space asked for, or it names an unknown class.
    """
    own = own_space(description, root)
    encoding, space, translate = mask_encoding_of(description, own, root), own, own.identity_table()
    if into is not None and into != own:
        if into.name not in description.to:
            known = ", ".join(description.to) or "none"
            raise UsageError(
                f"{spec} has the classes of '{own.name}' and no table into '{into.name}' (tables: {known}); "
                f"add [to.{into.name}] to its {DESCRIPTION}"
            )
        translate = own.table_into(into, description.to[into.name])
        encoding, space = encoding.translated(translate), into
    if not root.is_dir():
        raise DataError(root, "there is no such folder; give kind:PATH with the data set's folder")
    if description.only_split not in (None, split):
        raise MissingSplit(
            root,
            f"has no split '{split}': without {{split}} in '{description.by_split}' all its images are the split "
            f"'{description.only_split}'. Use --split {description.only_split} to score them; to train, sort them into "
            "a folder for each split, or list the pairs of each split",
        )
    found, masks = (_listed if description.pairs else _matched)(root, split, description)
    pairs = [
        Pair(f"{split}/{name}", image, mask, _annotated(image.stem, description, own, translate))
        for name, image, mask in found
    ]
    dataset = Dataset(spec, split, space, encoding, (), description.terms)
    return sort_out(dataset, pairs, masks)


def described_splits(root: Path, description: Description) -> list[str]:
    """The splits that have images: of those that the description names, or else of those found on disk."""
    pattern = description.by_split
    if description.only_split is not None:
        return [description.only_split] if any(root.glob(pattern)) else []
    names = list(description.splits) or _splits_on_disk(root, pattern, description)
    return [split for split in names if any(root.glob(description.filled(pattern, split)))]


def _splits_on_disk(root: Path, pattern: str, description: Description) -> list[str]:
    before, _, after = pattern.partition("{split}")
    shape = f"{fnmatch.translate(before)[:-2]}(?P<split>[^/]+){fnmatch.translate(after.replace('{split}', '*'))}"
    paths = (path.relative_to(root).as_posix() for path in root.glob(pattern.format(split="*")))
    names = sorted({found["split"] for path in paths if (found := re.match(shape, path))})
    # With images in {split}/ and masks in {split}_labels/, the folders of the masks look like splits, too.
    masks = {Path(description.masks.format(split=name, stem="")).parent for name in names}
    return [name for name in names if Path(pattern.format(split=name)).parent not in masks]


Found = tuple[str, Path, Path]
"""Name within the split, image, mask."""


def _matched(root: Path, split: str, description: Description) -> tuple[list[Found], list[Path]]:
    """The images that match the pattern, each with the path of its mask; and every mask on disk."""
    pattern = description.filled(description.images, split)
    images = sorted(path for path in root.glob(pattern) if _is_image(path))
    if not images:
        raise MissingSplit(root, f"has no split '{split}': nothing matches {pattern}{_offer(root, description)}")
    found = [
        (image.stem, image, root / description.filled(description.masks, split, stem=image.stem)) for image in images
    ]
    masks = {path for path in root.glob(description.filled(description.masks, split, stem="*")) if _is_image(path)}
    if "{split}" not in description.masks and description.only_split is None:
        # All splits share one folder of masks: masks without an image are reported once, with the first split.
        if split != described_splits(root, description)[0]:
            return found, []
        everywhere = root.glob(description.images.format(split="*"))
        masks -= {root / description.masks.format(stem=image.stem) for image in everywhere}
    return found, sorted(masks)


def _listed(root: Path, split: str, description: Description) -> tuple[list[Found], list[Path]]:
    """The pairs listed in a file, in lines of "image,mask"; empty lines and lines that begin with # are skipped."""
    path = root / description.filled(description.pairs, split)
    if not path.is_file():
        raise MissingSplit(root, f"has no split '{split}': there is no {path.name}{_offer(root, description)}")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = [(number, row) for number, row in enumerate(csv.reader(lines, skipinitialspace=True), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, f"cannot be read as lines of image,mask ({error})") from None
    found = []
    for number, row in rows:
        if row[0].startswith("#"):
            continue
        if len(row) != 2:
            raise DataError(path, f"line {number} is '{','.join(row)}'; expected two paths: image,mask")
        image, mask = (root / text.strip() for text in row)
        if not image.is_file():
            raise DataError(path, f"line {number} names {row[0]}, which is not a file below {root}")
        found.append((Path(row[0].strip()).with_suffix("").as_posix(), image, mask))
    if not found:
        raise MissingSplit(root, f"has no split '{split}': {path.name} lists no pairs")
    return found, []


def _is_image(path: Path) -> bool:
    # Unpacking an archive on macOS leaves metadata files whose names begin with a dot.
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def _offer(root: Path, description: Description) -> str:
    found = described_splits(root, description)
    return f"; there are: {', '.join(found)}" if found else "; no other split was found either"


def _annotated(stem: str, description: Description, own: LabelSpace, translate: LookupTable) -> frozenset[int] | None:
    """The annotated classes of an image, by its stem; None means all."""
    for partial in description.partially_annotated:
        if fnmatch.fnmatchcase(stem, partial.frames):
            classes = (int(translate[own.index(name)]) for name in partial.annotated)
            return frozenset(label for label in classes if label != IGNORE)
    return None
