"""What only the masks of a split together can tell: what their values mean, which of them stand out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.mask_values import (
    Explanation,
    black_and_white,
    explain_values,
    holds_raw_ids,
    off_by_one,
    shifted_table,
    train_ids,
)
from fassd.checks.split_tally import MOSTLY, SplitTally
from fassd.core.arrays import IGNORE
from fassd.data.coding import Coding

_SPELLED = 6
_FEWEST = 3
"""Masks from which a habit can be told."""


def value_findings(tally: SplitTally) -> Iterator[Finding]:
    """Values that mean something else than the description says; one finding for each cause."""
    coding, space = tally.dataset.coding, tally.dataset.label_space
    foreign = {codes: pairs for codes, pairs in tally.codes.items() if not codes <= coding.classes.keys()}
    total, strange = sum(map(len, tally.codes.values())), sum(map(len, foreign.values()))
    habit = None if coding.by_colour or not total else _habit(tally, total)
    common = habit or _common_reason(tally, foreign, total)
    if common is not None:
        # What was done to most masks was done to those, too, in which it cannot be seen.
        everywhere = habit is not None or 2 * strange >= total
        groups = tally.codes if everywhere else foreign
        known = common.table.keys() or frozenset[int]().union(*groups)
        yield _about(tally, common, [index for codes, pairs in groups.items() if codes <= known for index in pairs])
        return
    for codes, group in foreign.items():
        yield _about(tally, explain_values(codes, coding, space) or _unexplained(codes, coding, len(space)), group)
    if not coding.by_colour:
        yield from _lone_habits(tally, total)


def _common_reason(
    tally: SplitTally, foreign: Mapping[frozenset[int], Sequence[int]], total: int
) -> Explanation | None:
    """One reason for all values outside the table."""
    coding, space = tally.dataset.coding, tally.dataset.label_space
    together = frozenset[int]().union(*foreign)
    if not together:
        return None
    reason = explain_values(together, coding, space)
    if reason is None and 0 in together and not coding.by_colour:
        # Counted from 1, with 0 for pixels of no class; these are rarer than a class would be.
        with_zero = sum(len(pairs) for codes, pairs in tally.codes.items() if 0 in codes)
        rest = explain_values(together - {0}, coding, space)
        if rest is not None and rest.kind == "off-by-one" and 2 * with_zero < total:
            return rest
    return reason


def _lone_habits(tally: SplitTally, total: int) -> Iterator[Finding]:
    """Masks of allowed values that are unlike all others."""
    coding, space = tally.dataset.coding, tally.dataset.label_space
    plain = [codes for codes in tally.codes if black_and_white(codes, coding, space)]
    lone = sorted(index for codes in plain for index in tally.codes[codes] if {0, IGNORE} == codes)
    others = [codes for codes in tally.codes if codes not in plain]
    two = len(space) == 2 and not any({1, IGNORE} <= codes for codes in others)
    many = len(space) > 2 and len(lone) <= max(2, total / 20) and bool(others) and np.median([*map(len, others)]) >= 4
    reason = black_and_white(frozenset({0, IGNORE}), coding, space)
    if lone and reason is not None and (two or many):
        yield _about(tally, reason, lone)
    road = _road_code(tally)
    if road is not None and holds_raw_ids(coding) and (tally.middles == road).sum() > total / 2:
        for codes, pairs in tally.codes.items():
            reason = train_ids(codes, coding, space) if codes <= coding.classes.keys() else None
            at_road = [index for index in pairs if tally.middles[index] == 0]
            if reason is not None and at_road:
                yield _about(tally, reason, at_road)


def lone_mask_findings(tally: SplitTally) -> Iterator[Finding]:
    """Masks that say next to nothing: one value, or nearly everything ignored."""
    total = int((tally.masks != 0).sum())
    classes = len(tally.dataset.label_space)
    if tally.ignored:
        text, wanted = f"at least {MOSTLY:.0%} of the pixels ignored", "classes on most of the picture"
        remedy = "look at the mask; annotate it, or take the pair out"
        yield _finding("mostly-ignored", tally, tally.ignored, text, wanted, remedy)
    # Sets that look for rare things hold many pictures of nothing but background.
    rare = len(tally.constant) <= max(2, total / 10) or len(tally.constant) == total
    if tally.constant and rare and classes > 2:
        remedy = "look at the mask; export it again, or take the pair out"
        yield _finding("constant-mask", tally, tally.constant, "one value at every pixel", "several classes", remedy)


def notes(tally: SplitTally, wrong: int) -> Iterator[Finding]:
    """What is worth knowing of a split; `wrong` is the number of masks whose values mean something else."""
    dataset = tally.dataset
    unseen = [name for name, share in tally.shares().items() if share == 0]
    if unseen and tally.pixels[:-1].any() and 2 * wrong < len(dataset):
        text = f"no pixel of {', '.join(unseen)}"
        remedy = "none is needed; a network cannot learn them here, and their scores are empty"
        yield Finding(FINDING_KINDS["unseen-class"], dataset.split, (), text, "every class", remedy)
    partly = [index for index, pair in enumerate(dataset.pairs) if pair.marked is not None]
    if partly:
        text, wanted = "only some classes marked, as dataset.toml says", "every class"
        remedy = "none is needed; they are learned and scored among the marked classes alone"
        yield _finding("partly-marked", tally, partly, text, wanted, remedy)


def _habit(tally: SplitTally, total: int) -> Explanation | None:
    """What was done to all masks, told by what they hold together and by where they show road."""
    coding, space = tally.dataset.coding, tally.dataset.label_space
    codes = frozenset[int]().union(*tally.codes)
    plain = black_and_white(codes, coding, space)
    road = _road_code(tally)
    if plain is not None or road is None or total < _FEWEST or (tally.middles == road).sum() > total / 20:
        return plain
    if holds_raw_ids(coding) and (tally.middles == 0).sum() > total / 2:
        return train_ids(codes, coding, space)
    if (tally.middles == road + 1).sum() > total / 2 and codes - {0, IGNORE} <= shifted_table(coding).keys():
        return off_by_one(coding, f"{road + 1} where streets have road, which is {road}")
    return None


def _road_code(tally: SplitTally) -> int | None:
    """The code of road, which the lower middle of a street's picture shows."""
    coding, names = tally.dataset.coding, tally.dataset.label_space.names
    roads = [code for code, label in coding.classes.items() if label != IGNORE and names[label].lower() == "road"]
    return roads[0] if len(roads) == 1 and not coding.by_colour else None


