"""A corrected copy of a data set: whatever has one right remedy is mended, the rest is copied as it is."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from PIL.Image import Transpose

from fassd.checks.check import Checked, check_dataset
from fassd.checks.findings import Finding
from fassd.checks.mask_values import Table
from fassd.checks.rewrite import rewrite_mask, rewrite_picture
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.files import with_home
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.cityscapes import instance_map_of
from fassd.data.dataset import Pair, Scan
from fassd.data.description import DESCRIPTION, Description, read_description
from fassd.data.open_dataset import scan_dataset
from fassd.media.formats import opened

_LEFT_OUT = {
    "missing-mask": "left out, for there is no mask",
    "extra-mask": "left out, for there is no image",
    "empty-file": "left out with the other file of the pair",
    "unreadable-image": "left out with its mask",
    "unreadable-mask": "left out with its image",
    "leak": "left out of this split",
}
"""Kinds of findings whose pairs are not copied."""


@dataclass(frozen=True)
class Repair:
    """What was done about a finding."""

    finding: Finding
    what: str


@dataclass(frozen=True)
class Repaired:
    """A corrected copy.

    Attributes:
        spec: "kind:PATH" of the copy.
        done: what was mended, and is not found in the copy any more.
        left: the faults of the copy, under the names of the original files.
    """

    spec: str
    done: tuple[Repair, ...]
    left: tuple[Finding, ...]


@dataclass
class _Plan:
    """What becomes of single files."""

    left_out: set[Path] = field(default_factory=set)
    tables: dict[Path, Table] = field(default_factory=dict)
    turns: dict[Path, Transpose] = field(default_factory=dict)
    resaved: set[Path] = field(default_factory=set)
    renamed: dict[Path, str] = field(default_factory=dict)


def repair(checked: Checked, out: Path, processes: int = 1, watch: Watch = ignore_events) -> Repaired:
    """Writes a corrected copy in the layout of the original, of the splits that were checked, and checks it in turn.

    Args:
        checked: what is wrong with the data set.
        out: a new or empty folder, neither inside the data set nor around it.
        processes: that read the copy.
        watch: gets "file" after each pair, and what `check_dataset` tells of the copy.

    Raises:
        UsageError: `out` is neither new nor empty, or lies inside the data set; or the data set has no sound pair.
        DataError: the data set names files outside its folder.
        FileError: the copy cannot be written; nothing is left of it then.
    """
    kind, _, path = checked.spec.partition(":")
    root = with_home(path)
    check_out(out, root)
    scans = [scan_dataset(checked.spec, one.split) for one in checked.splits]
    description = read_description(root) if kind == "folder" else None
    plan = _Plan()
    tried = [Repair(one, what) for one in checked.findings if (what := _decide(one, plan, description, root))]
    splits = [scan.dataset.split for scan in scans if any(True for _ in _kept(scan, plan))]
    if not splits:
        raise UsageError(f"--fix {out}: nothing would be left of {checked.spec}, for it has no sound pair")
    with _folder_written_whole(out) as folder:
        _copy_all(scans, plan, root, folder, watch)
        _copy_papers(root, folder)
        if description is not None and description.pairs:
            _write_lists(scans, plan, description, root, folder)
    spec = f"{kind}:{out}"
    origins = {
        _place(file, plan, root, out): file for scan in scans for pair in _kept(scan, plan) for file in _both(pair)
    }
    of_copy = [_at_home(one, origins) for one in check_dataset(spec, splits, processes, watch).faults]
    # A copy has no more splits than its original: what is missing of them stays missing.
    left = [one for one in checked.faults if not one.files] + of_copy
    return Repaired(spec, tuple(one for one in tried if not _stays(one.finding, of_copy)), tuple(left))


def _both(pair: Pair) -> tuple[Path, Path]:
    return pair.image, pair.mask


def _at_home(finding: Finding, origins: dict[Path, Path]) -> Finding:
    """A fault of the copy as one of the original, which could not be mended."""
    files = tuple(origins.get(file, file) for file in finding.files)
    partner = None if finding.partner is None else origins.get(finding.partner, finding.partner)
    return replace(finding, files=files, partner=partner, remedy=re.sub(r"; --fix [^;]*", "", finding.remedy))


def _stays(finding: Finding, left: list[Finding]) -> bool:
    """Whether the copy has the same fault in some of the same files."""
    return any(one.kind == finding.kind and not {*one.files}.isdisjoint(finding.files) for one in left)


def _decide(finding: Finding, plan: _Plan, description: Description | None, root: Path) -> str:
    """Enters a finding's remedy into the plan; returns what is done, or "" if nothing can be."""
    name, files = finding.kind.name, finding.files
    if name in _LEFT_OUT:
        plan.left_out.update(files)
        return _LEFT_OUT[name]
    if finding.table or finding.tables:
        plan.tables.update({file: finding.table_of(file) for file in files})
        return "written anew with the right values"
    if finding.turn is not None:
        plan.turns.update(dict.fromkeys(files, finding.turn))
        return "the mask turned so that it fits"
    if name == "wrong-suffix":
        return " and ".join(dict.fromkeys(_suffix_remedy(file, plan, description, root) for file in files)).strip()
    return ""


