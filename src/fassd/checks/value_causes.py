"""Causes of wrong mask values: one finding for each cause in each split.

A cause that one split shows is tried on the other splits as well, where few masks may reveal it: each split is read in
the way that makes its class shares most similar to those of the largest split with a known cause. Causes that values
alone do not reveal follow from the street prior: the lower middle of a street's image is road, the upper middle sky,
building or vegetation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fassd.checks.findings import Finding
from fassd.checks.mask_values import (
    Explanation,
    Table,
    black_and_white,
    explain_values,
    holds_label_ids,
    one_too_high,
    one_too_low,
    train_ids,
)
from fassd.checks.split_stats import SplitStats
from fassd.core.arrays import IGNORE
from fassd.data.mask_encoding import MaskEncoding

_MIN_MASKS = 3
"""Masks from which the street prior is used."""
_MIN_COVERED = 0.8
"""Share of the masks that an explanation must cover; single masks may have other problems besides."""
_UPPER_CLASSES = {"sky", "building", "vegetation", "tree"}
"""Classes at the upper middle of a street's image."""
_MAX_SHOWN = 6
_GUESSES = ("off-by-one", "label-ids", "train-ids")
"""Causes that a single unknown value suggests while the other values are valid either way."""
_MIN_GAIN = 0.1
"""Gain of similarity (0..1) from which a split without any unknown value is read in another way."""


@dataclass(frozen=True)
class _Reading:
    """How to read the masks of a split; `everywhere`: also those that do not show the reason."""

    reason: Explanation
    everywhere: bool


def value_findings(split_stats: Sequence[SplitStats]) -> list[list[Finding]]:
    """For each split, one finding for each cause of values that mean something else than the encoding says."""
    readings = [_reading_of(stats) for stats in split_stats]
    two_classes = [stats for stats in split_stats if len(stats.dataset.label_space) == 2]
    # If one mask holds both the second class and 255, then 255 is no other way to write that class.
    ignore_is_apart = any({1, IGNORE} <= values for stats in two_classes for values in stats.value_sets)
    if ignore_is_apart:
        readings = [None if own and own.reason.kind == "black-and-white" else own for own in readings]
    explained = [place for place, reading in enumerate(readings) if reading is not None and reading.reason.table]
    if explained:
        largest = max(explained, key=lambda place: int((split_stats[place].masks != 0).sum()))
        shares = _shares(split_stats[largest], readings[largest])
        others = [one for one in readings if one is not None and one.reason.table]
        readings = [
            own if place == largest else _most_similar(stats, own, others, shares)
            for place, (stats, own) in enumerate(zip(split_stats, readings, strict=True))
        ]
    return [
        list(_findings(stats, reading, ignore_is_apart)) for stats, reading in zip(split_stats, readings, strict=True)
    ]


# How a split is read.


def _reading_of(stats: SplitStats) -> _Reading | None:
    """The reading of a split without the others."""
    usual = _explain_all(stats)
    if usual is not None:
        return _Reading(usual, everywhere=True)
    unknown, encoding, classes = stats.unknown_value_sets(), stats.dataset.encoding, len(stats.dataset.label_space)
    reason = _common_reason(stats, unknown)
    if reason is None:
        return None
    if not reason.table:
        return _Reading(reason, everywhere=2 * sum(map(len, unknown.values())) >= stats.mask_count)
    if not _is_credible(stats, reason, unknown):
        return None
    # Masks without unknown values have the same problem if they resemble those with it as they are, not corrected.
    corrected = _class_shares(stats.unknown_counts, reason.table, encoding, classes)
    as_it_is, once_corrected = (
        _similarity(_class_shares(stats.known_counts, table, encoding, classes), corrected)
        for table in ({}, reason.table)
    )
    return _Reading(reason, everywhere=once_corrected > as_it_is)


