"""The pictures of findings: what a person needs to see to believe one, small enough for a page.

What a check found, as one page: no scripts, nothing from elsewhere, the pictures inside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fassd.checks.report import below, root_of
from fassd.core.errors import FassdError, FileError
from fassd.core.files import written_whole
from fassd.data.open_dataset import scan_dataset
from fassd.data.pair_preview import VIEWS, pictures, view
from fassd.media.images import read_image
from fassd.media.page import Shot, document, figure, jpeg, plain_text
from fassd.media.sheet import small_image, small_mask

if TYPE_CHECKING:
    from fassd.checks.check import Checked, SplitSummary
    from fassd.checks.findings import Finding, FindingKind
    from fassd.core.labels import LabelSpace
    from fassd.data.dataset import Dataset, Pair, Scan
    from fassd.media.sheet import Picture


SIDE = 300
"""Largest side of a picture, in pixels."""


class FindingPictures:
    """Draws files of a data set as they stand in it: images with their masks, masks without images, either alone."""

    def __init__(self, spec: str, splits: Iterable[str]) -> None:
        """Looks up where the files of the splits belong.

        Args:
            spec: the data set, "kind:PATH".
            splits: those that were checked.

        Raises:
            UsageError, FileError: as `scan_dataset`.
        """
        self.space: LabelSpace | None = None
        self._pairs: dict[Path, tuple[Dataset, Pair]] = {}
        self._orphans: dict[Path, Dataset] = {}
        for split in splits:
            self._add(scan_dataset(spec, split))

    def shots(self, finding: Finding, file: Path) -> list[Shot]:
        """What shows a finding: for two files both, else image, mask and overlay, as far as they can be read."""
        if finding.partner is not None:
            both = ((file, self._photo(file)), (finding.partner, self._photo(finding.partner)))
            return [jpeg(_place(path), drawn) for path, drawn in both if drawn is not None]
        return [jpeg(caption, drawn, colors_matter=caption == "mask") for caption, drawn in self._views(file)]

    def _add(self, scan: Scan) -> None:
        dataset = scan.dataset
        self.space = self.space or dataset.label_space
        for pair in dataset.pairs:
            self._pairs[pair.image] = self._pairs[pair.mask] = (dataset, pair)
        self._orphans.update(dict.fromkeys(scan.orphans, dataset))

    def _views(self, file: Path) -> Iterator[tuple[str, Picture]]:
        if file in self._pairs:
            dataset, pair = self._pairs[file]
            drawn = pictures(view(dataset, pair), dataset.label_space, SIDE)
            yield from ((name, one) for name, one in zip(VIEWS, drawn, strict=True) if one is not None)
        elif file in self._orphans and (mask := _mask(file, self._orphans[file])) is not None:
            yield "mask", mask
        elif (photo := self._photo(file)) is not None:
            yield "as stored", photo

    def _photo(self, file: Path) -> Picture | None:
        """A file of a pair as its image, any other as it is."""
        try:
            return small_image(read_image(self._pairs[file][1].image if file in self._pairs else file), SIDE)
        except FassdError:
            return None


def _mask(file: Path, dataset: Dataset) -> Picture | None:
    try:
        codes = dataset.encoding.read(file)
    except FileError:
        return None
    foreign = np.isin(codes, dataset.encoding.unknown(codes))
    return small_mask(dataset.encoding.labels(codes), foreign, dataset.label_space, SIDE)


def _place(path: Path) -> str:
    return "/".join(path.parts[-2:])


_SHOWN_CAUSES, _SHOWN_NAMES, _SHOWN_SIZES = 30, 100, 4
_DRAWN_OF_A_KIND = 4
_MOST_BYTES = 3_500_000  # of pictures, divided among the kinds, so that the page stays below 5 MB


def write_page(path: Path, checked: Checked) -> None:
    """Writes the page, whole or not at all.

    At most 4 files of a kind of finding are drawn, 30 findings of a kind told and 100 files of these named; the page
    says how many are left out.

    Args:
        path: of the page; overwritten.
        checked: what `check_dataset` found. Its files are read again for the pictures.

    Raises:
        FileError: the folder cannot be written, or the data set is gone.
    """
    page = _Page(checked)
    with written_whole(path) as temporary:
        temporary.write_text("\n".join(page.lines()) + "\n", encoding="utf-8")


class _Page:
    """The parts of the page, from top to bottom."""

    def __init__(self, checked: Checked) -> None:
        self._checked = checked
        self._root = root_of(checked)
        self._pictures = FindingPictures(checked.spec, [one.split for one in checked.splits])
        self._allowance = _MOST_BYTES / max(1, len({one.kind for one in checked.findings}))
        self._bytes = 0

    def lines(self) -> Iterator[str]:
        return document(f"Check of {self._checked.spec}", self._body(), "fassd data check --html")

    def _body(self) -> Iterator[str]:
        yield f'<h1>{plain_text(self._checked.spec)}</h1>\n<p class="verdict">{_verdict(self._checked)}</p>'
        yield from _splits(self._checked.splits)
        kinds = [(kind, list(group)) for kind, group in groupby(self._checked.findings, lambda one: one.kind)]
        if kinds:
            yield from _contents(kinds)
        if self._pictures.space is not None:
            yield from _classes(self._checked.splits, self._pictures.space)
        if kinds:
            yield "<h2>Findings</h2>"
        for kind, findings in kinds:
            yield from self._kind(kind, findings)

    def _kind(self, kind: FindingKind, findings: Sequence[Finding]) -> Iterator[str]:
        yield f'<section class="kind {kind.grade}" id="{plain_text(kind.name)}">'
        count = f'<span class="count">{_count(findings)}</span>'
        yield f'<h3><span class="badge">{kind.grade}</span>{plain_text(kind.title)}{count}</h3>'
        drawn, names, self._bytes = 0, _SHOWN_NAMES, 0
        for place, one in enumerate(findings[:_SHOWN_CAUSES]):
            # Every cause gets its turn before one of them is drawn twice.
            waiting = min(len(findings), _DRAWN_OF_A_KIND) - place - 1
            figures = list(self._figures(one, _DRAWN_OF_A_KIND - drawn - max(0, waiting)))
            drawn += len(figures)
            yield from self._finding(one, names, figures)
            names = max(0, names - len(one.files))
        if len(findings) > _SHOWN_CAUSES:
            yield f'<p class="left">{len(findings) - _SHOWN_CAUSES:,} more findings of this kind are left out.</p>'
        total = sum(max(1, len(one.files)) for one in findings)
        if 0 < drawn < total:
            yield f'<p class="left">{drawn} of {total:,} files are shown in pictures.</p>'
        yield "</section>"

    def _finding(self, one: Finding, names: int, figures: Sequence[str]) -> Iterator[str]:
        yield "<article>\n<dl>"
        rows = [("split", one.split), ("found", one.found), ("expected", one.expected), ("remedy", one.remedy)]
        yield from (f"<dt>{key}</dt><dd>{plain_text(value)}</dd>" for key, value in rows if value)
        shown = [below(path, self._root) for path in one.files[:names]]
        if one.files:
            label = "file" if len(one.files) == 1 else "files"
            yield f"<dt>{label}</dt><dd>{_names(shown, len(one.files))}</dd>"
        if one.partner is not None:
            yield f"<dt>and</dt><dd><code>{plain_text(below(one.partner, self._root))}</code></dd>"
        yield "</dl>"
        yield from figures
        yield "</article>"

    def _figures(self, one: Finding, most: int) -> Iterator[str]:
        for file in one.files[: max(0, most)]:
            if self._bytes > self._allowance:
                return
            shots = self._pictures.shots(one, file)
            self._bytes += sum(len(shot.source) for shot in shots)
            if shots:
                caption = "" if one.partner or len(one.files) == 1 else below(file, self._root)
                yield figure(shots, caption, "two" if one.partner else "three")


def _verdict(checked: Checked) -> str:
    if not checked.findings:
        return '<b class="good">Nothing was found.</b>'
    faults, notes = len(checked.faults), len(checked.findings) - len(checked.faults)
    parts = []
    if faults:
        parts.append(f'<b class="fault">{_many(faults, "fault")}</b> that spoil training or scores')
    if notes:
        parts.append(f'<b class="note">{_many(notes, "note")}</b> worth knowing')
    return ("" if faults else '<b class="good">No faults</b>, ') + " and ".join(parts) + "."


def _splits(splits: Sequence[SplitSummary]) -> Iterator[str]:
    yield '<div class="scroll"><table>\n<tr><th>split</th><th class="number">images</th><th>width x height</th>'
    yield '<th class="number">ignored</th></tr>'
    for one in splits:
        yield f'<tr><td>{plain_text(one.split)}</td><td class="number">{one.images:,}</td><td>{_sizes(one)}</td>'
        yield f'<td class="number">{_percent(one.ignored)}</td></tr>'
    yield "</table></div>"


def _sizes(one: SplitSummary) -> str:
    common = Counter(one.sizes).most_common()
    if len(common) == 1:
        return f"{common[0][0][1]} x {common[0][0][0]}"
    shown = [f"{width} x {height} ({count:,})" for (height, width), count in common[:_SHOWN_SIZES]]
    rest = sum(count for _, count in common[_SHOWN_SIZES:])
    return ", ".join(shown) + (f", others ({rest:,})" if rest else "")


def _contents(kinds: Sequence[tuple[FindingKind, Sequence[Finding]]]) -> Iterator[str]:
    yield "<h2>What was found</h2>\n<nav><ul>"
    for kind, findings in kinds:
        link = f'<a href="#{plain_text(kind.name)}">{plain_text(kind.title)}</a>'
        count = f'<span class="count">{_count(findings)}</span>'
        yield f'<li class="{kind.grade}"><span class="badge">{kind.grade}</span>{link}{count}</li>'
    yield "</ul></nav>"


def _classes(splits: Sequence[SplitSummary], space: LabelSpace) -> Iterator[str]:
    """The palette, and the share of each class in each split as a bar."""
    yield "<h2>Classes</h2>"
    largest = max((share for one in splits for share in one.shares.values()), default=0.0)
    head = "".join(f"<th>{plain_text(one.split)}, share of labeled pixels</th>" for one in splits)
    yield f'<div class="scroll"><table>\n<tr><th>class</th>{head}</tr>'
    for label in space.classes:
        color = "#{:02x}{:02x}{:02x}".format(*label.color)
        cells = "".join(f"<td>{_bar(one.shares.get(label.name, 0.0), largest, color)}</td>" for one in splits)
        swatch = f'<span class="swatch" style="background:{color}"></span>'
        yield f"<tr><td>{swatch}{plain_text(label.name)}</td>{cells}</tr>"
    for name, text in (("ignored", "ignored: neither learned from nor scored"), ("foreign", "a value without a class")):
        yield f'<tr><td colspan="{len(splits) + 1}"><span class="swatch {name}"></span>{text}</td></tr>'
    yield "</table></div>"


def _bar(share: float, largest: float, color: str) -> str:
    if not share:
        return '<span class="share absent"><span></span><span>none</span></span>'
    width = max(1.0, 100 * share / largest)
    return (
        f'<span class="share"><span><i style="width:{width:.1f}%;background:{color}"></i></span>'
        f"<span>{_percent(share)}</span></span>"
    )


def _names(shown: Sequence[str], total: int) -> str:
    if not shown:
        return f"{total:,}, not listed here"
    first = f"<code>{plain_text(shown[0])}</code>"
    if total == 1:
        return first
    rest = "".join(f"<code>{plain_text(name)}</code>" for name in shown[1:])
    left = f"<code>and {total - len(shown):,} more</code>" if total > len(shown) else ""
    return f"{first}<details><summary>and {total - 1:,} more</summary>{rest}{left}</details>"


def _count(findings: Sequence[Finding]) -> str:
    total = sum(len(one.files) for one in findings)
    return _many(total, "file") if total else _many(len(findings), "finding")


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 or not share else "&lt; 0.1 %"
