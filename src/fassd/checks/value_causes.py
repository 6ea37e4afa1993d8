"""What was done to all masks of streets, told by where they show road, and what only by their values.

Why masks hold values that they should not: one finding for each cause in each split.

A cause that one split shows is tried on the others, too, where few masks may not show it: a split is read in the way
that makes its classes as common as they are in the split that knows.
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
from fassd.checks.split_findings import about_masks
from fassd.checks.split_tally import SplitStats
from fassd.core.arrays import IGNORE
from fassd.core.labels import LabelSpace
from fassd.data.mask_encoding import MaskEncoding

_FEWEST = 3
"""Masks from which a habit can be told."""
_MOST = 0.8
"""Share of the masks that an explanation must cover; single ones may have other faults besides."""
_ABOVE = {"sky", "building", "vegetation", "tree"}
"""Classes that the upper middle of a street's picture shows."""


def habit(tally: SplitStats) -> Explanation | None:
    """What was done to all masks, told by what they hold together and by where they show road."""
    coding, space = tally.dataset.encoding, tally.dataset.label_space
    total = sum(map(len, tally.codes.values()))
    if coding.by_color or not total:
        return None
    codes = frozenset[int]().union(*tally.codes)
    plain = black_and_white(codes, coding, space)
    # Without a sky among its classes it may be the ground seen from the air, where roads lie anywhere.
    road = _road_code(tally) if _has_sky(tally) else None
    if plain is not None or road is None or total < _FEWEST or (tally.middles == road).sum() > total / 20:
        return plain
    reason = _from_road(tally, road, total)
    if reason is None:
        return None
    # Whoever films from the pavement has no road there, but buildings and trees where they belong. Only where the
    # upper middle, too, becomes what streets have there are the values wrong.
    masks = range(len(tally.tops))
    as_it_is, once_mended = _above(tally, {}, masks), _above(tally, reason.table, masks)
    return reason if once_mended > as_it_is + total / 10 and once_mended > total / 2 else None


def agrees_with_street_prior(tally: SplitStats, table: Table, masks: Sequence[int]) -> int:
    """What the places where streets show road, sky and buildings say of masks led through a table.

    Returns:
        1 if more is where it belongs then, -1 if less is; 0 if that is not told, or the classes are not a street's.
    """
    road = _road_code(tally) if _has_sky(tally) else None
    if road is None:
        return 0
    at_road = np.array([table.get(int(code), int(code)) == road for code in tally.middles[masks]], bool)
    gain = int(at_road.sum()) - int((tally.middles[masks] == road).sum())
    gain += _above(tally, table, masks) - _above(tally, {}, masks)
    return -1 if gain < 0 else int(gain > len(masks) / 10)


def _from_road(tally: SplitStats, road: int, total: int) -> Explanation | None:
    """What would explain that streets have another value than road's where road is."""
    coding, space = tally.dataset.encoding, tally.dataset.label_space
    reasons = (
        (0, train_ids(frozenset({0}), coding, space)),
        (road + 1, one_too_high(coding, f"{road + 1} where streets have road, which is {road}")),
        (road - 1, one_too_low(coding, f"{road - 1} where streets have road, which is {road}")),
    )
    for there, reason in reasons:
        if reason is not None and (tally.middles == there).sum() > total / 2:
            known = {0, IGNORE} | reason.table.keys()
            covered = sum(len(pairs) for codes, pairs in tally.codes.items() if codes <= known)
            return reason if covered >= _MOST * total else None
    return None


def train_ids_at_road(tally: SplitStats) -> Iterator[tuple[Explanation, list[int]]]:
    """Single masks of train ids among labelIds, with the reason: 0 where the others have road."""
    coding, space, road = tally.dataset.encoding, tally.dataset.label_space, _road_code(tally)
    total = sum(map(len, tally.codes.values()))
    if road is None or not holds_label_ids(coding) or (tally.middles == road).sum() <= total / 2:
        return
    for codes, pairs in tally.codes.items():
        reason = train_ids(codes, coding, space) if codes <= coding.classes.keys() else None
        at_road = [index for index in pairs if tally.middles[index] == 0]
        if reason is not None and at_road:
            yield reason, at_road


