"""What the names and folders of a data set tell, before any file is opened."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.core.errors import FassdError, ImageError
from fassd.data.cityscapes import instance_map_of
from fassd.data.dataset import Pair, Scan
from fassd.media.formats import SUFFIXES, opened

USUAL_SPLITS = ("train", "val")


def file_findings(scan: Scan) -> Iterator[Finding]:
    """Missing, superfluous and badly named files of a split."""
    split = scan.dataset.split
    for pair in scan.lacking:
        remedy = "annotate the image, or take it out; if its mask has another name, rename that"
        twin = _twin(pair.mask)
        if twin is not None:
            save = f", or save it as {pair.mask.suffix[1:].upper()} under that name"
            same = twin.suffix.lower() == pair.mask.suffix.lower()
            remedy = f"{twin.name} lies there: rename it{'' if same else save}"
        if pair.mask.is_symlink():
            remedy = f"{pair.mask.name} is a link to a file that is not there; link or copy the right one, or {remedy}"
        yield _one("missing-mask", split, (pair.image,), "no mask", f"{pair.mask.name} beside the others", remedy)
    if scan.orphans:
        remedy = "add the image, or take the mask out; check how both are named"
        yield _one("extra-mask", split, scan.orphans, "no image of this name", "an image for each mask", remedy)
    for pair, earlier in scan.repeated:
        yield Finding(
            FINDING_KINDS["duplicate-stem"],
            split,
            (pair.image,),
            f"the stem of {earlier.name}; one mask would serve both",
            "a stem of its own for each image",
            "rename one image and its mask, or take one out",
            partner=earlier,
        )
    yield from _names(scan)
    yield from _skipped(scan)


def _twin(mask: Path) -> Path | None:
    """A picture beside a missing mask whose name differs in its suffix, or in capitals, alone."""
    if not mask.parent.is_dir():
        return None
    wanted = mask.stem.casefold()
    near = (one for one in mask.parent.iterdir() if one.stem.casefold() == wanted and one.name != mask.name)
    return min((one for one in near if one.suffix.lower() in SUFFIXES and one.is_file()), default=None)


def missing_instances(scan: Scan) -> Iterator[Finding]:
    """Masks in Cityscapes' layout without the file that tells objects apart."""
    lacking = tuple(pair.mask for pair in scan.dataset.pairs if not instance_map_of(pair.mask).is_file())
    if lacking:
        remedy = "none is needed; the scores weighted by instances are left out"
        yield _one("missing-instances", scan.dataset.split, lacking, "no instanceIds file beside it", "one", remedy)


def _names(scan: Scan) -> Iterator[Finding]:
    pairs = (*scan.dataset.pairs, *scan.lacking)
    twins: defaultdict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in _files(pairs):
        reason = _unreadable(path.name)
        if reason:
            yield _one(
                "unreadable-name", scan.dataset.split, (path,), reason, "printable characters in UTF-8", "rename it"
            )
        # Pure ASCII in lower case, the rule, is its own folded form.
        twins[path.parent, unicodedata.normalize("NFC", path.name).casefold()].append(path)
    for same in twins.values():
        for other in same[1:]:
            yield Finding(
                FINDING_KINDS["unreadable-name"],
                scan.dataset.split,
                (other,),
                f"differs from {same[0].name} in case or in the form of its accents only",
                "names that stay apart on Windows and macOS",
                "rename one of them",
                partner=same[0],
            )


def _files(pairs: Iterable[Pair]) -> Iterator[Path]:
    """Every image and mask once; the names of masks mostly follow the images'."""
    for pair in pairs:
        yield pair.image
        if _unreadable(pair.mask.name) and not _unreadable(pair.image.name):
            yield pair.mask


def _unreadable(name: str) -> str:
    if name.isascii() and name.isprintable():
        return ""
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        return "bytes that are not UTF-8"
    if any(unicodedata.category(letter) == "Cc" for letter in name):
        return "a control character"
    return ""


def _skipped(scan: Scan) -> Iterator[Finding]:
    """Pictures whose names do not say so, which nobody reads."""
    for folder in sorted({pair.image.parent for pair in scan.dataset.pairs}):
        for entry in sorted(os.scandir(folder), key=lambda one: one.name):
            path = Path(entry.path)
            if path.suffix.lower() in SUFFIXES and path.is_symlink() and not path.exists():
                text, wanted = "a link to a file that is not there", "an image"
                remedy = "link or copy the right image; if there is none, remove the pair"
                yield _one("unreadable-image", scan.dataset.split, (path,), text, wanted, remedy)
                continue
            if entry.name.startswith(".") or path.suffix.lower() in SUFFIXES or not entry.is_file():
                continue
            found = _picture_all_the_same(path)
            if found:
                wanted = f"one of {' '.join(sorted(SUFFIXES))}"
                yield _one("skipped-file", scan.dataset.split, (path,), found, wanted, "rename or convert it")


def _picture_all_the_same(path: Path) -> str:
    try:
        with opened(path) as header:
            return f"{header.format.name} content under the name {path.suffix or path.name}"
    except ImageError as error:
        return error.problem.partition(",")[0] if "which cannot be read" in error.problem else ""
    except FassdError:
        return ""


def _one(name: str, split: str, files: tuple[Path, ...], found: str, expected: str, remedy: str) -> Finding:
    return Finding(FINDING_KINDS[name], split, files, found, expected, remedy)
