"""The check of a data set: reads every file of every split and reports the problems by cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from PIL.Image import Transpose

from fassd.checks.channel_order import channel_order_findings
from fassd.checks.findings import FINDING_KINDS, Finding, merge_findings
from fassd.checks.image_hash import difference
from fassd.checks.layout import file_findings, missing_instances, split_findings
from fassd.checks.leaks import duplicate_findings
from fassd.checks.misaligned import find_matching_images, misaligned_masks, usual_flip
from fassd.checks.pair_stats import PairStats, check_pair
from fassd.checks.split_stats import SplitStats, class_infos, uniform_mask_findings
from fassd.checks.value_causes import value_findings
from fassd.core.errors import DataError
from fassd.core.files import with_home
from fassd.core.processes import Spread, worker_processes
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.dataset import Dataset, Scan
from fassd.data.description import read_description
from fassd.data.open_dataset import scan_dataset, splits_of

_CHUNK = 8
"""Pairs that a worker reads at a time."""
_FEW = 48
"""Pairs up to which starting processes takes longer than reading."""


@dataclass(frozen=True)
class SplitSummary:
    """A split in numbers.

    Attributes:
        split: its name.
        images: their number, with or without a mask.
        sizes: number of images of each height and width.
        shares: share of each class among the labeled pixels, 0..1.
        ignored: share of ignored pixels among all, 0..1.
    """

    split: str
    images: int
    sizes: dict[tuple[int, int], int]
    shares: dict[str, float]
    ignored: float


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Attributes:
        spec: the data set, "kind:PATH".
        splits: their summaries.
        findings: errors first, in the order of `FINDING_KINDS`.
    """

    spec: str
    splits: tuple[SplitSummary, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that spoil training or scores."""
        return tuple(one for one in self.findings if one.kind.severity == "error")

    @property
    def root(self) -> Path:
        """The data set's folder."""
        return with_home(self.spec.partition(":")[2])


def check_dataset(
    spec: str, splits: Sequence[str] = (), processes: int = 1, watch: Watch = ignore_events
) -> CheckResult:
    """Reads every pair of a data set and reports the problems.

    Args:
        spec: "kind:PATH".
        splits: their names; all by default.
        processes: number of reading processes; above 1 the caller's main module must be importable.
        watch: gets "pair" as pairs are read, "masks" before the masks of each split are compared, and "copies" as
            similar images are compared.

    Raises:
        UsageError, FileError: there is no data set to check, or its description is wrong.
        DataError: a process was killed.
    """
    names = list(splits) or splits_of(spec)
    root = with_home(spec.partition(":")[2])
    if not root.is_dir():
        raise DataError(root, "there is no such folder; give kind:PATH with the data set's folder")
    scans = [scan_dataset(spec, split) for split in names]
    findings = [] if splits else list(split_findings(spec, names, scans))
    if not scans:
        raise DataError(root, _why_no_split(spec, findings))
    total = sum(len(scan.dataset) for scan in scans)
    try:
        with worker_processes(processes if total > _FEW else 1) as spread:
            split_stats = list(_read_splits(scans, spread, total, watch))
            # Cityscapes withholds the labels of its test split; the masks there hold nothing but ignored values.
            labeled = [stats for stats in split_stats if not _hides_labels(stats.dataset)]
            by_split = {
                stats.dataset.split: found for stats, found in zip(labeled, value_findings(labeled), strict=True)
            }
            flip = usual_flip(split_stats)
            for place, (scan, stats) in enumerate(zip(scans, split_stats, strict=True)):
                split = scan.dataset.split
                watch(Event("masks", {"done": place, "total": len(scans), "split": split}))
                findings += merge_findings(_findings_of_split(scan, stats, by_split.get(split, []), flip, spread))

            def differences(paths: Sequence[tuple[Path, Path]]) -> Iterator[float]:
                for done, found in enumerate(spread(_difference, paths), 1):
                    watch(Event("copies", {"done": done, "total": len(paths)}))
                    yield found

            findings += duplicate_findings(split_stats, differences)
    except BrokenProcessPool:
        problem = "a process that read it was killed, most likely for lack of memory; try again with --workers 1"
        raise DataError(root, problem) from None
    order = {name: place for place, name in enumerate(FINDING_KINDS)}
    findings.sort(key=lambda one: (one.kind.severity, order[one.kind.name]))
    return CheckResult(spec, tuple(map(_summary, scans, split_stats)), tuple(findings))


def _read_splits(scans: Iterable[Scan], spread: Spread, total: int, watch: Watch) -> Iterator[SplitStats]:
    done = 0
    for scan in scans:
        dataset, stats, first = scan.dataset, SplitStats(scan.dataset), 0
        chunks = (replace(dataset, pairs=dataset.pairs[at : at + _CHUNK]) for at in range(0, len(dataset), _CHUNK))
        for pairs in spread(_check_pairs, chunks):
            for index, pair in enumerate(pairs, first):
                stats.add(index, pair)
            first += len(pairs)
            done += len(pairs)
            watch(Event("pair", {"done": done, "total": total, "split": dataset.split}))
        yield stats


def _check_pairs(dataset: Dataset) -> list[PairStats]:
    return [check_pair(dataset, pair) for pair in dataset.pairs]


def _difference(paths: tuple[Path, Path]) -> float:
    return difference(*paths)


def _hides_labels(dataset: Dataset) -> bool:
    return dataset.spec.startswith("cityscapes:") and dataset.split == "test"


def _findings_of_split(
    scan: Scan, stats: SplitStats, by_value: list[Finding], flip: Transpose | None, spread: Spread
) -> Iterator[Finding]:
    """All findings about one split.

    Args:
        scan: its files.
        stats: its statistics; the class colors of wrong masks are discarded.
        by_value: what `value_findings` found in it.
        flip: the flip that most masks of the data set need.
        spread: runs a function in a worker.
    """
    yield from stats.findings
    yield from file_findings(scan)
    yield from by_value
    explained = {file for one in by_value for file in one.files}
    # A table leaves borders in place; masks that no table corrects may hold anything.
    unclear = {file for one in by_value if not one.table for file in one.files}
    if not _hides_labels(scan.dataset):
        yield from uniform_mask_findings(stats, explained)
    stats.forget_colors(explained)
    yield from misaligned_masks(stats, unclear, flip, lambda suspects: next(spread(find_matching_images, [suspects])))
    yield from channel_order_findings(stats)
    yield from class_infos(stats, len(explained))
    if scan.dataset.spec.startswith("cityscapes:"):
        yield from missing_instances(scan)


def _why_no_split(spec: str, findings: Sequence[Finding]) -> str:
    kind = spec.partition(":")[0]
    why = "; ".join(one.found for one in findings)
    if kind == "folder" and not why:
        description = read_description(with_home(spec.partition(":")[2]))
        why = f"nothing matches {description.by_split.format(split='*')}"
    return f"holds no data set of the kind '{kind}': no split has images{f' ({why})' if why else ''}"


def _summary(scan: Scan, stats: SplitStats) -> SplitSummary:
    images = len(scan.dataset) + len(scan.lacking) + len(scan.repeated)
    return SplitSummary(scan.dataset.split, images, dict(stats.sizes), stats.shares(), stats.ignored_share)