def _unexplained(codes: frozenset[int], coding: Coding, classes: int) -> Explanation:
    foreign = sorted(codes - coding.classes.keys())
    what = "colour" if coding.by_colour else "value"
    spelled = ("  " if coding.by_colour else ", ").join(map(coding.spell, foreign[:_SPELLED]))
    more = f" and {len(foreign) - _SPELLED} more" if len(foreign) > _SPELLED else ""
    text = f"the {what}{'s' * (len(foreign) > 1)} {spelled}{more}"
    remedy = f"correct the masks; if the {what} has a meaning, give it under [codes] in dataset.toml"
    if len(foreign) == 1 and not coding.by_colour:
        remedy = f"correct the masks; if {foreign[0]} means no class, say ignore = {foreign[0]} in dataset.toml"
        if foreign[0] == classes:
            remedy += f"; if 0 means no class and the classes count from 1 to {classes}, subtract 1"
    return Explanation("foreign-values", text, remedy)


def _about(tally: SplitTally, reason: Explanation, pairs: Sequence[int]) -> Finding:
    one = _finding(reason.kind, tally, pairs, reason.found, tally.dataset.coding.spell_all(), reason.remedy)
    return Finding(one.kind, one.split, one.files, one.found, one.expected, one.remedy, table=reason.table)


def _finding(name: str, tally: SplitTally, pairs: Sequence[int], found: str, expected: str, remedy: str) -> Finding:
    files: tuple[Path, ...] = tuple(tally.dataset.pairs[index].mask for index in sorted(pairs))
    return Finding(FINDING_KINDS[name], tally.dataset.split, files, found, expected, remedy)
