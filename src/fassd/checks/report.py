"""The result of a check as JSON values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fassd.checks.check import CheckResult
from fassd.checks.findings import Finding
from fassd.checks.repair import RepairResult


def report_as_json(checked: CheckResult, repaired: RepairResult | None = None) -> dict[str, Any]:
    """The report as JSON values; file names are relative to the data set's folder."""
    root = checked.root
    report: dict[str, Any] = {
        "data": checked.spec,
        "errors": len(checked.errors),
        "infos": len(checked.findings) - len(checked.errors),
        "splits": [
            {
                "split": one.split,
                "images": one.images,
                "sizes": {f"{width}x{height}": count for (height, width), count in sorted(one.sizes.items())},
                "shares": one.shares,
                "ignored": one.ignored,
            }
            for one in checked.splits
        ],
        "findings": [_finding(one, root) for one in checked.findings],
    }
    if repaired is not None:
        report["repaired"] = {
            "data": repaired.spec,
            "done": [{**_finding(one.finding, root), "done": one.done} for one in repaired.fixed],
            "left": [_finding(one, root) for one in repaired.remaining],
        }
    return report


def _finding(one: Finding, root: Path) -> dict[str, Any]:
    return {
        "kind": one.kind.name,
        "severity": one.kind.severity,
        "title": one.kind.title,
        "split": one.split,
        "files": [below(file, root) for file in one.files],
        "related_file": None if one.related_file is None else below(one.related_file, root),
        "found": one.found,
        "expected": one.expected,
        "fix": one.fix,
    }


def below(file: Path, root: Path) -> str:
    """A path relative to the data set's folder; unchanged if it is elsewhere."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