def _common_reason(stats: SplitStats, unknown: Mapping[frozenset[int], Sequence[int]]) -> Explanation | None:
    """One reason for all masks with unknown values, or for more than half of them."""
    encoding, space = stats.dataset.encoding, stats.dataset.label_space
    together = frozenset[int]().union(*unknown)
    if not together:
        return None
    reason = explain_values(together, encoding, space)
    if reason is None and 0 in together and not encoding.by_color:
        # Counted from 1, with 0 for pixels of no class, which is rarer than a class would be.
        with_zero = sum(len(pairs) for values, pairs in stats.value_sets.items() if 0 in values)
        rest = explain_values(together - {0}, encoding, space)
        if rest is not None and rest.kind == "off-by-one" and 2 * with_zero < stats.mask_count:
            return rest
    if reason is not None:
        return reason
    reasons = (explain_values(values, encoding, space) for values in unknown)
    tables = [one for one in reasons if one is not None and one.table]

    def covered(one: Explanation) -> int:
        return sum(len(pairs) for values, pairs in unknown.items() if values <= one.table.keys())

    best = max(tables, key=covered, default=None)
    return best if best is not None and 2 * covered(best) > sum(map(len, unknown.values())) else None


def _is_credible(stats: SplitStats, reason: Explanation, groups: Mapping[frozenset[int], Sequence[int]]) -> bool:
    """Whether this cause is more likely than a value that is missing in the description."""
    verdict = agrees_with_street_prior(stats, reason.table, [index for masks in groups.values() for index in masks])
    if verdict or reason.kind not in _GUESSES:
        return verdict >= 0
    if reason.kind == "off-by-one":
        return not any(0 in values for values in stats.value_sets)
    encoding, classes = stats.dataset.encoding, len(stats.dataset.label_space)
    as_it_is, once_corrected = (
        _class_shares(stats.unknown_counts, one, encoding, classes) for one in ({}, reason.table)
    )
    return bool(once_corrected[-1] < as_it_is[-1])


def _most_similar(stats: SplitStats, own: _Reading | None, others: Sequence[_Reading], shares: Any) -> _Reading | None:
    """The split's own reading, or another split's that makes its class shares more similar to `shares`."""
    best, highest = own, _similarity(_shares(stats, own), shares)
    if own is None and not stats.unknown_counts:
        highest += _MIN_GAIN
    for other in others:
        for everywhere in (True, False):
            reading = _Reading(other.reason, everywhere)
            similarity = _similarity(_shares(stats, reading), shares)
            masks = stats.value_sets if everywhere else stats.unknown_value_sets()
            if similarity > highest and _is_credible(stats, other.reason, masks):
                best, highest = reading, similarity
    return best


def _shares(stats: SplitStats, reading: _Reading | None) -> Any:
    """(classes + 1,) shares of each class and, last, of ignored pixels under a reading."""
    encoding, classes = stats.dataset.encoding, len(stats.dataset.label_space)
    table = {} if reading is None else reading.reason.table
    known = _class_pixels(stats.known_counts, table if reading and reading.everywhere else {}, encoding, classes)
    return _normalized(known + _class_pixels(stats.unknown_counts, table, encoding, classes))


def _class_shares(counts: Mapping[int, int], table: Table, encoding: MaskEncoding, classes: int) -> Any:
    return _normalized(_class_pixels(counts, table, encoding, classes))


def _class_pixels(counts: Mapping[int, int], table: Table, encoding: MaskEncoding, classes: int) -> Any:
    found = np.zeros(classes + 1)
    for value, count in counts.items():
        found[min(encoding.classes.get(table.get(value, value), IGNORE), classes)] += count
    return found


def _normalized(counts: Any) -> Any:
    return counts / max(1.0, float(counts.sum()))


def _similarity(one: Any, other: Any) -> float:
    """Bhattacharyya coefficient of two distributions: 0 for disjoint, 1 for equal ones."""
    return float(np.sqrt(one * other).sum())


# The findings of a split.