def _above(tally: SplitStats, table: Table, masks: Sequence[int]) -> int:
    """How many masks, led through a table, have at their upper middle what streets have there."""
    coding, names, tops = tally.dataset.encoding, tally.dataset.label_space.names, tally.tops[masks]
    fitting = {
        code
        for code in map(int, np.unique(tops))
        if (label := coding.classes.get(table.get(code, code), IGNORE)) != IGNORE and names[label].lower() in _ABOVE
    }
    return int(np.isin(tops, list(fitting)).sum())


def _has_sky(tally: SplitStats) -> bool:
    return any(name.lower() == "sky" for name in tally.dataset.label_space.names)


def _road_code(tally: SplitStats) -> int | None:
    """The code of road, which the lower middle of a street's picture shows."""
    coding, names = tally.dataset.encoding, tally.dataset.label_space.names
    roads = [code for code, label in coding.classes.items() if label != IGNORE and names[label].lower() == "road"]
    return roads[0] if len(roads) == 1 and not coding.by_color else None


_SPELLED = 6
_GUESSED = ("off-by-one", "raw-ids", "train-ids")
"""What a single foreign value suggests, while the others mean something either way."""
_PLAINLY = 0.1
"""By how much more alike (0..1) a split without any foreign value must become to be read otherwise."""


@dataclass(frozen=True)
class _Reading:
    """How to read the masks of a split; `everywhere`: also those in which the reason cannot be seen."""

    reason: Explanation
    everywhere: bool


def value_findings(tallies: Sequence[SplitStats]) -> list[list[Finding]]:
    """For each split, the values that mean something else than the description says; one finding for each cause."""
    readings = [_own_reading(tally) for tally in tallies]
    if tells_apart := _tell_second_from_ignored(tallies):
        readings = [None if own and own.reason.kind == "black-and-white" else own for own in readings]
    knowing = [place for place, reading in enumerate(readings) if reading is not None and reading.reason.table]
    if knowing:
        known = max(knowing, key=lambda place: int((tallies[place].masks != 0).sum()))
        shares = _shares(tallies[known], readings[known])
        others = [one for one in readings if one is not None and one.reason.table]
        readings = [
            own if place == known else _most_alike(tally, own, others, shares)
            for place, (tally, own) in enumerate(zip(tallies, readings, strict=True))
        ]
    return [list(_told(tally, reading, tells_apart)) for tally, reading in zip(tallies, readings, strict=True)]


def _tell_second_from_ignored(tallies: Sequence[SplitStats]) -> bool:
    """Whether the second of two classes and 255 are met in one mask: 255 is no other way to write that class then."""
    of_two = [tally for tally in tallies if len(tally.dataset.label_space) == 2]
    return any({1, IGNORE} <= codes for tally in of_two for codes in tally.codes)


def _own_reading(tally: SplitStats) -> _Reading | None:
    """What a split shows by itself."""
    usual = habit(tally)
    if usual is not None:
        return _Reading(usual, everywhere=True)
    foreign, coding = _foreign(tally), tally.dataset.encoding
    reason = _common_reason(tally, foreign)
    if reason is None:
        return None
    if not reason.table:
        masks = sum(map(len, tally.codes.values()))
        return _Reading(reason, everywhere=2 * sum(map(len, foreign.values())) >= masks)
    if not _is_credible(tally, reason, foreign):
        return None
    # What was done to these masks was done to those, too, that look like them as they are and not once mended.
    mended = _class_shares(tally.foreign_amounts, reason.table, coding, len(tally.dataset.label_space))
    plain = [
        _class_shares(tally.amounts, table, coding, len(tally.dataset.label_space)) for table in ({}, reason.table)
    ]
    as_it_is, once_mended = (_likeness(one, mended) for one in plain)
    return _Reading(reason, everywhere=once_mended > as_it_is)


def _is_credible(tally: SplitStats, reason: Explanation, groups: Mapping[frozenset[int], Sequence[int]]) -> bool:
    """Whether masks are more likely to have this fault than to hold some value that nobody described."""
    word = agrees_with_street_prior(tally, reason.table, [index for masks in groups.values() for index in masks])
    if word or reason.kind not in _GUESSED:
        return word >= 0
    if reason.kind == "off-by-one":
        return not any(0 in codes for codes in tally.codes)
    coding, classes = tally.dataset.encoding, len(tally.dataset.label_space)
    as_it_is, once_mended = (_class_shares(tally.foreign_amounts, one, coding, classes) for one in ({}, reason.table))
    return bool(once_mended[-1] < as_it_is[-1])


