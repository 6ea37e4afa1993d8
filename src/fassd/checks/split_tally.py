"""What the pairs of a split tell together; some hundred bytes are kept of each."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fassd.checks.alignment import FLIPS, Alignment
from fassd.checks.findings import Finding
from fassd.checks.image_hash import HASH_BYTES
from fassd.checks.pair_facts import UNSEEN, MaskFacts, PairFacts, Size
from fassd.core.arrays import IGNORE
from fassd.data.dataset import Dataset

MOSTLY = 0.95
"""Share of ignored pixels from which a mask says next to nothing."""


class Merged:
    """Findings, those with the same cause as one with many files."""

    def __init__(self) -> None:
        self._alike: defaultdict[tuple[object, ...], list[Finding]] = defaultdict(list)

    def add(self, findings: Iterable[Finding]) -> None:
        """Takes findings, in order."""
        for one in findings:
            # A finding about two files stands for itself. What can be mended is not mixed with what cannot.
            own = one.files if one.partner else ()
            mends = bool(one.table or one.tables)
            key = one.kind, one.split, own, one.found, one.expected, one.remedy, one.partner, one.turn, mends
            self._alike[key].append(one)

    def all(self) -> list[Finding]:
        """The findings in the order in which their causes appeared."""
        return [_merged(alike) for alike in self._alike.values()]


def _merged(alike: Sequence[Finding]) -> Finding:
    """One finding about the files of all, which differ in nothing else but their tables."""
    first = alike[0]
    files = tuple(file for one in alike for file in one.files)
    if all(one.table == first.table and not one.tables for one in alike):
        return replace(first, files=files)
    return replace(
        first, files=files, table={}, tables={file: one.table_of(file) for one in alike for file in one.files}
    )


class SplitStats:
    """Adds up a split.

    Attributes:
        dataset: the split.
        findings: of single pairs.
        sizes: images of each height and width.
        pixels: (classes + 1,) int64, pixels of each class and, last, ignored ones.
        codes: the pairs by the set of codes in their masks, of masks that are not mixed.
        amounts: pixels of each code in masks without any code outside the table.
        foreign_amounts: the same of masks with such codes.
        middles: (pairs,) int64, the commonest code at the lower middle; -1 where there is none.
        tops: the same at the upper middle.
        other_sizes: height and width of image and mask, by pair, where they differ without EXIF's doing.
        constant: pairs whose mask has one code everywhere.
        ignored: pairs of which nearly everything is ignored.
        misplaced: alignments that speak against the mask, by pair.
        fits: (pairs,) float32, how well each mask lies; NaN where it cannot be told.
        flips: (pairs, 5) float32, the same after each of `alignment.FLIPS`.
        digests: (pairs,) uint64, equal for equal images; 0 where there is none.
        masks: (pairs,) uint64, equal for equal masks; 0 where there is none.
        hashes: (pairs, 32) uint8, `ImageHash.brighter`.
        redness: (pairs, classes + 1) int8, see `PairFacts`.
    """

    def __init__(self, dataset: Dataset) -> None:
        count, classes = len(dataset), len(dataset.label_space)
        self.dataset = dataset
        self.findings = Merged()
        self.sizes: Counter[Size] = Counter()
        self.pixels = np.zeros(classes + 1, np.int64)
        self.codes: defaultdict[frozenset[int], array[int]] = defaultdict(lambda: array("I"))
        self.amounts: Counter[int] = Counter()
        self.foreign_amounts: Counter[int] = Counter()
        self.middles = np.full(count, -1, np.int64)
        self.tops = np.full(count, -1, np.int64)
        self.other_sizes: dict[int, tuple[Size, Size]] = {}
        self.constant: list[int] = []
        self.ignored: list[int] = []
        self.misplaced: dict[int, Alignment] = {}
        self.fits = np.full(count, np.nan, np.float32)
        self.flips = np.full((count, len(FLIPS)), np.nan, np.float32)
        self.digests = np.zeros(count, np.uint64)
        self.masks = np.zeros(count, np.uint64)
        self.hashes = np.zeros((count, HASH_BYTES), np.uint8)
        self.redness = np.full((count, classes + 1), UNSEEN, np.int8)

    def add(self, index: int, facts: PairFacts) -> None:
        """Takes what pair `index` told."""
        self.findings.add(facts.findings)
        if facts.size is not None and facts.likeness is not None:
            self.sizes[facts.size] += 1
            self.digests[index] = int.from_bytes(facts.likeness.digest, "little")
            self.hashes[index] = np.frombuffer(facts.likeness.brighter, np.uint8)
        if facts.mask is not None:
            self._add_mask(index, facts.mask)
            if facts.size is not None and facts.size != facts.mask.size and not facts.turned:
                self.other_sizes[index] = facts.size, facts.mask.size
        if facts.redness is not None:
            self.redness[index] = facts.redness
        if facts.alignment is not None:
            self.fits[index], self.flips[index] = facts.alignment.here, facts.alignment.flips
            if facts.alignment.flip is not None or facts.alignment.is_shifted:
                self.misplaced[index] = facts.alignment

    def forget_classes(self, masks: Iterable[Path]) -> None:
        """Forgets what color classes have where the masks name the wrong classes."""
        wrong = set(masks)
        places = [index for index, pair in enumerate(self.dataset.pairs) if pair.mask in wrong] if wrong else []
        self.redness[[*places, *self.misplaced]] = UNSEEN

    def shares(self) -> dict[str, float]:
        """The share of each class among the pixels that have one."""
        known = self.pixels[:-1]
        total = max(1, int(known.sum()))
        return {name: int(one) / total for name, one in zip(self.dataset.label_space.names, known, strict=True)}

    @property
    def ignored_share(self) -> float:
        """Of all pixels."""
        return int(self.pixels[-1]) / max(1, int(self.pixels.sum()))

    def _add_mask(self, index: int, mask: MaskFacts) -> None:
        pair, coding = self.dataset.pairs[index], self.dataset.encoding
        self.masks[index] = int.from_bytes(mask.digest, "little")
        if mask.mixed:
            return
        self.codes[frozenset(mask.counts)].append(index)
        (self.amounts if mask.counts.keys() <= coding.classes.keys() else self.foreign_amounts).update(mask.counts)
        self.middles[index], self.tops[index] = mask.middle, mask.top
        total = sum(mask.counts.values())
        ignored = 0
        for code, count in mask.counts.items():
            label = coding.classes.get(code, IGNORE)
            ignored += count if label == IGNORE and code in coding.classes else 0
            if label == IGNORE or (pair.annotated is not None and label not in pair.annotated):
                label = len(self.pixels) - 1
            self.pixels[label] += count
        if ignored >= MOSTLY * total:
            self.ignored.append(index)
        elif len(mask.counts) == 1:
            self.constant.append(index)
