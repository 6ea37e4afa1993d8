"""The same picture twice: copies and near copies across splits, repeats within one, drives that run through two."""

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
from fassd.checks.split_tally import SplitStats
from fassd.data.dataset import Pair

NEAR_BITS = 40
"""Bits of 256 in which the hashes of near copies may differ."""
NEAR_LEVELS = 8.0
"""The mean difference, see `likeness.difference`, up to which two pictures of different drives are copies."""
NEAR_LEVELS_ON_A_DRIVE = 2.0
"""The same for two frames of one drive, which may follow each other."""
_RELATED_BITS = 95
"""Bits in which frames of a drive, a second apart, differ at most in the median; strangers differ in 120."""
_BANDS = 16
_CROWD = 500
"""Pictures that share a part of their hash by the way they look, such as empty skies; not compared one by one."""
_MOST_ALIKE = 50_000
_MOST_CLOSE_LOOKS = 2_000
_PIECES = 16
"""In which hashes are taken apart, for a bit takes a byte then."""

Compare = Callable[[Sequence[tuple[Path, Path]]], Iterable[float]]
"""The differences of many pairs of pictures, as `likeness.difference`."""


@dataclass(frozen=True)
class _Pictures:
    """The readable images of all splits in one row."""

    tallies: Sequence[SplitStats]
    split: Any
    index: Any
    digests: Any
    masks: Any
    hashes: Any

    def pair(self, place: int) -> Pair:
        return self.tallies[int(self.split[place])].dataset.pairs[int(self.index[place])]

    def split_name(self, place: int) -> str:
        return self.tallies[int(self.split[place])].dataset.split


def repeated_pictures(tallies: Sequence[SplitStats], compare: Compare) -> Iterator[Finding]:
    """Pictures that occur more than once, and drives that several splits share.

    Args:
        tallies: the splits.
        compare: looks closely at pictures whose hashes are alike.
    """
    pictures = _pictures(tallies)
    yield from _copies(pictures)
    yield from _near_copies(pictures, compare)
    yield from _shared_drives(pictures)


def _pictures(tallies: Sequence[SplitStats]) -> _Pictures:
    known = [np.flatnonzero(tally.digests) for tally in tallies]
    split = np.concatenate([np.full(len(one), number, np.int32) for number, one in enumerate(known)])

    def joined(field: str) -> Any:
        return np.concatenate([getattr(tally, field)[one] for tally, one in zip(tallies, known, strict=True)])

    return _Pictures(tallies, split, np.concatenate(known), joined("digests"), joined("masks"), joined("hashes"))


def _copies(pictures: _Pictures) -> Iterator[Finding]:
    for group in _equal(pictures.digests):
        # Where one of two copies has to go, it is the one that is learned from.
        first, *others = sorted(group, key=lambda place: (pictures.split_name(place) == "train", place))
        for other in others:
            across = pictures.split[first] != pictures.split[other]
            yield _leak(pictures, other, first, "the same pixels as") if across else _repeat(pictures, other, first)
            if pictures.masks[first] != pictures.masks[other] and pictures.masks[first] and pictures.masks[other]:
                yield Finding(
                    FINDING_KINDS["two-masks"],
                    pictures.split_name(other),
                    (pictures.pair(other).mask,),
                    f"its image is that of {_label(pictures, first)}, the masks differ",
                    "one truth for one picture",
                    "find out which mask is right, and take the other pair out",
                    partner=pictures.pair(first).mask,
                )


def _repeat(pictures: _Pictures, place: int, first: int) -> Finding:
    return Finding(
        FINDING_KINDS["duplicate"],
        pictures.split_name(place),
        (pictures.pair(place).image,),
        f"the same pixels as {_label(pictures, first)}",
        "every picture once",
        "none is needed; the picture counts twice",
        partner=pictures.pair(first).image,
    )


def _leak(pictures: _Pictures, place: int, other: int, found: str, name: str = "leak") -> Finding:
    return Finding(
        FINDING_KINDS[name],
        pictures.split_name(place),
        (pictures.pair(place).image,),
        f"{found} {_label(pictures, other)} in {pictures.split_name(other)}",
        "splits that share no picture",
        f"take it out of {pictures.split_name(place)}" + ("; --fix does it" if name == "leak" else ""),
        partner=pictures.pair(other).image,
    )


def _near_copies(pictures: _Pictures, compare: Compare) -> Iterator[Finding]:
    alike, crowded = _alike(pictures)
    alike = [(one, other) for one, other in alike if pictures.digests[one] != pictures.digests[other]]
    pairs = [(pictures.pair(one), pictures.pair(other)) for one, other in alike[:_MOST_CLOSE_LOOKS]]
    differences = compare([(one.image, other.image) for one, other in pairs])
    for places, (one, other), difference in zip(alike, pairs, differences, strict=False):
        if difference <= (NEAR_LEVELS_ON_A_DRIVE if _follow(one, other) else NEAR_LEVELS):
            kept, dropped = sorted(places, key=lambda place: pictures.split_name(place) == "train")
            yield _leak(pictures, dropped, kept, "looks like a copy (saved anew, scaled or cut) of", "near-leak")
    remedy = "mend what was found, and check again"
    if len(alike) > _MOST_CLOSE_LOOKS:
        text = f"{len(alike):,} pairs of like pictures across splits, of which {_MOST_CLOSE_LOOKS:,} were compared"
        yield Finding(FINDING_KINDS["not-compared"], "", (), text, "few such pairs", remedy)
    if crowded:
        text = f"{crowded:,} pictures so like hundreds of others that near copies in other splits were not looked for"
        yield Finding(FINDING_KINDS["not-compared"], "", (), text, "pictures that differ", remedy)