def _findings(stats: SplitStats, reading: _Reading | None, ignore_is_apart: bool) -> Iterator[Finding]:
    encoding = stats.dataset.encoding
    unknown, covered = stats.unknown_value_sets(), set[frozenset[int]]()
    if reading is not None:
        groups, table = stats.value_sets if reading.everywhere else unknown, reading.reason.table
        explained = table.keys() or frozenset[int]().union(*groups)
        covered = {values for values in groups if values <= explained}
        # A table that leaves all values of a mask as they are finds nothing wrong in it.
        changed = [values for values in covered if not table or any(table[value] != value for value in values)]
        masks = [index for values in changed for index in groups[values]]
        if masks:
            yield _finding(stats, reading.reason, masks)
    rest = {values: group for values, group in unknown.items() if values not in covered}
    reasons = {values: _reason_of_few(stats, values, masks) for values, masks in rest.items()}
    for values, reason in reasons.items():
        if reason is not None:
            yield _finding(stats, reason, rest[values])
    unexplained = {values: rest[values] for values in rest if reasons[values] is None}
    for values, masks in _connected(unexplained, encoding):
        yield _finding(stats, _unexplained(values, encoding, len(stats.dataset.label_space)), masks)
    if reading is None and not encoding.by_color:
        yield from _unlike_the_rest(stats, ignore_is_apart)


def _reason_of_few(stats: SplitStats, values: frozenset[int], masks: Sequence[int]) -> Explanation | None:
    """The cause of unknown values in masks that differ from most of the split."""
    reason = explain_values(values, stats.dataset.encoding, stats.dataset.label_space)
    verdict = 0 if reason is None else agrees_with_street_prior(stats, reason.table, masks)
    return None if verdict < 0 or (not verdict and reason is not None and reason.kind in _GUESSES) else reason


def _connected(
    groups: Mapping[frozenset[int], Sequence[int]], encoding: MaskEncoding
) -> Iterator[tuple[frozenset[int], list[int]]]:
    """Groups of masks that share unknown values, directly or through other masks, with all unknown values of each."""
    found: list[tuple[frozenset[int], list[int]]] = []
    for all_values, group in groups.items():
        values, masks = all_values - encoding.classes.keys(), list(group)
        for one in [one for one in found if one[0] & values]:
            found.remove(one)
            values, masks = values | one[0], [*one[1], *masks]
        found.append((values, masks))
    yield from found


def _unlike_the_rest(stats: SplitStats, ignore_is_apart: bool) -> Iterator[Finding]:
    """Single masks of known values that differ from all others: black and white, or train ids."""
    encoding, space = stats.dataset.encoding, stats.dataset.label_space
    plain = [values for values in stats.value_sets if black_and_white(values, encoding, space)]
    suspects = sorted(index for values in plain if values == {0, IGNORE} for index in stats.value_sets[values])
    others = [len(values) for values in stats.value_sets if values not in plain]
    two = len(space) == 2 and not ignore_is_apart
    few = len(suspects) <= max(2, stats.mask_count / 20)
    many = len(space) > 2 and few and bool(others) and np.median(others) >= 4
    reason = black_and_white(frozenset({0, IGNORE}), encoding, space)
    if suspects and reason is not None and (two or many):
        yield _finding(stats, reason, suspects)
    road = _road_value(stats)
    if road is None or not holds_label_ids(encoding) or (stats.middles == road).sum() <= stats.mask_count / 2:
        return
    for values, pairs in stats.value_sets.items():
        reason = train_ids(values, encoding, space) if values <= encoding.classes.keys() else None
        zero_at_road = [index for index in pairs if stats.middles[index] == 0]
        if reason is not None and zero_at_road:
            yield _finding(stats, reason, zero_at_road)


def _unexplained(values: frozenset[int], encoding: MaskEncoding, classes: int) -> Explanation:
    unknown = sorted(values - encoding.classes.keys())
    what = "color" if encoding.by_color else "value"
    shown = ("  " if encoding.by_color else ", ").join(map(encoding.spell, unknown[:_MAX_SHOWN]))
    more = f" and {len(unknown) - _MAX_SHOWN} more" if len(unknown) > _MAX_SHOWN else ""
    text = f"the {what}{'s' * (len(unknown) > 1)} {shown}{more}"
    fix = f"correct the masks; if the {what} has a meaning, add it under [mask_values] in dataset.toml"
    if len(unknown) == 1 and not encoding.by_color:
        ignored = [value for value, label in encoding.classes.items() if label == IGNORE and value != IGNORE]
        advice = f"write {ignored[0]} in its place" if ignored else f"set ignore = {unknown[0]} in dataset.toml"
        fix = f"correct the masks; if {unknown[0]} means no class, {advice}"
        if unknown[0] == classes:
            fix += f"; if 0 means no class and the classes count from 1 to {classes}, subtract 1"
    return Explanation("unknown-values", text, fix)