def _most_alike(tally: SplitStats, own: _Reading | None, others: Sequence[_Reading], shares: Any) -> _Reading | None:
    """The split's own reading, or that of another under which it resembles the split that knows more."""
    best, likeness = own, _likeness(_shares(tally, own), shares)
    if own is None and not tally.foreign_amounts:
        likeness += _PLAINLY
    for other in others:
        for everywhere in (True, False):
            reading = _Reading(other.reason, everywhere)
            alike = _likeness(_shares(tally, reading), shares)
            masks = tally.codes if everywhere else _foreign(tally)
            if alike > likeness and _is_credible(tally, other.reason, masks):
                best, likeness = reading, alike
    return best


def _told(tally: SplitStats, reading: _Reading | None, tells_apart: bool) -> Iterator[Finding]:
    coding, space = tally.dataset.encoding, tally.dataset.label_space
    foreign, told = _foreign(tally), set[frozenset[int]]()
    if reading is not None:
        groups = tally.codes if reading.everywhere else foreign
        known = reading.reason.table.keys() or frozenset[int]().union(*groups)
        told = {codes for codes in groups if codes <= known}
        altered = [codes for codes in told if not _stays(codes, reading.reason.table)]
        masks = [index for codes in altered for index in groups[codes]]
        if masks:
            yield _about(tally, reading.reason, masks)
    left = {codes: group for codes, group in foreign.items() if codes not in told}
    reasons = {codes: _reason_of_few(tally, codes, masks) for codes, masks in left.items()}
    for codes, reason in reasons.items():
        if reason is not None:
            yield _about(tally, reason, left[codes])
    for codes, masks in _together({codes: left[codes] for codes in left if reasons[codes] is None}, coding):
        yield _about(tally, _unexplained(codes, coding, len(space)), masks)
    if reading is None and not coding.by_color:
        yield from _lone_habits(tally, tells_apart)


def _reason_of_few(tally: SplitStats, codes: frozenset[int], masks: Sequence[int]) -> Explanation | None:
    """Why masks hold these values, though most of the split do not have that fault."""
    reason = explain_values(codes, tally.dataset.encoding, tally.dataset.label_space)
    word = 0 if reason is None else agrees_with_street_prior(tally, reason.table, masks)
    return None if word < 0 or (not word and reason is not None and reason.kind in _GUESSED) else reason


def _together(
    groups: Mapping[frozenset[int], Sequence[int]], coding: MaskEncoding
) -> Iterator[tuple[frozenset[int], list[int]]]:
    """Masks that share foreign values, be it through others, with all of these."""
    found: list[tuple[frozenset[int], list[int]]] = []
    for codes, group in groups.items():
        values, masks = codes - coding.classes.keys(), list(group)
        for one in [one for one in found if one[0] & values]:
            found.remove(one)
            values, masks = values | one[0], [*one[1], *masks]
        found.append((values, masks))
    yield from found


def _stays(codes: frozenset[int], table: Table) -> bool:
    """Whether a table leaves these masks as they are, in which nothing is wrong then."""
    return bool(table) and all(table[code] == code for code in codes)


def _foreign(tally: SplitStats) -> dict[frozenset[int], Sequence[int]]:
    """The masks with values outside the table, by the set of their values."""
    allowed = tally.dataset.encoding.classes.keys()
    return {codes: pairs for codes, pairs in tally.codes.items() if not codes <= allowed}


def _shares(tally: SplitStats, reading: _Reading | None) -> Any:
    """The share of each class and, last, of ignored pixels, read in this way."""
    coding, classes = tally.dataset.encoding, len(tally.dataset.label_space)
    table = {} if reading is None else reading.reason.table
    plain = _class_amounts(tally.amounts, table if reading and reading.everywhere else {}, coding, classes)
    return _normalized(plain + _class_amounts(tally.foreign_amounts, table, coding, classes))


def _class_shares(amounts: Mapping[int, int], table: Table, coding: MaskEncoding, classes: int) -> Any:
    return _normalized(_class_amounts(amounts, table, coding, classes))