def _suffix_remedy(file: Path, plan: _Plan, description: Description | None, root: Path) -> str:
    with opened(file) as header:
        suffix, lossless = header.format.suffixes[0], header.format.name != "JPEG"
    renamed = file.with_suffix(suffix).relative_to(root).as_posix()
    pattern = "*" if description is None else (description.pairs and "*") or description.images.replace("{split}", "*")
    taken = file.with_suffix(suffix).exists()
    if file.suffix.lower() == ".png":
        plan.resaved.add(file)
        return "saved as PNG" if lossless else "saved as PNG, as its name says"
    if fnmatch(renamed, pattern) and not taken:
        plan.renamed[file] = suffix
        return f"renamed to {suffix}"
    return ""


def check_out(out: Path, root: Path) -> None:
    """Refuses a folder for a copy before the work begins.

    Raises:
        UsageError: it is neither new nor empty, or lies inside the data set or around it.
    """
    inner, outer = with_home(out).resolve(), root.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise UsageError(f"--fix {out}: the copy would lie inside the data set or around it; choose a folder elsewhere")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--fix {out}: there is something already; give a new or empty folder")


@contextmanager
def _folder_written_whole(out: Path) -> Iterator[Path]:
    """Yields a folder beside `out` that becomes `out` once the block has succeeded."""
    temporary = out.with_name(f".{out.name}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise FileError(out, f"cannot be written ({error.strerror or error}); choose another folder") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_all(scans: list[Scan], plan: _Plan, root: Path, folder: Path, watch: Watch) -> None:
    total, done = sum(len(scan.dataset) for scan in scans), 0
    for scan in scans:
        for pair in _kept(scan, plan):
            image = _place(pair.image, plan, root, folder)
            if pair.image in plan.resaved:
                rewrite_picture(pair.image, image)
            else:
                shutil.copyfile(pair.image, image)
            _copy_mask(pair, scan, plan, _place(pair.mask, plan, root, folder))
            instances = instance_map_of(pair.mask)
            if scan.dataset.spec.startswith("cityscapes:") and instances.is_file():
                shutil.copyfile(instances, _place(instances, plan, root, folder))
            done += 1
            watch(Event("file", {"done": done, "total": total}))
        for pair, _ in scan.repeated:
            shutil.copyfile(pair.image, _place(pair.image, plan, root, folder))


def _copy_mask(pair: Pair, scan: Scan, plan: _Plan, place: Path) -> None:
    turn = plan.turns.get(pair.mask, plan.turns.get(pair.image))
    table = plan.tables.get(pair.mask)
    if table is None and turn is None and pair.mask not in plan.resaved:
        shutil.copyfile(pair.mask, place)
        return
    rewrite_mask(pair.mask, place, scan.dataset.encoding, table, turn)


def _kept(scan: Scan, plan: _Plan) -> Iterator[Pair]:
    return (pair for pair in scan.dataset.pairs if not {pair.image, pair.mask} & plan.left_out)


def _place(file: Path, plan: _Plan, root: Path, folder: Path) -> Path:
    """Where a file goes; its folder is made."""
    try:
        below = file.relative_to(root)
    except ValueError:
        below = Path("..")
    if ".." in below.parts:
        raise DataError(file, f"lies outside {root}, so a copy cannot keep the layout; move it there")
    place = folder / below
    place.parent.mkdir(parents=True, exist_ok=True)
    return place.with_suffix(plan.renamed[file]) if file in plan.renamed else place


def _copy_papers(root: Path, folder: Path) -> None:
    for name in (DESCRIPTION, "terms.txt"):
        if (root / name).is_file():
            shutil.copyfile(root / name, folder / name)


def _write_lists(scans: list[Scan], plan: _Plan, description: Description, root: Path, folder: Path) -> None:
    for scan in scans:
        lines = [
            ",".join(
                _place(file, plan, root, folder).relative_to(folder).as_posix() for file in (pair.image, pair.mask)
            )
            for pair in _kept(scan, plan)
        ]
        place = folder / description.filled(description.pairs, scan.dataset.split)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("\n".join([*lines, ""]), encoding="utf-8")
