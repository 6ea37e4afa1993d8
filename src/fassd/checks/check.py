"""The check of a data set: every file of every split is read, and what is wrong with it is told by cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from PIL.Image import Transpose

from fassd.checks.channel_order import exchanged_channels
from fassd.checks.check_files import USUAL_SPLITS, file_findings, missing_instances
from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.image_hash import difference as difference_of
from fassd.checks.leaks import repeated_pictures
from fassd.checks.misaligned import misplaced_masks, owners, usual_flip
from fassd.checks.missing_splits import empty_splits, unmatched_partials
from fassd.checks.pair_facts import PairFacts, inspect
from fassd.checks.split_findings import lone_mask_findings, notes
from fassd.checks.split_tally import SplitStats
from fassd.checks.value_causes import value_findings
from fassd.core.errors import DataError
from fassd.core.files import with_home
from fassd.core.processes import Spread, worker_processes
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.dataset import Dataset, Scan
from fassd.data.description import read_description
from fassd.data.open_dataset import scan_dataset, splits_of

_CHUNK = 8
_FEW = 48
"""Pairs up to which starting processes takes longer than reading."""


@dataclass(frozen=True)
class SplitSummary:
    """A split in figures.

    Attributes:
        split: its name.
        images: how many there are, with or without a mask.
        sizes: images of each height and width.
        shares: of each class among the pixels that have one.
        ignored: share of all pixels.
    """

    split: str
    images: int
    sizes: dict[tuple[int, int], int]
    shares: dict[str, float]
    ignored: float


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Attributes:
        spec: the data set as the user named it.
        splits: in figures.
        findings: faults first, in the order of `FINDING_KINDS`.
    """

    spec: str
    splits: tuple[SplitSummary, ...]
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that spoil training or scores."""
        return tuple(one for one in self.findings if one.kind.grade == "fault")


def check_dataset(spec: str, splits: Sequence[str] = (), processes: int = 1, watch: Watch = ignore_events) -> Checked:
    """Reads every pair of a data set and tells what is wrong.

    Args:
        spec: "kind:PATH".
        splits: which; all there are by default.
        processes: that read; above 1 the caller's main module must be importable.
        watch: gets "pair" as pairs are read, then "masks" before the masks of each split are compared, then "copies" as
            pictures that look alike are.

    Raises:
        UsageError, FileError: there is no data set to check, or its description is wrong.
        DataError: a process was killed.
    """
    found = list(splits) or splits_of(spec)
    root = with_home(spec.partition(":")[2])
    if not root.is_dir():
        raise DataError(root, "there is no such folder; give kind:PATH with the data set's folder")
    scans = [scan_dataset(spec, split) for split in found]
    findings = [] if splits else list(_split_findings(spec, found))
    if not splits:
        findings += unmatched_partials(spec, scans)
    if not scans:
        raise DataError(root, _nothing(spec, findings))
    total = sum(len(scan.dataset) for scan in scans)
    try:
        with worker_processes(processes if total > _FEW else 1) as spread:
            tallies = list(_tallies(scans, spread, total, watch))
            values, flip = _values(scans, tallies), usual_flip(tallies)
            for place, (scan, tally) in enumerate(zip(scans, tallies, strict=True)):
                watch(Event("masks", {"done": place, "total": len(scans), "split": scan.dataset.split}))
                findings += _of_split(scan, tally, values[place], flip, spread)
            findings += repeated_pictures(tallies, lambda paths: _differences(paths, spread, watch))
    except BrokenProcessPool:
        problem = "a process that read it was killed, most likely for want of memory; try again with --workers 1"
        raise DataError(root, problem) from None
    order = {name: place for place, name in enumerate(FINDING_KINDS)}
    findings.sort(key=lambda one: (one.kind.grade, order[one.kind.name]))
    return Checked(spec, tuple(map(_summary, scans, tallies)), tuple(findings))


def _tallies(scans: Iterable[Scan], spread: Spread, total: int, watch: Watch) -> Iterator[SplitStats]:
    done = 0
    for scan in scans:
        tally = SplitStats(scan.dataset)
        begin = 0
        for chunk in spread(_inspect_all, _chunks(scan.dataset)):
            for index, facts in enumerate(chunk, begin):
                tally.add(index, facts)
            begin += len(chunk)
            done += len(chunk)
            watch(Event("pair", {"done": done, "total": total, "split": scan.dataset.split}))
        yield tally


def _values(scans: Sequence[Scan], tallies: Sequence[SplitStats]) -> list[list[Finding]]:
    """What the values of each split's masks tell; nothing where labels are hidden."""
    shown = [place for place, scan in enumerate(scans) if not _hides_labels(scan.dataset)]
    told = dict(zip(shown, value_findings([tallies[place] for place in shown]), strict=True))
    return [told.get(place, []) for place in range(len(scans))]


