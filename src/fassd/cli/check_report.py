"""How `fassd data check` prints what it found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from fassd.tasks.check import below, root_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from fassd.checks.check import Checked, SplitSummary
    from fassd.checks.findings import Finding
    from fassd.checks.repair import Repaired

_LISTED = 4
"""Files, or causes, that are shown of one kind."""
_SIZES = 3
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
    rows = [("mended" if one.what else "", one.finding, one.what) for one in repaired.done]
    rows += [("left", one, one.remedy) for one in repaired.left]
    table = _grid()
    for word, finding, what in rows:
        style = "green" if word == "mended" else "yellow"
        table.add_row(f"[{style}]{word}[/]", _plain(f"{_subject(finding, root)}: {what}"))
    console.print(table if rows else "nothing to mend: a plain copy")


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
    table.add_column("share of labelled pixels, %")
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
    from rich.padding import Padding

    kind, split = findings[0].kind, findings[0].split
    count = sum(len(one.files) for one in findings)
    files = f", {count:,} file{'s' * (count != 1)}" if count else ""
    heading = _plain(f"{kind.grade:<5} ")
    heading.stylize(f"bold {_STYLE[kind.grade]}")
    heading.append(kind.title, style="bold").append(f"  {split}{files}", style="dim")
    console.print(heading)
    table = _grid()
    for one in findings[:_LISTED] if len(findings) > 1 else ():
        table.add_row("found", _plain(f"{_names(one, root, 1)}: {one.found}"))
    if len(findings) > _LISTED:
        table.add_row("", _plain(f"and {len(findings) - _LISTED:,} more"))
    if len(findings) == 1:
        table.add_row("found", _plain(findings[0].found))
        if findings[0].files:
            table.add_row("in", _plain(_names(findings[0], root, _LISTED)))
    expected, remedies = _several(one.expected for one in findings), _several(one.remedy for one in findings)
    for word, texts in (("expected", expected), ("remedy", remedies)):
        for place, text in enumerate(texts):
            table.add_row("" if place else word, _plain(text))
    console.print(Padding(table, (0, 0, 0, 6)))


def _several(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))[:_LISTED]


def _names(finding: Finding, root: Path, most: int) -> str:
    shown = ", ".join(below(file, root) for file in finding.files[:most])
    more = len(finding.files) - most
    return f"{shown} and {more:,} more" if more > 0 else shown


def _subject(finding: Finding, root: Path) -> str:
    return f"{finding.kind.title} ({_names(finding, root, 1)})" if finding.files else finding.kind.title


def _grid() -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, width=8)
    table.add_column(overflow="fold")
    return table


def _verdict(checked: Checked) -> Text:
    from rich.text import Text

    faults, notes = len(checked.faults), len(checked.findings) - len(checked.faults)
    images = sum(one.images for one in checked.splits)
    found = f"{faults or 'no'} fault{'s' * (faults != 1)}, {notes or 'no'} note{'s' * (notes != 1)}"
    verdict = Text().append(found, style="bold red" if faults else "bold green").append(f" in {images:,} images")
    mendable = any("--fix" in one.remedy for one in checked.faults)
    hints = ["--fix OUT writes a corrected copy"] * mendable + ["--json lists every file"] * bool(checked.findings)
    return verdict.append("\n" + "; ".join(hints) if hints else "", style="dim")
