"""What a data set promises, by its description or its folders, and does not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.core.files import with_home
from fassd.data.dataset import Scan
from fassd.data.description import DESCRIPTION, read_description

_CAMVID = (("{split}", "{split}annot"), ("{split}", "{split}_labels"))
_CAMVID_SPLITS = ("train", "val", "test")


def empty_splits(spec: str, found: Sequence[str]) -> dict[str, str]:
    """What is missing of each such split.

    Args:
        spec: "kind:PATH".
        found: the splits that are there.

    Raises:
        FileError: the description is missing or wrong.
    """
    kind, _, path = spec.partition(":")
    root = with_home(path)
    lists = {"cityscapes": _of_cityscapes, "camvid": _of_camvid, "folder": _of_folder}
    return {split: what for split, what in lists[kind](root) if split not in found}


def unmatched_partials(spec: str, scans: Sequence[Scan]) -> Iterator[Finding]:
    """[[partially_annotated]] frames of the description that no image of any split is named as."""
    kind, _, path = spec.partition(":")
    if kind != "folder":
        return
    images = [
        pair.image
        for scan in scans
        for pair in (*scan.dataset.pairs, *scan.lacking, *(pair for pair, _ in scan.repeated))
    ]
    for partial in read_description(with_home(path)).partially_annotated:
        if not any(fnmatchcase(image.stem, partial.frames) for image in images):
            found = f"[[partially_annotated]] frames = '{partial.frames}' in {DESCRIPTION}, which no image is named as"
            wanted = "a pattern of image names without their suffix"
            remedy = "correct the pattern, or take the entry out; without it, these frames count as fully annotated"
            yield Finding(FINDING_KINDS["unmatched-partial"], "", (), found, wanted, remedy)


def _of_cityscapes(root: Path) -> Iterator[tuple[str, str]]:
    for images, masks in (("leftImg8bit", "gtFine"), ("gtFine", "leftImg8bit")):
        for split in _folders(root / images):
            has = (root / masks / split).is_dir()
            yield split, f"{images}/{split} without images" if has else f"{images}/{split} without {masks}/{split}"


def _of_camvid(root: Path) -> Iterator[tuple[str, str]]:
    for split in _CAMVID_SPLITS:
        for images, masks in _CAMVID:
            for folder in (images.format(split=split), masks.format(split=split)):
                if (root / folder).is_dir():
                    yield split, f"no image in {images.format(split=split)}"


def _of_folder(root: Path) -> Iterator[tuple[str, str]]:
    description = read_description(root)
    for split in description.splits:
        yield split, f"named in dataset.toml, but nothing matches {description.filled(description.by_split, split)}"
    if description.splits or description.pairs:
        return  # Nothing else was promised.
    for pattern in (description.images, description.masks):
        parts = Path(pattern).parts
        # Where splits lie beside other things, a folder of another name means nothing.
        if "{split}" in parts[1:]:
            place = parts.index("{split}")
            for split in _folders(root.joinpath(*parts[:place])):
                yield split, f"the folder {'/'.join(parts[:place])}/{split}, but no images for it"


def _folders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    return sorted(one.name for one in parent.iterdir() if one.is_dir() and not one.name.startswith("."))
