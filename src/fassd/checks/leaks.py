"""Leaks and duplicates: equal and nearly equal images across splits, repeats within a split, drives in two splits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.split_stats import SplitStats
from fassd.data.dataset import Pair

NEAR_BITS = 40
"""Bits of 256 in which the hashes of near copies differ at most."""
NEAR_LEVELS = 8.0
"""The mean difference, see `image_hash.difference`, up to which two images of different drives are copies."""
NEAR_LEVELS_ON_A_DRIVE = 2.0
"""The same for two frames of one drive, which may follow each other."""
_RELATED_BITS = 95
"""Largest median distance of neighboring frames of a drive, a second apart; unrelated images differ in 120 bits."""
_BANDS = 16
_MAX_GROUP = 500
"""Larger groups of images that share a part of their hash, such as those of empty skies, are not compared."""
_MAX_CANDIDATES = 50_000
_MAX_COMPARED = 2_000
_PIECES = 16
"""Pieces in which hashes are unpacked, since each bit then takes a byte."""

Compare = Callable[[Sequence[tuple[Path, Path]]], Iterable[float]]
"""The differences of many pairs of images, as `image_hash.difference`."""


@dataclass(frozen=True)
class _Images:
    """The N readable images of all splits, one after the other.

    Attributes:
        split_stats: the splits.
        split: (N,) the place of each image's split in `split_stats`.
        index: (N,) its index in that split.
        digests: (N,) see `SplitStats`; likewise `masks` and `hashes`, (N, 32).
    """

    split_stats: Sequence[SplitStats]
    split: Any
    index: Any
    digests: Any
    masks: Any
    hashes: Any

    def pair(self, place: int) -> Pair:
        return self.split_stats[int(self.split[place])].dataset.pairs[int(self.index[place])]

    def split_name(self, place: int) -> str:
        return self.split_stats[int(self.split[place])].dataset.split


def duplicate_findings(split_stats: Sequence[SplitStats], compare: Compare) -> Iterator[Finding]:
    """Images that occur more than once, and drives that several splits share.

    Args:
        split_stats: the splits.
        compare: computes the differences of images with similar hashes.
    """
    images = _all_images(split_stats)
    yield from _copies(images)
    yield from _near_copies(images, compare)
    yield from _shared_drives(images)


def _all_images(split_stats: Sequence[SplitStats]) -> _Images:
    known = [np.flatnonzero(stats.digests) for stats in split_stats]
    split = np.concatenate([np.full(len(one), number, np.int32) for number, one in enumerate(known)])

    def joined(field: str) -> Any:
        return np.concatenate([getattr(stats, field)[one] for stats, one in zip(split_stats, known, strict=True)])

    return _Images(split_stats, split, np.concatenate(known), joined("digests"), joined("masks"), joined("hashes"))


def _copies(images: _Images) -> Iterator[Finding]:
    for group in _equal(images.digests):
        # The copy in train comes last: it is the one to be removed.
        first, *others = sorted(group, key=lambda place: (images.split_name(place) == "train", place))
        for other in others:
            across = images.split[first] != images.split[other]
            if across:
                yield _leak(images, other, first, "the same pixels as")
            else:
                yield Finding(
                    FINDING_KINDS["duplicate"],
                    images.split_name(other),
                    (images.pair(other).image,),
                    f"the same pixels as {_label(images, first)}",
                    "every image once",
                    "none is needed; the image counts twice",
                    related_file=images.pair(first).image,
                )
            if images.masks[first] != images.masks[other] and images.masks[first] and images.masks[other]:
                yield Finding(
                    FINDING_KINDS["two-masks"],
                    images.split_name(other),
                    (images.pair(other).mask,),
                    f"its image equals {_label(images, first)}, but their masks differ",
                    "one mask for one image",
                    "find out which mask is right, and remove the other pair",
                    related_file=images.pair(first).mask,
                )


def _leak(images: _Images, place: int, other: int, found: str, name: str = "leak") -> Finding:
    return Finding(
        FINDING_KINDS[name],
        images.split_name(place),
        (images.pair(place).image,),
        f"{found} {_label(images, other)} in {images.split_name(other)}",
        "splits that share no image",
        f"remove it from {images.split_name(place)}" + ("; --fix does it" if name == "leak" else ""),
        related_file=images.pair(other).image,
    )


def _near_copies(images: _Images, compare: Compare) -> Iterator[Finding]:
    alike, skipped = _candidates(images)
    alike = [(one, other) for one, other in alike if images.digests[one] != images.digests[other]]
    pairs = [(images.pair(one), images.pair(other)) for one, other in alike[:_MAX_COMPARED]]
    differences = compare([(one.image, other.image) for one, other in pairs])
    for places, (one, other), difference in zip(alike, pairs, differences, strict=False):
        if difference <= (NEAR_LEVELS_ON_A_DRIVE if _on_one_drive(one, other) else NEAR_LEVELS):
            kept, dropped = sorted(places, key=lambda place: images.split_name(place) == "train")
            yield _leak(images, dropped, kept, "looks like a copy (compressed, scaled or cropped) of", "near-leak")
    fix = "fix what was found, and check again"
    if len(alike) > _MAX_COMPARED:
        text = f"{len(alike):,} pairs of similar images across splits, of which {_MAX_COMPARED:,} were compared"
        yield Finding(FINDING_KINDS["not-compared"], "", (), text, "few such pairs", fix)
    if skipped:
        text = f"{skipped:,} images similar to hundreds of others; near copies in other splits were not searched"
        yield Finding(FINDING_KINDS["not-compared"], "", (), text, "images that differ", fix)


def _on_one_drive(one: Pair, other: Pair) -> bool:
    """Whether the names are those of different frames of one drive."""
    first, second = _drive(one.name), _drive(other.name)
    return first[0] == second[0] != "" and first[1] != second[1]


def _candidates(images: _Images) -> tuple[list[tuple[int, int]], int]:
    """Pairs of images of different splits whose hashes differ in few bits, and the number of images not searched.

    Hashes that differ in fewer than 16 of 256 bits have one of 16 parts in common, and mostly also those that differ in
    40; so only images that share a part are compared. A random permutation of the bits keeps a part from covering only
    a region such as sky.
    """
    hashes, split = images.hashes, images.split
    if len(np.unique(split)) < 2:
        return [], 0
    order = np.random.default_rng(0).permutation(hashes.shape[1] * 8)
    permuted = [np.packbits(np.unpackbits(some, axis=1)[:, order], axis=1) for some in np.array_split(hashes, _PIECES)]
    parts = np.ascontiguousarray(np.concatenate(permuted)).view(np.uint16)
    found: set[tuple[int, int]] = set()
    skips = np.zeros(len(hashes), np.uint8)
    for part in parts[:, :_BANDS].T:
        for group in _equal(part):
            if len(np.unique(split[group])) < 2:
                continue
            if len(group) > _MAX_GROUP:
                skips[group] += 1
                continue
            near = np.argwhere(
                (_distances(np.unpackbits(hashes[group], axis=1)) <= NEAR_BITS)
                & (split[group][:, None] < split[group][None])
            )
            found.update((int(group[one]), int(group[other])) for one, other in near)
            if len(found) > _MAX_CANDIDATES:
                return sorted(found), 0
    return sorted(found), int((skips >= _BANDS // 2).sum())


def _distances(bits: Any) -> Any:
    """(N, N) Hamming distances of N hashes, given as (N, bits)."""
    signed = bits.astype(np.float32) * 2 - 1
    return (bits.shape[1] - signed @ signed.T) / 2


def _equal(values: Any) -> Iterator[Any]:
    """The indices of equal values, for each value that occurs more than once."""
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(values[order][1:] != values[order][:-1]) + 1
    return (np.sort(group) for group in np.split(order, ends) if len(group) > 1)


def _shared_drives(images: _Images) -> Iterator[Finding]:
    """Drives, recognized by file names, with similar frames in two splits."""
    drives: defaultdict[str, defaultdict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for place in range(len(images.index)):
        prefix, number = _drive(images.pair(place).name)
        if number:
            drives[prefix][int(images.split[place])].append((int(number), place))
    shared: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for prefix, frames in drives.items():
        for first, second in combinations(sorted(frames), 2):
            if _related(images, frames[first], frames[second]):
                shared[first, second].append(prefix)
    for (first, second), prefixes in shared.items():
        names = [images.split_stats[one].dataset.split for one in (first, second)]
        places = [min(drives[prefix][split])[1] for prefix in prefixes for split in (second, first)]
        spelled = ", ".join(prefix.rpartition("/")[2].rstrip("_-. ") or prefix for prefix in prefixes[:5])
        yield Finding(
            FINDING_KINDS["sequence-in-two-splits"],
            names[1],
            tuple(images.pair(place).image for place in places),
            f"frames of {spelled} in {names[0]} and in {names[1]}",
            "different drives in each split",
            "none is needed for an official split; a network trained on one of them scores too well on the other",
        )


def _related(images: _Images, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> bool:
    """Whether frames with neighboring numbers are similar, within a split or across both."""
    within = (_neighbor_distances(images, sorted(frames)) for frames in (one, other))
    across = _neighbor_distances(images, sorted(one + other), only_across=True)
    return any(len(bits) > 1 and np.median(bits) <= _RELATED_BITS for bits in (*within, [*across, *across]))


def _neighbor_distances(images: _Images, frames: list[tuple[int, int]], only_across: bool = False) -> list[int]:
    """Hamming distances of each frame to the next, in the order of their numbers."""
    return [
        int(np.unpackbits(images.hashes[first] ^ images.hashes[second]).sum())
        for (_, first), (_, second) in pairwise(frames)
        if not only_across or images.split[first] != images.split[second]
    ]


def _drive(name: str) -> tuple[str, str]:
    """The part of a frame's name before its last number, and that number; both "" without one."""
    found = re.match(r"(.*?)(\d+)\D*$", name.rpartition("/")[2])
    return (found[1], found[2]) if found and found[1] else ("", "")


def _label(images: _Images, place: int) -> str:
    return images.pair(place).image.name
