"""The findings of a check as one HTML page with images inside; no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL.Image import Image as PillowImage

from fassd.checks.check import CheckResult, SplitSummary
from fassd.checks.findings import Finding, FindingKind
from fassd.checks.report import below
from fassd.core.errors import FassdError, FileError
from fassd.core.files import written_whole
from fassd.core.labels import LabelSpace
from fassd.core.numbers import percent
from fassd.data.dataset import Dataset, Pair
from fassd.data.open_dataset import scan_dataset
from fassd.data.pair_preview import VIEWS, draw_views, preview
from fassd.media.images import read_image
from fassd.media.page import Shot, jpeg, render
from fassd.media.sheet import small_image, small_mask

_SIDE = 300
"""Largest side of an image, in pixels."""
_MAX_FINDINGS, _MAX_NAMES, _MAX_SIZES = 30, 100, 4
"""Findings and file names of a kind, and image sizes of a split, that are listed."""
_MAX_DRAWN = 4
"""Files of a kind that are drawn."""
_MAX_IMAGE_BYTES = 3_500_000
"""Of all images, divided among the kinds, so that the page stays below 5 MB."""


def write_page(path: Path, checked: CheckResult) -> None:
    """Writes the page; a failure leaves no partial file.

    At most 4 files of a kind of finding are drawn, 30 findings of a kind and 100 of their files listed; the page says
    how many are omitted.

    Args:
        path: of the page; overwritten.
        checked: the result of a check. Its files are read again for the images.

    Raises:
        FileError: the folder cannot be written, or the data set is gone.
    """
    drawings = _Drawings(checked)
    kinds = [(kind, list(group)) for kind, group in groupby(checked.findings, lambda one: one.kind)]
    errors, infos = len(checked.errors), len(checked.findings) - len(checked.errors)
    page = render(
        "check_page.html.jinja",
        "fassd data check --html",
        {
            "data": checked.spec,
            "errors": _count(errors, "error") if errors else "",
            "infos": _count(infos, "info") if infos else "",
            "splits": [
                {
                    "name": one.split,
                    "images": f"{one.images:,}",
                    "sizes": _sizes(one),
                    "ignored": percent(one.ignored),
                }
                for one in checked.splits
            ],
            "classes": [] if drawings.space is None else list(_classes(checked.splits, drawings.space)),
            "sections": [
                _section(kind, findings, checked.root, drawings, _MAX_IMAGE_BYTES / len(kinds))
                for kind, findings in kinds
            ],
        },
    )
    with written_whole(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _sizes(one: SplitSummary) -> str:
    common = Counter(one.sizes).most_common()
    if len(common) == 1:
        return f"{common[0][0][1]} x {common[0][0][0]}"
    shown = [f"{width} x {height} ({count:,})" for (height, width), count in common[:_MAX_SIZES]]
    rest = sum(count for _, count in common[_MAX_SIZES:])
    return ", ".join(shown) + (f", others ({rest:,})" if rest else "")


def _classes(splits: Sequence[SplitSummary], space: LabelSpace) -> Iterator[dict[str, object]]:
    """Name, color, and the share in each split as a bar, of every class."""
    largest = max((share for one in splits for share in one.shares.values()), default=0.0)
    for label in space.classes:
        shares = [one.shares.get(label.name, 0.0) for one in splits]
        bars = [
            {"width": f"{max(1.0, 100 * share / largest):.1f}" if share else "", "share": percent(share)}
            for share in shares
        ]
        yield {"name": label.name, "color": "#{:02x}{:02x}{:02x}".format(*label.color), "bars": bars}


@dataclass(frozen=True)
class _Figure:
    """Images side by side; `columns` is "two" or "three"."""

    shots: list[Shot]
    columns: str
    caption: str

    @property
    def bytes(self) -> int:
        return sum(len(shot.source) for shot in self.shots)


def _section(
    kind: FindingKind, findings: Sequence[Finding], root: Path, drawings: _Drawings, max_bytes: float
) -> dict[str, object]:
    """The findings of one kind."""
    shown, drawn, names, image_bytes = [], 0, _MAX_NAMES, 0
    for place, one in enumerate(findings[:_MAX_FINDINGS]):
        # Each of the first findings is drawn once before one of them is drawn twice.
        waiting = max(0, min(len(findings), _MAX_DRAWN) - place - 1)
        figures = []
        for file in one.files[: max(0, _MAX_DRAWN - drawn - waiting)]:
            if image_bytes <= max_bytes and (shots := drawings.shots(one, file)):
                caption = "" if one.related_file or len(one.files) == 1 else below(file, root)
                figures.append(_Figure(shots, "two" if one.related_file else "three", caption))
                image_bytes += figures[-1].bytes
        rows = (("split", one.split), ("found", one.found), ("expected", one.expected), ("fix", one.fix))
        shown.append(
            {
                "rows": [(name, text) for name, text in rows if text],
                "files": [below(file, root) for file in one.files[:names]],
                "file_count": len(one.files),
                "related_file": below(one.related_file, root) if one.related_file else "",
                "figures": figures,
            }
        )
        drawn += len(figures)
        names = max(0, names - len(one.files))
    total = sum(max(1, len(one.files)) for one in findings)
    files = sum(len(one.files) for one in findings)
    return {
        "name": kind.name,
        "severity": kind.severity,
        "title": kind.title,
        "count": _count(files, "file") if files else _count(len(findings), "finding"),
        "findings": shown,
        "omitted": f"{len(findings) - _MAX_FINDINGS:,}" if len(findings) > _MAX_FINDINGS else "",
        "shown": f"{drawn} of {total:,} files are shown as images." if 0 < drawn < total else "",
    }


class _Drawings:
    """Draws files of a data set: images with their masks, masks without images, and single files.

    Attributes:
        space: the label space; None without any split.
    """

    def __init__(self, checked: CheckResult) -> None:
        self.space: LabelSpace | None = None
        self._pairs: dict[Path, tuple[Dataset, Pair]] = {}
        self._orphans: dict[Path, Dataset] = {}
        for one in checked.splits:
            scan = scan_dataset(checked.spec, one.split)
            dataset = scan.dataset
            self.space = self.space or dataset.label_space
            for pair in dataset.pairs:
                self._pairs[pair.image] = self._pairs[pair.mask] = (dataset, pair)
            self._orphans.update(dict.fromkeys(scan.orphans, dataset))

    def shots(self, finding: Finding, file: Path) -> list[Shot]:
        """The file and the related file; without one, image, mask and overlay, as far as they can be read."""
        if finding.related_file is not None:
            both = ((path, self._image(path)) for path in (file, finding.related_file))
            return [jpeg("/".join(path.parts[-2:]), drawn) for path, drawn in both if drawn is not None]
        return [jpeg(caption, drawn, colors_matter=caption == "mask") for caption, drawn in self._views(file)]

    def _views(self, file: Path) -> Iterator[tuple[str, PillowImage]]:
        if file in self._pairs:
            dataset, pair = self._pairs[file]
            drawn = draw_views(preview(dataset, pair), dataset.label_space, _SIDE)
            yield from ((name, one) for name, one in zip(VIEWS, drawn, strict=True) if one is not None)
        elif file in self._orphans and (mask := _lone_mask(file, self._orphans[file])) is not None:
            yield "mask", mask
        elif (image := self._image(file)) is not None:
            yield "as stored", image

    def _image(self, file: Path) -> PillowImage | None:
        """The image of a file's pair; a file without a pair as it is."""
        try:
            return small_image(read_image(self._pairs[file][1].image if file in self._pairs else file), _SIDE)
        except FassdError:
            return None


def _lone_mask(file: Path, dataset: Dataset) -> PillowImage | None:
    try:
        values = dataset.encoding.read(file)
    except FileError:
        return None
    unknown = np.isin(values, dataset.encoding.unknown(values))
    return small_mask(dataset.encoding.labels(values), unknown, dataset.label_space, _SIDE)


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