def _finding(stats: SplitStats, reason: Explanation, indices: Sequence[int]) -> Finding:
    expected = stats.dataset.encoding.spell_all()
    return stats.mask_finding(reason.kind, indices, reason.found, expected, reason.fix, reason.table)


# The street prior.


def _explain_all(stats: SplitStats) -> Explanation | None:
    """A cause that affects all masks, found by all values together or by the street prior."""
    encoding, space, total = stats.dataset.encoding, stats.dataset.label_space, stats.mask_count
    if encoding.by_color or not total:
        return None
    plain = black_and_white(frozenset[int]().union(*stats.value_sets), encoding, space)
    road = _road_value(stats) if _has_sky(stats) else None
    if plain is not None or road is None or total < _MIN_MASKS or (stats.middles == road).sum() > total / 20:
        return plain
    causes = (
        (0, train_ids(frozenset({0}), encoding, space)),
        (road + 1, one_too_high(encoding, f"{road + 1} where streets have road, which is {road}")),
        (road - 1, one_too_low(encoding, f"{road - 1} where streets have road, which is {road}")),
    )
    at_road = [cause for value, cause in causes if cause is not None and (stats.middles == value).sum() > total / 2]
    if not at_road:
        return None
    explained = {0, IGNORE} | at_road[0].table.keys()
    covered = sum(len(pairs) for values, pairs in stats.value_sets.items() if values <= explained)
    if covered < _MIN_COVERED * total:
        return None
    # Images taken from the pavement have no road there, but sky and buildings where they belong. The values are wrong
    # only if the upper middle, too, fits better once corrected.
    masks = range(len(stats.tops))
    as_it_is, once_corrected = _fits_above(stats, {}, masks), _fits_above(stats, at_road[0].table, masks)
    return at_road[0] if once_corrected > as_it_is + total / 10 and once_corrected > total / 2 else None


def agrees_with_street_prior(stats: SplitStats, table: Table, indices: Sequence[int]) -> int:
    """Whether a table moves road, sky and buildings of some masks to where streets have them.

    Returns:
        1 if more masks agree after the table, -1 if fewer do; 0 if undecided, or if the classes are not a street's.
    """
    road = _road_value(stats) if _has_sky(stats) else None
    if road is None:
        return 0
    at_road = np.array([table.get(int(value), int(value)) == road for value in stats.middles[indices]], bool)
    gain = int(at_road.sum()) - int((stats.middles[indices] == road).sum())
    gain += _fits_above(stats, table, indices) - _fits_above(stats, {}, indices)
    return -1 if gain < 0 else int(gain > len(indices) / 10)


def _fits_above(stats: SplitStats, table: Table, indices: Sequence[int]) -> int:
    """The number of masks that, after a table, have one of `_UPPER_CLASSES` at their upper middle."""
    encoding, names, tops = stats.dataset.encoding, stats.dataset.label_space.names, stats.tops[indices]
    fitting = {
        value
        for value in map(int, np.unique(tops))
        if (label := encoding.classes.get(table.get(value, value), IGNORE)) != IGNORE
        and names[label].lower() in _UPPER_CLASSES
    }
    return int(np.isin(tops, list(fitting)).sum())


def _has_sky(stats: SplitStats) -> bool:
    """Whether sky is a class; without it, images may show the ground from the air, with roads anywhere."""
    return any(name.lower() == "sky" for name in stats.dataset.label_space.names)


def _road_value(stats: SplitStats) -> int | None:
    """The mask value of road; None if there is none or more than one."""
    encoding, names = stats.dataset.encoding, stats.dataset.label_space.names
    roads = [value for value, label in encoding.classes.items() if label != IGNORE and names[label].lower() == "road"]
    return roads[0] if len(roads) == 1 and not encoding.by_color else None