def _class_amounts(amounts: Mapping[int, int], table: Table, coding: MaskEncoding, classes: int) -> Any:
    found = np.zeros(classes + 1)
    for code, amount in amounts.items():
        found[min(coding.classes.get(table.get(code, code), IGNORE), classes)] += amount
    return found


def _normalized(amounts: Any) -> Any:
    return amounts / max(1.0, float(amounts.sum()))


def _likeness(one: Any, other: Any) -> float:
    """0 for shares of which nothing agrees, 1 for equal ones (Bhattacharyya's coefficient)."""
    return float(np.sqrt(one * other).sum())


def _common_reason(tally: SplitStats, foreign: Mapping[frozenset[int], Sequence[int]]) -> Explanation | None:
    """One reason for all masks with values outside the table, or for most of them."""
    coding, space = tally.dataset.encoding, tally.dataset.label_space
    together = frozenset[int]().union(*foreign)
    if not together:
        return None
    reason = explain_values(together, coding, space)
    if reason is None and 0 in together and not coding.by_color:
        # Counted from 1, with 0 for pixels of no class; these are rarer than a class would be.
        masks = sum(map(len, tally.codes.values()))
        with_zero = sum(len(pairs) for codes, pairs in tally.codes.items() if 0 in codes)
        rest = explain_values(together - {0}, coding, space)
        if rest is not None and rest.kind == "off-by-one" and 2 * with_zero < masks:
            return rest
    return reason or _reason_of_most(foreign, coding, space)


def _reason_of_most(
    foreign: Mapping[frozenset[int], Sequence[int]], coding: MaskEncoding, space: LabelSpace
) -> Explanation | None:
    reasons = (explain_values(codes, coding, space) for codes in foreign)
    tables = [reason for reason in reasons if reason is not None and reason.table]

    def covered(reason: Explanation) -> int:
        return sum(len(pairs) for codes, pairs in foreign.items() if codes <= reason.table.keys())

    best = max(tables, key=covered, default=None)
    return best if best is not None and 2 * covered(best) > sum(map(len, foreign.values())) else None


def _lone_habits(tally: SplitStats, tells_apart: bool) -> Iterator[Finding]:
    """Masks of allowed values that are unlike all others."""
    coding, space = tally.dataset.encoding, tally.dataset.label_space
    total = sum(map(len, tally.codes.values()))
    plain = [codes for codes in tally.codes if black_and_white(codes, coding, space)]
    lone = sorted(index for codes in plain for index in tally.codes[codes] if {0, IGNORE} == codes)
    others = [codes for codes in tally.codes if codes not in plain]
    two = len(space) == 2 and not tells_apart
    many = len(space) > 2 and len(lone) <= max(2, total / 20) and bool(others) and np.median([*map(len, others)]) >= 4
    reason = black_and_white(frozenset({0, IGNORE}), coding, space)
    if lone and reason is not None and (two or many):
        yield _about(tally, reason, lone)
    for reason, masks in train_ids_at_road(tally):
        yield _about(tally, reason, masks)


def _unexplained(codes: frozenset[int], coding: MaskEncoding, classes: int) -> Explanation:
    foreign = sorted(codes - coding.classes.keys())
    what = "color" if coding.by_color else "value"
    spelled = ("  " if coding.by_color else ", ").join(map(coding.spell, foreign[:_SPELLED]))
    more = f" and {len(foreign) - _SPELLED} more" if len(foreign) > _SPELLED else ""
    text = f"the {what}{'s' * (len(foreign) > 1)} {spelled}{more}"
    remedy = f"correct the masks; if the {what} has a meaning, give it under [mask_values] in dataset.toml"
    if len(foreign) == 1 and not coding.by_color:
        taken = [code for code, label in coding.classes.items() if label == IGNORE and code != IGNORE]
        advice = f"write {taken[0]} in its place" if taken else f"say ignore = {foreign[0]} in dataset.toml"
        remedy = f"correct the masks; if {foreign[0]} means no class, {advice}"
        if foreign[0] == classes:
            remedy += f"; if 0 means no class and the classes count from 1 to {classes}, subtract 1"
    return Explanation("foreign-values", text, remedy)


def _about(tally: SplitStats, reason: Explanation, pairs: Sequence[int]) -> Finding:
    expected = tally.dataset.encoding.spell_all()
    return about_masks(reason.kind, tally, pairs, reason.found, expected, reason.remedy, reason.table)
