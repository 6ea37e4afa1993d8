"""Statistics of a split, accumulated over its pairs, and the findings that follow from them alone."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from fassd.checks.alignment import FLIPS, Alignment
from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.image_hash import HASH_BYTES
from fassd.checks.pair_stats import UNSEEN, MaskStats, PairStats, Size
from fassd.core.arrays import IGNORE
from fassd.data.dataset import Dataset

_MOSTLY = 0.95
"""Share of ignored pixels from which a mask is reported."""
_MAX_NAMED = 12
"""Number of classes that a finding names."""
_NO_TABLE: Mapping[int, int] = MappingProxyType({})


class SplitStats:
    """Accumulates the statistics of a split, some hundred bytes for each pair.

    Attributes:
        dataset: the split.
        findings: those of single pairs.
        sizes: number of images of each height and width.
        pixels: (classes + 1,) int64, pixels of each class and, last, ignored ones.
        value_sets: pair indices by the set of values in their masks, without smoothed masks.
        known_counts: pixels of each value in masks without unknown values.
        unknown_counts: pixels of each value in masks with unknown values.
        middles: (pairs,) int64, the most frequent value at the lower middle; -1 where there is none.
        tops: the same at the upper middle.
        other_sizes: sizes of image and mask by pair index, where they differ and EXIF does not explain it.
        constant: indices of pairs whose mask has one value everywhere.
        ignored: indices of pairs whose mask is ignored nearly everywhere.
        misaligned: alignments of the masks that do not fit their image, by pair index.
        fits: (pairs,) float32, agreement of mask and image, see `Alignment.here`; NaN where unknown.
        flips: (pairs, 5) float32, the same after each of `alignment.FLIPS`.
        digests: (pairs,) uint64, equal for equal images; 0 where there is none.
        masks: (pairs,) uint64, equal for equal masks; 0 where there is none.
        hashes: (pairs, 32) uint8, see `ImageHash.brighter`.
        redness: (pairs, classes + 1) int8, see `PairStats`.
    """

    def __init__(self, dataset: Dataset) -> None:
        count, classes = len(dataset), len(dataset.label_space)
        self.dataset = dataset
        self.findings: list[Finding] = []
        self.sizes: Counter[Size] = Counter()
        self.pixels = np.zeros(classes + 1, np.int64)
        self.value_sets: defaultdict[frozenset[int], array[int]] = defaultdict(lambda: array("I"))
        self.known_counts: Counter[int] = Counter()
        self.unknown_counts: Counter[int] = Counter()
        self.middles = np.full(count, -1, np.int64)
        self.tops = np.full(count, -1, np.int64)
        self.other_sizes: dict[int, tuple[Size, Size]] = {}
        self.constant: list[int] = []
        self.ignored: list[int] = []
        self.misaligned: dict[int, Alignment] = {}
        self.fits = np.full(count, np.nan, np.float32)
        self.flips = np.full((count, len(FLIPS)), np.nan, np.float32)
        self.digests = np.zeros(count, np.uint64)
        self.masks = np.zeros(count, np.uint64)
        self.hashes = np.zeros((count, HASH_BYTES), np.uint8)
        self.redness = np.full((count, classes + 1), UNSEEN, np.int8)

    def add(self, index: int, pair: PairStats) -> None:
        """Adds the statistics of pair `index`."""
        self.findings += pair.findings
        if pair.size is not None and pair.image_hash is not None:
            self.sizes[pair.size] += 1
            self.digests[index] = int.from_bytes(pair.image_hash.digest, "little")
            self.hashes[index] = np.frombuffer(pair.image_hash.brighter, np.uint8)
        if pair.mask is not None:
            self._add_mask(index, pair.mask)
            if pair.size is not None and pair.size != pair.mask.size and not pair.turned:
                self.other_sizes[index] = pair.size, pair.mask.size
        if pair.redness is not None:
            self.redness[index] = pair.redness
        if pair.alignment is not None:
            self.fits[index], self.flips[index] = pair.alignment.here, pair.alignment.flips
            if pair.alignment.flip is not None or pair.alignment.is_shifted:
                self.misaligned[index] = pair.alignment

    def _add_mask(self, index: int, mask: MaskStats) -> None:
        pair, encoding = self.dataset.pairs[index], self.dataset.encoding
        self.masks[index] = int.from_bytes(mask.digest, "little")
        if mask.smoothed:
            return
        self.value_sets[frozenset(mask.counts)].append(index)
        (self.known_counts if mask.counts.keys() <= encoding.classes.keys() else self.unknown_counts).update(
            mask.counts
        )
        self.middles[index], self.tops[index] = mask.middle, mask.top
        total = sum(mask.counts.values())
        ignored = 0
        for value, count in mask.counts.items():
            label = encoding.classes.get(value, IGNORE)
            ignored += count if label == IGNORE and value in encoding.classes else 0
            if label == IGNORE or (pair.annotated is not None and label not in pair.annotated):
                label = len(self.pixels) - 1
            self.pixels[label] += count
        if ignored >= _MOSTLY * total:
            self.ignored.append(index)
        elif len(mask.counts) == 1:
            self.constant.append(index)

    def forget_colors(self, masks: Iterable[Path]) -> None:
        """Discards the class colors of images under these masks, which name the wrong classes, and misaligned ones."""
        wrong = set(masks)
        places = [index for index, pair in enumerate(self.dataset.pairs) if pair.mask in wrong] if wrong else []
        self.redness[[*places, *self.misaligned]] = UNSEEN

    def shares(self) -> dict[str, float]:
        """The share of each class among the labeled pixels."""
        labeled = self.pixels[:-1]
        total = max(1, int(labeled.sum()))
        return {name: int(one) / total for name, one in zip(self.dataset.label_space.names, labeled, strict=True)}

    @property
    def ignored_share(self) -> float:
        """The share of ignored pixels among all."""
        return int(self.pixels[-1]) / max(1, int(self.pixels.sum()))

    @property
    def mask_count(self) -> int:
        """The number of masks that have values and are not smoothed."""
        return sum(map(len, self.value_sets.values()))

    def unknown_value_sets(self) -> dict[frozenset[int], Sequence[int]]:
        """The part of `value_sets` with values outside the encoding."""
        known = self.dataset.encoding.classes.keys()
        return {values: pairs for values, pairs in self.value_sets.items() if not values <= known}

    def mask_finding(
        self,
        name: str,
        indices: Iterable[int],
        found: str,
        expected: str,
        fix: str,
        table: Mapping[int, int] = _NO_TABLE,
    ) -> Finding:
        """A finding about the masks of some pairs."""
        files = tuple(self.dataset.pairs[index].mask for index in sorted(indices))
        return Finding(FINDING_KINDS[name], self.dataset.split, files, found, expected, fix, table=table)


def uniform_mask_findings(stats: SplitStats, explained: Collection[Path]) -> Iterator[Finding]:
    """Masks with one value everywhere, or ignored nearly everywhere.

    Args:
        stats: the split.
        explained: masks whose values have another explanation, of which this may be a consequence.
    """
    pairs = stats.dataset.pairs
    ignored, constant = (
        [index for index in indices if pairs[index].mask not in explained]
        for indices in (stats.ignored, stats.constant)
    )
    if ignored:
        text, expected = f"at least {_MOSTLY:.0%} of the pixels ignored", "classes on most of the image"
        fix = "look at the mask; annotate it, or remove the pair"
        yield stats.mask_finding("mostly-ignored", ignored, text, expected, fix)
    # Data sets of rare objects contain many images of nothing but background.
    total = int((stats.masks != 0).sum())
    rare = len(constant) <= max(2, total / 10) or len(constant) == total
    if constant and rare and len(stats.dataset.label_space) > 2:
        fix = "look at the mask; export it again, or remove the pair"
        yield stats.mask_finding("constant-mask", constant, "one value at every pixel", "several classes", fix)


def class_infos(stats: SplitStats, wrong_masks: int) -> Iterator[Finding]:
    """Infos about classes that do not occur, and about partially annotated frames.

    Args:
        stats: the split.
        wrong_masks: the number of masks whose values mean something else than the encoding says.
    """
    dataset = stats.dataset
    unseen = [name for name, share in stats.shares().items() if share == 0]
    if unseen and stats.pixels[:-1].any() and 2 * wrong_masks < len(dataset):
        more = f" and {len(unseen) - _MAX_NAMED} more" if len(unseen) > _MAX_NAMED else ""
        text = f"no pixel of {', '.join(unseen[:_MAX_NAMED])}{more}"
        fix = "none is needed; a network cannot learn these classes here, and they have no score"
        yield Finding(FINDING_KINDS["unseen-class"], dataset.split, (), text, "every class", fix)
    partial = [index for index, pair in enumerate(dataset.pairs) if pair.annotated is not None]
    if partial:
        text = "only some classes annotated, as dataset.toml says"
        fix = "none is needed; training and scores use the annotated classes only"
        yield stats.mask_finding("partially-annotated", partial, text, "every class", fix)
