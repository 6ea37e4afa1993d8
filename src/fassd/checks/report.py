"""What a check found, as JSON values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fassd.checks.check import Checked, SplitSummary
from fassd.checks.findings import Finding
from fassd.checks.repair import Repaired
from fassd.core.files import with_home


def as_json(checked: Checked, repaired: Repaired | None = None) -> dict[str, Any]:
    """The report as JSON values; files as paths below the data set's folder, each finding with all of its files."""
    root = root_of(checked)
    copy = {} if repaired is None else {"repaired": _repaired(repaired, root)}
    return {
        "data": checked.spec,
        "faults": len(checked.faults),
        "notes": len(checked.findings) - len(checked.faults),
        "splits": [_split(one) for one in checked.splits],
        "findings": [_finding(one, root) for one in checked.findings],
        **copy,
    }


def root_of(checked: Checked) -> Path:
    """The data set's folder."""
    return with_home(checked.spec.partition(":")[2])


def _repaired(repaired: Repaired, root: Path) -> dict[str, Any]:
    return {
        "data": repaired.spec,
        "done": [{**_finding(one.finding, root), "done": one.what} for one in repaired.done],
        "left": [_finding(one, root) for one in repaired.left],
    }


def _split(one: SplitSummary) -> dict[str, Any]:
    return {
        "split": one.split,
        "images": one.images,
        "sizes": {f"{width}x{height}": count for (height, width), count in sorted(one.sizes.items())},
        "shares": one.shares,
        "ignored": one.ignored,
    }


def _finding(one: Finding, root: Path) -> dict[str, Any]:
    return {
        "kind": one.kind.name,
        "grade": one.kind.grade,
        "title": one.kind.title,
        "split": one.split,
        "files": [below(file, root) for file in one.files],
        "partner": None if one.partner is None else below(one.partner, root),
        "found": one.found,
        "expected": one.expected,
        "remedy": one.remedy,
    }


def below(file: Path, root: Path) -> str:
    """A file's path below the data set's folder, where it lies there."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
