"""A corrected copy of a data set: problems with one certain fix are fixed, everything else is copied unchanged."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import PIL.Image
from PIL.Image import Transpose

from fassd.checks.check import CheckResult, check_dataset
from fassd.checks.findings import Finding
from fassd.checks.mask_values import Table
from fassd.core.arrays import MaskValues
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.files import with_home
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.cityscapes import instance_map_of
from fassd.data.dataset import Pair, Scan
from fassd.data.description import DESCRIPTION, Description, read_description
from fassd.data.mask_encoding import MaskEncoding
from fassd.data.open_dataset import scan_dataset
from fassd.media.formats import opened
from fassd.media.images import read_image
from fassd.media.masks import read_colors, read_values

_OMITTED = {
    "missing-mask": "omitted: there is no mask",
    "extra-mask": "omitted: there is no image",
    "empty-file": "omitted with the other file of the pair",
    "unreadable-image": "omitted with its mask",
    "unreadable-mask": "omitted with its image",
    "leak": "omitted from this split",
}
"""Kinds of findings whose pairs are not copied, and what is reported then."""


@dataclass(frozen=True)
class AppliedFix:
    """A finding and what was done about it."""

    finding: Finding
    done: str


@dataclass(frozen=True)
class RepairResult:
    """A corrected copy.

    Attributes:
        spec: "kind:PATH" of the copy.
        fixed: findings that the copy no longer has.
        remaining: the errors of the copy, with the names of the original files.
    """

    spec: str
    fixed: tuple[AppliedFix, ...]
    remaining: tuple[Finding, ...]


@dataclass
class _Plan:
    """The changes to single files.

    Attributes:
        root: of the data set.
        omitted: files whose pairs are not copied.
        tables: by mask, the correct value for each value.
        turns: by mask, the flip or rotation that aligns it; by image, the one that aligns its mask.
        resaved: files to be saved as PNG.
        suffixes: new suffixes.
    """

    root: Path
    omitted: set[Path] = field(default_factory=set)
    tables: dict[Path, Table] = field(default_factory=dict)
    turns: dict[Path, Transpose] = field(default_factory=dict)
    resaved: set[Path] = field(default_factory=set)
    suffixes: dict[Path, str] = field(default_factory=dict)

    def kept(self, scan: Scan) -> Iterator[Pair]:
        """The pairs of a split that are copied."""
        return (pair for pair in scan.dataset.pairs if not {pair.image, pair.mask} & self.omitted)

    def target(self, file: Path, folder: Path) -> Path:
        """Where a file goes in the copy; its folder is made.

        Raises:
            DataError: the file is outside the data set.
        """
        below = file.relative_to(self.root) if file.is_relative_to(self.root) else Path("..")
        if ".." in below.parts:
            raise DataError(file, f"is outside {self.root}, so a copy cannot keep the layout; move it there")
        target = folder / below
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_suffix(self.suffixes[file]) if file in self.suffixes else target


def repair(checked: CheckResult, out: Path, processes: int = 1, watch: Watch = ignore_events) -> RepairResult:
    """Writes a corrected copy of the splits that were checked, in the layout of the original, and checks the copy.

    Args:
        checked: the result of a check.
        out: a new or empty folder, neither inside the data set nor around it.
        processes: number of processes that check the copy.
        watch: gets "file" after each pair, and the events of `check_dataset` for the copy.

    Raises:
        UsageError: `out` is neither new nor empty, or is inside the data set; or the data set has no sound pair.
        DataError: the data set names files outside its folder.
        FileError: the copy cannot be written; then nothing of it remains.
    """
    kind, root = checked.spec.partition(":")[0], checked.root
    check_out(out, root)
    scans = [scan_dataset(checked.spec, one.split) for one in checked.splits]
    description = read_description(root) if kind == "folder" else None
    plan = _Plan(root)
    planned = [AppliedFix(one, done) for one in checked.findings if (done := _plan_fix(one, plan, description))]
    splits = [scan.dataset.split for scan in scans if any(True for _ in plan.kept(scan))]
    if not splits:
        raise UsageError(f"--fix {out}: nothing would be left of {checked.spec}, which has no sound pair")
    with _folder_written_whole(out) as folder:
        _copy_pairs(scans, plan, folder, watch)
        for name in (DESCRIPTION, "terms.txt"):
            if (root / name).is_file():
                shutil.copyfile(root / name, folder / name)
        if description is not None and description.pairs:
            _write_lists(scans, plan, description, folder)
    spec = f"{kind}:{out}"
    originals = {
        plan.target(file, out): file for scan in scans for pair in plan.kept(scan) for file in (pair.image, pair.mask)
    }
    errors = [_with_original_names(one, originals) for one in check_dataset(spec, splits, processes, watch).errors]

    def remains(one: Finding) -> bool:
        return any(error.kind == one.kind and not {*error.files}.isdisjoint(one.files) for error in errors)

    # The copy has no more splits than its original; splits that are missing there stay missing.
    remaining = [one for one in checked.errors if not one.files] + errors
    return RepairResult(spec, tuple(one for one in planned if not remains(one.finding)), tuple(remaining))


def check_out(out: Path, root: Path) -> None:
    """Refuses a folder for a copy before the work begins.

    Raises:
        UsageError: it is neither new nor empty, or is inside the data set or around it.
    """
    inner, outer = with_home(out).resolve(), root.resolve()
    if inner == outer or outer in inner.parents or inner in outer.parents:
        raise UsageError(f"--fix {out}: the copy would be inside the data set or around it; choose another folder")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--fix {out}: exists and is not empty; give a new or empty folder")


def _plan_fix(finding: Finding, plan: _Plan, description: Description | None) -> str:
    """Adds the fix of a finding to the plan.

    Returns:
        What is done; "" where there is no certain fix.
    """
    name, files = finding.kind.name, finding.files
    if name in _OMITTED:
        plan.omitted.update(files)
        return _OMITTED[name]
    if finding.table or finding.tables:
        plan.tables.update({file: finding.table_of(file) for file in files})
        return "rewritten with the correct values"
    if finding.turn is not None:
        plan.turns.update(dict.fromkeys(files, finding.turn))
        return "mask turned to fit its image"
    if name == "wrong-suffix":
        done = dict.fromkeys(_plan_suffix(file, plan, description) for file in files)
        return " and ".join(done).strip()
    return ""


def _plan_suffix(file: Path, plan: _Plan, description: Description | None) -> str:
    with opened(file) as header:
        suffix, lossless = header.format.suffixes[0], header.format.name != "JPEG"
    renamed = file.with_suffix(suffix).relative_to(plan.root).as_posix()
    pattern = "*" if description is None else (description.pairs and "*") or description.images.replace("{split}", "*")
    if file.suffix.lower() == ".png":
        plan.resaved.add(file)
        return "saved as PNG" if lossless else "saved as PNG, as its name says"
    if fnmatch(renamed, pattern) and not file.with_suffix(suffix).exists():
        plan.suffixes[file] = suffix
        return f"renamed to {suffix}"
    return ""


@contextmanager
def _folder_written_whole(out: Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes `out` once the block has succeeded."""
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


