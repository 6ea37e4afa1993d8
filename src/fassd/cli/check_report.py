"""How `fassd data check` prints what it found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from fassd.checks.report import below, root_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from fassd.checks.check import Checked, SplitSummary
    from fassd.checks.findings import Finding
    from fassd.checks.repair import Repaired

_LISTED = 4
"""Files, or causes, that are shown of one kind."""
_SIZES = 3
_INDENT, _WORD, _NARROWEST = 6, 10, 20
"""Columns before a row, of its first word, and of what it says at least."""
_STYLE = {"fault": "red", "note": "yellow"}


def print_checked(checked: Checked, console: Console | None = None) -> None:
    """Prints splits, classes and findings; long lists shortened."""
    console = console or _console()
    console.print(_plain(checked.spec), style="bold", soft_wrap=True)
    console.print()
    console.print(_split_table(checked.splits))
    console.print()
    console.print(_class_table(checked.splits))
    for _, alike in groupby(checked.findings, key=lambda one: (one.kind, one.split)):
        console.print()
        _print_kind(console, list(alike), root_of(checked))
    console.print()
    console.print(_verdict(checked))


def print_repaired(repaired: Repaired, root: Path, console: Console | None = None) -> None:
    """Prints what the corrected copy mends and what it leaves."""
    console = console or _console()
    console.print()
    console.print(_plain(f"corrected copy: {repaired.spec}"), style="bold", soft_wrap=True)
    for one in repaired.done:
        _print_row(console, "mended", f"{one.finding.kind.title}: {one.what}", 0, "green")
        _print_files(console, "", _files(one.finding, root, 1), 0)
    for left in repaired.left:
        _print_row(console, "left", f"{left.kind.title}: {left.remedy}", 0, "yellow")
        _print_files(console, "", _files(left, root, 1), 0)
    if not (repaired.done or repaired.left):
        console.print("nothing to mend: a plain copy")


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _plain(text: str) -> Text:
    """Text without markup; what names hold besides printable characters becomes escapes."""
    from rich.text import Text

    return Text("".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text))


def _split_table(splits: Sequence[SplitSummary]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, side in (("split", "left"), ("images", "right"), ("width x height", "left"), ("ignored", "right")):
        table.add_column(title, justify="right" if side == "right" else "left")
    for one in splits:
        common = sorted(one.sizes.items(), key=lambda item: -item[1])
        sizes = ", ".join(f"{width}x{height}" + (f" ({count})" if len(common) > 1 else "")
                          for (height, width), count in common[:_SIZES])  # fmt: skip
        more = f", {len(common) - _SIZES} more" if len(common) > _SIZES else ""
        table.add_row(one.split, f"{one.images:,}", sizes + more, f"{one.ignored:.1%}")
    return table


def _class_table(splits: Sequence[SplitSummary]) -> RenderableType:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("share of labeled pixels, %")
    for one in splits:
        table.add_column(one.split, justify="right")
    for name in splits[0].shares:
        table.add_row(_plain(name), *(_percent(one.shares[name]) for one in splits))
    return table


def _percent(share: float) -> str:
    if share == 0:
        return "[dim]none[/]"
    return f"{share * 100:.2f}" if share >= 5e-5 else "<0.01"


def _print_kind(console: Console, findings: Sequence[Finding], root: Path) -> None:
    """One kind in one split: what it is, the files with what was found, what to do."""
    kind, split = findings[0].kind, findings[0].split
    count = sum(len(one.files) for one in findings)
    files = f", {count:,} file{'s' * (count != 1)}" if count else ""
    heading = _plain(f"{kind.grade:<5} ")
    heading.stylize(f"bold {_STYLE[kind.grade]}")
    heading.append(kind.title, style="bold").append(f"  {split}{files}", style="dim")
    console.print(heading)
    for one in findings[:_LISTED]:
        _print_row(console, "found", one.found)
        _print_files(console, "in", _files(one, root, _LISTED if len(findings) == 1 else 1))
    if len(findings) > _LISTED:
        _print_row(console, "", f"and {len(findings) - _LISTED:,} more")
    for word, texts in (("expected", (one.expected for one in findings)), ("remedy", (one.remedy for one in findings))):
        for place, text in enumerate(_several(texts)):
            _print_row(console, "" if place else word, text)


def _print_row(console: Console, word: str, text: str, indent: int = _INDENT, style: str = "dim") -> None:
    """A word and, beside it, what it says in as many lines as it takes."""
    room = max(_NARROWEST, console.width - indent - _WORD)
    for place, line in enumerate(_plain(text).wrap(console, room)):
        line.rstrip()
        _print_line(console, "" if place else word, line, indent, style)


def _print_files(console: Console, word: str, names: Sequence[str], indent: int = _INDENT) -> None:
    """A line for each file, and another behind a slash where there is no room: never within a part of a name."""
    room = max(_NARROWEST, console.width - indent - _WORD)
    for place, name in enumerate(names):
        line, *more = (_plain(part) for part in _folded(name, room))
        _print_line(console, "" if place else word, line, indent, "dim")
        for part in more:
            _print_line(console, "", part, indent + 2, "dim")


def _print_line(console: Console, word: str, text: Text, indent: int, style: str) -> None:
    console.print(f"{'':{indent}}[{style}]{word:<{_WORD}}[/]", text, sep="", soft_wrap=True)


def _folded(name: str, room: int) -> list[str]:
    """A path in parts that end behind slashes, as long as there is room for."""
    parts = re.findall(r"[^/]*/|[^/]+$", name)
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + len(part) > room:
            lines.append("")
        lines[-1] += part
    return lines


def _several(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))[:_LISTED]


def _files(finding: Finding, root: Path, most: int) -> list[str]:
    """The first files, one for each line, so that they can be copied."""
    shown = [below(file, root) for file in finding.files[:most]]
    more = len(finding.files) - most
    return [*shown, f"and {more:,} more"] if more > 0 else shown


def _verdict(checked: Checked) -> Text:
    from rich.text import Text

    faults, notes = len(checked.faults), len(checked.findings) - len(checked.faults)
    images = sum(one.images for one in checked.splits)
    found = f"{faults or 'no'} fault{'s' * (faults != 1)}, {notes or 'no'} note{'s' * (notes != 1)}"
    verdict = Text().append(found, style="bold red" if faults else "bold green").append(f" in {images:,} images")
    mendable = any("--fix" in one.remedy for one in checked.faults)
    hints = ["--fix OUT writes a corrected copy"] * mendable + ["--json lists every file"] * bool(checked.findings)
    return verdict.append("\n" + "; ".join(hints) if hints else "", style="dim")
