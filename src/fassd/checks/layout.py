"""Missing, superfluous and badly named files and splits, found without decoding any file."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from fassd.checks.findings import FINDING_KINDS, Finding, finding
from fassd.core.errors import FassdError, ImageError
from fassd.core.files import with_home
from fassd.data.cityscapes import instance_map_of
from fassd.data.dataset import Scan
from fassd.data.description import DESCRIPTION, read_description
from fassd.media.formats import SUFFIXES, opened

_TRAINING_SPLITS = ("train", "val")
_CAMVID_LAYOUTS = (("{split}", "{split}annot"), ("{split}", "{split}_labels"))
_CAMVID_SPLITS = ("train", "val", "test")


def split_findings(spec: str, splits: Sequence[str], scans: Sequence[Scan]) -> Iterator[Finding]:
    """Findings about splits: empty, absent, or described with frames that no image matches.

    Args:
        spec: "kind:PATH".
        splits: the names of the splits that have images.
        scans: the same, scanned.

    Raises:
        FileError: the description is missing or wrong.
    """
    kind, _, path = spec.partition(":")
    root = with_home(path)
    promised = {"cityscapes": _promised_by_cityscapes, "camvid": _promised_by_camvid, "folder": _promised_by_folder}
    for split, what in dict(promised[kind](root)).items():
        if split not in splits:
            fix = "add the files, or remove the split from the data set"
            yield Finding(FINDING_KINDS["empty-split"], split, (), what, "images and masks", fix)
    missing = [split for split in _TRAINING_SPLITS if split not in splits]
    if missing and splits:
        text = f"only {', '.join(splits)}"
        fix = "none is needed to evaluate; 'fassd train' trains on train and selects its best checkpoint on val"
        yield Finding(FINDING_KINDS["no-such-split"], missing[0], (), text, f"also {' and '.join(missing)}", fix)
    if kind == "folder":
        yield from _unmatched_partials(root, scans)


def file_findings(scan: Scan) -> Iterator[Finding]:
    """Missing, superfluous and badly named files of a split."""
    split = scan.dataset.split
    for pair in scan.lacking:
        fix = "annotate the image, or remove it; if its mask has another name, rename the mask"
        twin = _similar_name(pair.mask)
        if twin is not None:
            save = f", or save it as {pair.mask.suffix[1:].upper()} under that name"
            same = twin.suffix.lower() == pair.mask.suffix.lower()
            fix = f"{twin.name} exists: rename it{'' if same else save}"
        if pair.mask.is_symlink():
            fix = f"{pair.mask.name} is a broken link; link or copy the right file, or {fix}"
        yield finding("missing-mask", split, pair.image, "no mask", f"{pair.mask.name} beside the others", fix)
    if scan.orphans:
        fix = "add the image, or remove the mask; check how both are named"
        yield Finding(
            FINDING_KINDS["extra-mask"], split, scan.orphans, "no image of this name", "one image for each mask", fix
        )
    for pair, earlier in scan.repeated:
        yield Finding(
            FINDING_KINDS["duplicate-stem"],
            split,
            (pair.image,),
            f"the stem of {earlier.name}; both would share one mask",
            "a different stem for each image",
            "rename one image and its mask, or remove one",
            related_file=earlier,
        )
    yield from _bad_names(scan)
    yield from _skipped_files(scan)


def missing_instances(scan: Scan) -> Iterator[Finding]:
    """Masks in Cityscapes' layout without an instanceIds file."""
    lacking = tuple(pair.mask for pair in scan.dataset.pairs if not instance_map_of(pair.mask).is_file())
    if lacking:
        fix = "none is needed; the instance-weighted scores are omitted"
        found = "no instanceIds file beside it"
        yield Finding(FINDING_KINDS["missing-instances"], scan.dataset.split, lacking, found, "one", fix)


def _promised_by_cityscapes(root: Path) -> Iterator[tuple[str, str]]:
    """Each split that a folder announces, and what it would lack if it had no images; likewise the next two."""
    for images, masks in (("leftImg8bit", "gtFine"), ("gtFine", "leftImg8bit")):
        for split in _subfolders(root / images):
            has = (root / masks / split).is_dir()
            yield split, f"{images}/{split} without images" if has else f"{images}/{split} without {masks}/{split}"


def _promised_by_camvid(root: Path) -> Iterator[tuple[str, str]]:
    for split in _CAMVID_SPLITS:
        for images, masks in _CAMVID_LAYOUTS:
            for folder in (images.format(split=split), masks.format(split=split)):
                if (root / folder).is_dir():
                    yield split, f"no image in {images.format(split=split)}"