def _follow(one: Pair, other: Pair) -> bool:
    """Whether the names are those of different frames of one drive."""
    first, second = _drive(one.name), _drive(other.name)
    return first[0] == second[0] != "" and first[1] != second[1]


def _alike(pictures: _Pictures) -> tuple[list[tuple[int, int]], int]:
    """Pictures of different splits whose hashes differ in few bits, and how many pictures could not be looked up.

    Hashes that differ in fewer than 16 of 256 bits have one of 16 parts in common, and mostly also those that differ in
    40; so only pictures that share a part are compared. Bits are dealt out at random, lest a part be one piece of sky.
    """
    hashes, split = pictures.hashes, pictures.split
    if len(np.unique(split)) < 2:
        return [], 0
    order = np.random.default_rng(0).permutation(hashes.shape[1] * 8)
    dealt = [np.packbits(np.unpackbits(some, axis=1)[:, order], axis=1) for some in np.array_split(hashes, _PIECES)]
    parts = np.ascontiguousarray(np.concatenate(dealt)).view(np.uint16)
    found: set[tuple[int, int]] = set()
    crowds = np.zeros(len(hashes), np.uint8)
    for part in parts[:, :_BANDS].T:
        for group in _equal(part):
            if len(np.unique(split[group])) < 2:
                continue
            if len(group) > _CROWD:
                crowds[group] += 1
                continue
            near = np.argwhere(
                (_distances(np.unpackbits(hashes[group], axis=1)) <= NEAR_BITS)
                & (split[group][:, None] < split[group][None])
            )
            found.update((int(group[one]), int(group[other])) for one, other in near)
            if len(found) > _MOST_ALIKE:
                return sorted(found), 0
    return sorted(found), int((crowds >= _BANDS // 2).sum())


def _distances(bits: Any) -> Any:
    """In how many bits each of some hashes differs from each."""
    signed = bits.astype(np.float32) * 2 - 1
    return (bits.shape[1] - signed @ signed.T) / 2


def _equal(values: Any) -> Iterator[Any]:
    """The places of equal values, of each value that occurs more than once."""
    order = np.argsort(values, kind="stable")
    ends = np.flatnonzero(values[order][1:] != values[order][:-1]) + 1
    return (np.sort(group) for group in np.split(order, ends) if len(group) > 1)


def _shared_drives(pictures: _Pictures) -> Iterator[Finding]:
    """Drives, told by the names of their frames, that run through two splits and look alike there."""
    drives: defaultdict[str, defaultdict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for place in range(len(pictures.index)):
        prefix, number = _drive(pictures.pair(place).name)
        if number:
            drives[prefix][int(pictures.split[place])].append((int(number), place))
    shared: defaultdict[tuple[int, int], list[str]] = defaultdict(list)
    for prefix, frames in drives.items():
        for first, second in combinations(sorted(frames), 2):
            if _related(pictures, frames[first], frames[second]):
                shared[first, second].append(prefix)
    for (first, second), prefixes in shared.items():
        names = [pictures.tallies[one].dataset.split for one in (first, second)]
        places = [min(drives[prefix][split])[1] for prefix in prefixes for split in (second, first)]
        spelled = ", ".join(prefix.rpartition("/")[2].rstrip("_-. ") or prefix for prefix in prefixes[:5])
        yield Finding(
            FINDING_KINDS["sequence-in-two-splits"],
            names[1],
            tuple(pictures.pair(place).image for place in places),
            f"frames of {spelled} in {names[0]} and in {names[1]}",
            "other drives in each split",
            f"none is needed if the split is the owners'; scores on {names[1]} flatter a network that learned from it",
        )


def _related(pictures: _Pictures, one: list[tuple[int, int]], other: list[tuple[int, int]]) -> bool:
    """Whether numbers follow each other because time went by: neighbors look alike, at least within a split."""
    apart = (_neighbors_bits(pictures, sorted(frames)) for frames in (one, other))
    across = _neighbors_bits(pictures, sorted(one + other), only_across=True)
    return any(len(bits) > 1 and np.median(bits) <= _RELATED_BITS for bits in (*apart, [*across, *across]))


def _neighbors_bits(pictures: _Pictures, frames: list[tuple[int, int]], only_across: bool = False) -> list[int]:
    """In how many bits each frame differs from the next, in the order of their numbers."""
    return [
        int(np.unpackbits(pictures.hashes[first] ^ pictures.hashes[second]).sum())
        for (_, first), (_, second) in pairwise(frames)
        if not only_across or pictures.split[first] != pictures.split[second]
    ]


def _drive(name: str) -> tuple[str, str]:
    """What stands before the last number in a frame's name without its split, and that number."""
    found = re.match(r"(.*?)(\d+)\D*$", name.rpartition("/")[2])
    return (found[1], found[2]) if found and found[1] else ("", "")


def _label(pictures: _Pictures, place: int) -> str:
    return pictures.pair(place).image.name