def _copy_pairs(scans: list[Scan], plan: _Plan, folder: Path, watch: Watch) -> None:
    total, done = sum(len(scan.dataset) for scan in scans), 0
    for scan in scans:
        for pair in plan.kept(scan):
            image, mask = plan.target(pair.image, folder), plan.target(pair.mask, folder)
            if pair.image in plan.resaved:
                PIL.Image.fromarray(read_image(pair.image)).save(image, "PNG")
            else:
                shutil.copyfile(pair.image, image)
            table = plan.tables.get(pair.mask)
            turn = plan.turns.get(pair.mask, plan.turns.get(pair.image))
            if table is None and turn is None and pair.mask not in plan.resaved:
                shutil.copyfile(pair.mask, mask)
            else:
                _rewrite_mask(pair.mask, mask, scan.dataset.encoding, table, turn)
            instances = instance_map_of(pair.mask)
            if scan.dataset.spec.startswith("cityscapes:") and instances.is_file():
                shutil.copyfile(instances, plan.target(instances, folder))
            done += 1
            watch(Event("file", {"done": done, "total": total}))
        for pair, _ in scan.repeated:
            shutil.copyfile(pair.image, plan.target(pair.image, folder))


def _rewrite_mask(mask: Path, out: Path, encoding: MaskEncoding, table: Table | None, turn: Transpose | None) -> None:
    """Writes a corrected mask as PNG, whatever the suffix of `out`.

    Args:
        mask: the file to read.
        out: the file to write.
        encoding: what the copy should hold.
        table: the correct value for each value; None if all are correct.
        turn: the flip or rotation that aligns the mask with its image; None if it is aligned.
    """
    with opened(mask) as header:
        mode = header.image.mode
    colored = mode in ("RGB", "RGBA", "RGBX")
    if table is not None and colored != encoding.by_color and mode != "P":
        values = read_colors(mask) if colored else read_values(mask)
    else:
        values = encoding.read(mask)
    if table is not None:
        found, places = np.unique(values, return_inverse=True)
        correct = np.array([table.get(int(value), int(value)) for value in found], np.uint32)
        values = correct[places].reshape(values.shape)
    if turn is not None:
        values = _turned(values, turn)
    if encoding.by_color:
        pixels = np.stack([(values >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)], -1)
    else:
        pixels = values.astype(np.uint8 if values.max() < 256 else np.uint16)
    PIL.Image.fromarray(pixels).save(out, "PNG")


def _turned(values: MaskValues, turn: Transpose) -> MaskValues:
    """As `PIL.Image.Image.transpose`, which does not support 32-bit values."""
    view = {
        Transpose.FLIP_LEFT_RIGHT: values[:, ::-1],
        Transpose.FLIP_TOP_BOTTOM: values[::-1],
        Transpose.ROTATE_180: values[::-1, ::-1],
        Transpose.ROTATE_90: np.rot90(values),
        Transpose.ROTATE_270: np.rot90(values, 3),
        Transpose.TRANSPOSE: values.T,
        Transpose.TRANSVERSE: values[::-1, ::-1].T,
    }[turn]
    turned: MaskValues = np.ascontiguousarray(view)
    return turned


def _write_lists(scans: list[Scan], plan: _Plan, description: Description, folder: Path) -> None:
    """Writes the lists of pairs that the description names."""
    for scan in scans:
        lines = [
            ",".join(plan.target(file, folder).relative_to(folder).as_posix() for file in (pair.image, pair.mask))
            for pair in plan.kept(scan)
        ]
        path = folder / description.filled(description.pairs, scan.dataset.split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def _with_original_names(error: Finding, originals: dict[Path, Path]) -> Finding:
    """An error of the copy with the names of the original files, without the advice to use --fix."""
    files = tuple(originals.get(file, file) for file in error.files)
    related = None if error.related_file is None else originals.get(error.related_file, error.related_file)
    return replace(error, files=files, related_file=related, fix=re.sub(r"; --fix [^;]*", "", error.fix))
