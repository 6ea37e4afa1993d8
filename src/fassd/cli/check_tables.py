"""Prints the result of `fassd data check`: tables of splits and classes, and the findings by kind."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fassd.checks.check import CheckResult, SplitSummary
from fassd.checks.findings import Finding
from fassd.checks.repair import RepairResult
from fassd.checks.report import below

_MAX_LISTED = 4
"""Files, or causes, that are listed of one kind."""
_MAX_SIZES = 3
_INDENT, _WORD, _NARROWEST = 6, 10, 20
"""Columns before a row, of its first word, and at least of its text."""
_STYLE = {"error": "red", "info": "yellow"}


def print_checked(checked: CheckResult, console: Console | None = None) -> None:
    """Prints splits, classes and findings; long lists are shortened."""
    console = console or Console(highlight=False)
    console.print(_plain(checked.spec), style="bold", soft_wrap=True)
    console.print()
    console.print(_split_table(checked.splits))
    console.print()
    console.print(_class_table(checked.splits))
    for _, alike in groupby(checked.findings, key=lambda one: (one.kind, one.split)):
        console.print()
        _print_kind(console, list(alike), checked.root)
    errors, infos = len(checked.errors), len(checked.findings) - len(checked.errors)
    images = sum(one.images for one in checked.splits)
    counts = f"{errors or 'no'} error{'s' * (errors != 1)}, {infos or 'no'} info{'s' * (infos != 1)}"
    verdict = Text().append(counts, style="bold red" if errors else "bold green").append(f" in {images:,} images")
    fixable = any("--fix" in one.fix for one in checked.errors)
    hints = ["--fix OUT writes a corrected copy"] * fixable + ["--json lists every file"] * bool(checked.findings)
    console.print()
    console.print(verdict.append("\n" + "; ".join(hints) if hints else "", style="dim"))


def print_repaired(repaired: RepairResult, root: Path, console: Console | None = None) -> None:
    """Prints what the corrected copy fixes and what remains."""
    console = console or Console(highlight=False)
    console.print()
    console.print(_plain(f"corrected copy: {repaired.spec}"), style="bold", soft_wrap=True)
    for one in repaired.fixed:
        _print_row(console, "fixed", f"{one.finding.kind.title}: {one.done}", 0, "green")
        _print_files(console, "", _first_files(one.finding, root, 1), 0)
    for left in repaired.remaining:
        _print_row(console, "remains", f"{left.kind.title}: {left.fix}", 0, "yellow")
        _print_files(console, "", _first_files(left, root, 1), 0)
    if not (repaired.fixed or repaired.remaining):
        console.print("nothing to fix: a plain copy")


def _plain(text: str) -> Text:
    """Text without markup; characters that cannot be printed are escaped."""
    return Text("".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text))


def _split_table(splits: Sequence[SplitSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("split")
    table.add_column("images", justify="right")
    table.add_column("width x height")
    table.add_column("ignored", justify="right")
    for one in splits:
        common = sorted(one.sizes.items(), key=lambda item: -item[1])
        sizes = [
            f"{width}x{height}" + (f" ({count})" if len(common) > 1 else "")
            for (height, width), count in common[:_MAX_SIZES]
        ]
        if len(common) > _MAX_SIZES:
            sizes.append(f"{len(common) - _MAX_SIZES} more")
        table.add_row(one.split, f"{one.images:,}", ", ".join(sizes), f"{one.ignored:.1%}")
    return table


def _class_table(splits: Sequence[SplitSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("share of labeled pixels, %")
    for one in splits:
        table.add_column(one.split, justify="right")
    for name in splits[0].shares:
        table.add_row(_plain(name), *(_share_text(one.shares[name]) for one in splits))
    return table


def _share_text(share: float) -> str:
    if share == 0:
        return "[dim]none[/]"
    return f"{share * 100:.2f}" if share >= 5e-5 else "<0.01"


def _print_kind(console: Console, findings: Sequence[Finding], root: Path) -> None:
    """The findings of one kind in one split: title, files with what was found, fixes."""
    kind, split = findings[0].kind, findings[0].split
    count = sum(len(one.files) for one in findings)
    files = f", {count:,} file{'s' * (count != 1)}" if count else ""
    heading = _plain(f"{kind.severity:<5} ")
    heading.stylize(f"bold {_STYLE[kind.severity]}")
    heading.append(kind.title, style="bold").append(f"  {split}{files}", style="dim")
    console.print(heading)
    for one in findings[:_MAX_LISTED]:
        _print_row(console, "found", one.found)
        _print_files(console, "in", _first_files(one, root, _MAX_LISTED if len(findings) == 1 else 1))
    if len(findings) > _MAX_LISTED:
        _print_row(console, "", f"and {len(findings) - _MAX_LISTED:,} more")
    for word, texts in (("expected", [one.expected for one in findings]), ("fix", [one.fix for one in findings])):
        for place, text in enumerate(list(dict.fromkeys(texts))[:_MAX_LISTED]):
            _print_row(console, "" if place else word, text)


def _print_row(console: Console, word: str, text: str, indent: int = _INDENT, style: str = "dim") -> None:
    """A word and, beside it, a text in as many lines as it takes."""
    room = max(_NARROWEST, console.width - indent - _WORD)
    for place, line in enumerate(_plain(text).wrap(console, room)):
        line.rstrip()
        _print_line(console, "" if place else word, line, indent, style)


def _print_files(console: Console, word: str, names: Sequence[str], indent: int = _INDENT) -> None:
    """A line for each file; long paths are broken behind slashes only."""
    room = max(_NARROWEST, console.width - indent - _WORD)
    for place, name in enumerate(names):
        line, *more = (_plain(part) for part in _folded(name, room))
        _print_line(console, "" if place else word, line, indent, "dim")
        for part in more:
            _print_line(console, "", part, indent + 2, "dim")


def _print_line(console: Console, word: str, text: Text, indent: int, style: str) -> None:
    console.print(f"{'':{indent}}[{style}]{word:<{_WORD}}[/]", text, sep="", soft_wrap=True)


def _folded(name: str, room: int) -> list[str]:
    """A path in pieces that end behind slashes, each as long as there is room for."""
    lines = [""]
    for part in re.findall(r"[^/]*/|[^/]+$", name):
        if lines[-1] and len(lines[-1]) + len(part) > room:
            lines.append("")
        lines[-1] += part
    return lines


def _first_files(finding: Finding, root: Path, most: int) -> list[str]:
    """The first files, one for each line, so that they can be copied."""
    shown = [below(file, root) for file in finding.files[:most]]
    more = len(finding.files) - most
    return [*shown, f"and {more:,} more"] if more > 0 else shown