def _of_split(
    scan: Scan, tally: SplitStats, values: list[Finding], flip: Transpose | None, spread: Spread
) -> list[Finding]:
    findings = tally.findings
    findings.add(file_findings(scan))
    findings.add(values)
    explained = {file for one in values for file in one.files}
    # A table keeps borders where they are; values without one may be anything.
    unclear = {file for one in values if not one.table for file in one.files}
    if not _hides_labels(scan.dataset):
        findings.add(lone_mask_findings(tally, explained))
    tally.forget_classes(explained)
    findings.add(misplaced_masks(tally, unclear, flip, lambda suspects: next(spread(owners, [suspects]))))
    findings.add(exchanged_channels(tally))
    findings.add(notes(tally, len(explained)))
    if scan.dataset.spec.startswith("cityscapes:"):
        findings.add(missing_instances(scan))
    return findings.all()


def _hides_labels(dataset: Dataset) -> bool:
    """Cityscapes keeps the labels of its test split; what lies there holds ignored values alone."""
    return dataset.spec.startswith("cityscapes:") and dataset.split == "test"


def _chunks(dataset: Dataset) -> Iterator[Dataset]:
    return (replace(dataset, pairs=dataset.pairs[at : at + _CHUNK]) for at in range(0, len(dataset), _CHUNK))


def _inspect_all(dataset: Dataset) -> list[PairFacts]:
    return [inspect(dataset, pair) for pair in dataset.pairs]


def _differences(paths: Sequence[tuple[Path, Path]], spread: Spread, watch: Watch) -> Iterator[float]:
    for done, difference in enumerate(spread(_difference, paths), 1):
        watch(Event("copies", {"done": done, "total": len(paths)}))
        yield difference


def _difference(paths: tuple[Path, Path]) -> float:
    return difference_of(*paths)


def _split_findings(spec: str, found: Sequence[str]) -> Iterator[Finding]:
    for split, what in empty_splits(spec, found).items():
        remedy = "add the files, or take the split out of the data set"
        yield Finding(FINDING_KINDS["empty-split"], split, (), what, "images and masks", remedy)
    missing = [split for split in USUAL_SPLITS if split not in found]
    if missing and found:
        text = f"only {', '.join(found)}"
        remedy = "none is needed to evaluate; 'fassd train' learns from train and picks its best on val"
        yield Finding(FINDING_KINDS["no-such-split"], missing[0], (), text, f"also {' and '.join(missing)}", remedy)


def _nothing(spec: str, findings: Sequence[Finding]) -> str:
    kind = spec.partition(":")[0]
    why = "; ".join(one.found for one in findings)
    if kind == "folder" and not why:
        description = read_description(with_home(spec.partition(":")[2]))
        why = f"nothing matches {description.by_split.format(split='*')}"
    return f"holds no data set of the kind '{kind}': no split has images{f' ({why})' if why else ''}"


def _summary(scan: Scan, tally: SplitStats) -> SplitSummary:
    images = len(scan.dataset) + len(scan.lacking) + len(scan.repeated)
    return SplitSummary(scan.dataset.split, images, dict(tally.sizes), tally.shares(), tally.ignored_share)