def _promised_by_folder(root: Path) -> Iterator[tuple[str, str]]:
    description = read_description(root)
    for split in description.splits:
        yield split, f"named in dataset.toml, but nothing matches {description.filled(description.by_split, split)}"
    if description.splits or description.pairs:
        return  # The description names all splits.
    for pattern in (description.images, description.masks):
        parts = Path(pattern).parts
        # With {split} as the first part, any folder of the root would match.
        if "{split}" in parts[1:]:
            place = parts.index("{split}")
            for split in _subfolders(root.joinpath(*parts[:place])):
                yield split, f"the folder {'/'.join(parts[:place])}/{split}, but no images for it"


def _subfolders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    return sorted(one.name for one in parent.iterdir() if one.is_dir() and not one.name.startswith("."))


def _unmatched_partials(root: Path, scans: Sequence[Scan]) -> Iterator[Finding]:
    """[[partially_annotated]] entries of the description whose pattern matches no image of any split."""
    images = [
        pair.image
        for scan in scans
        for pair in (*scan.dataset.pairs, *scan.lacking, *(pair for pair, _ in scan.repeated))
    ]
    for partial in read_description(root).partially_annotated:
        if not any(fnmatchcase(image.stem, partial.frames) for image in images):
            found = f"[[partially_annotated]] frames = '{partial.frames}' in {DESCRIPTION}, which matches no image"
            expected = "a pattern of image names without their suffix"
            fix = "correct the pattern, or remove the entry; without it, these frames count as fully annotated"
            yield Finding(FINDING_KINDS["unmatched-partial"], "", (), found, expected, fix)


def _similar_name(mask: Path) -> Path | None:
    """An image file beside a missing mask whose name differs only in its suffix or in capitals."""
    if not mask.parent.is_dir():
        return None
    wanted = mask.stem.casefold()
    near = (one for one in mask.parent.iterdir() if one.stem.casefold() == wanted and one.name != mask.name)
    return min((one for one in near if one.suffix.lower() in SUFFIXES and one.is_file()), default=None)


def _bad_names(scan: Scan) -> Iterator[Finding]:
    """Names that other systems cannot read, and names that differ only in case or in the form of their accents."""
    split = scan.dataset.split
    twins: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for pair in (*scan.dataset.pairs, *scan.lacking):
        # A mask's name mostly follows its image's: report both only where the mask's alone is bad.
        mask_alone = _problem_of_name(pair.mask.name) and not _problem_of_name(pair.image.name)
        for path in (pair.image, pair.mask) if mask_alone else (pair.image,):
            problem = _problem_of_name(path.name)
            if problem:
                yield finding("unreadable-name", split, path, problem, "printable characters in UTF-8", "rename it")
            twins[path.parent, unicodedata.normalize("NFC", path.name).casefold()].append(path)
    for same in twins.values():
        for other in same[1:]:
            yield Finding(
                FINDING_KINDS["unreadable-name"],
                split,
                (other,),
                f"differs from {same[0].name} only in case or in the form of its accents",
                "names that stay distinct on Windows and macOS",
                "rename one of them",
                related_file=same[0],
            )


def _problem_of_name(name: str) -> str:
    if name.isascii() and name.isprintable():
        return ""
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        return "bytes that are not UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "a control character"
    return ""


def _skipped_files(scan: Scan) -> Iterator[Finding]:
    """Image files that are skipped because of their suffix, and broken links."""
    split = scan.dataset.split
    for folder in sorted({pair.image.parent for pair in scan.dataset.pairs}):
        for entry in sorted(os.scandir(folder), key=lambda one: one.name):
            path = Path(entry.path)
            if path.suffix.lower() in SUFFIXES and path.is_symlink() and not path.exists():
                fix = "link or copy the right image; if there is none, remove the pair"
                yield finding("unreadable-image", split, path, "a broken link", "an image", fix)
                continue
            if entry.name.startswith(".") or path.suffix.lower() in SUFFIXES or not entry.is_file():
                continue
            try:
                with opened(path) as header:
                    found = f"{header.format.name} content under the name {path.suffix or path.name}"
            except ImageError as error:
                if "which cannot be read" not in error.problem:
                    continue
                found = error.problem.partition(",")[0]
            except FassdError:
                continue
            expected = f"one of {' '.join(sorted(SUFFIXES))}"
            yield finding("skipped-file", split, path, found, expected, "rename or convert it")
