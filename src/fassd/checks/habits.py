"""What was done to all masks of streets, told by where they show road, and what only by their values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fassd.checks.mask_values import (
    Explanation,
    Table,
    black_and_white,
    holds_raw_ids,
    one_too_high,
    one_too_low,
    train_ids,
)
from fassd.checks.split_tally import SplitTally
from fassd.core.arrays import IGNORE

_FEWEST = 3
"""Masks from which a habit can be told."""
_MOST = 0.8
"""Share of the masks that an explanation must cover; single ones may have other faults besides."""
_ABOVE = {"sky", "building", "vegetation", "tree"}
"""Classes that the upper middle of a street's picture shows."""


def habit(tally: SplitTally) -> Explanation | None:
    """What was done to all masks, told by what they hold together and by where they show road."""
    coding, space = tally.dataset.coding, tally.dataset.label_space
    total = sum(map(len, tally.codes.values()))
    if coding.by_colour or not total:
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


def places_speak(tally: SplitTally, table: Table, masks: Sequence[int]) -> int:
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


def _from_road(tally: SplitTally, road: int, total: int) -> Explanation | None:
    """What would explain that streets have another value than road's where road is."""
    coding, space = tally.dataset.coding, tally.dataset.label_space
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


def train_ids_at_road(tally: SplitTally) -> Iterator[tuple[Explanation, list[int]]]:
    """Single masks of train ids among labelIds, with the reason: 0 where the others have road."""
    coding, space, road = tally.dataset.coding, tally.dataset.label_space, _road_code(tally)
    total = sum(map(len, tally.codes.values()))
    if road is None or not holds_raw_ids(coding) or (tally.middles == road).sum() <= total / 2:
        return
    for codes, pairs in tally.codes.items():
        reason = train_ids(codes, coding, space) if codes <= coding.classes.keys() else None
        at_road = [index for index in pairs if tally.middles[index] == 0]
        if reason is not None and at_road:
            yield reason, at_road


def _above(tally: SplitTally, table: Table, masks: Sequence[int]) -> int:
    """How many masks, led through a table, have at their upper middle what streets have there."""
    coding, names, tops = tally.dataset.coding, tally.dataset.label_space.names, tally.tops[masks]
    fitting = {
        code
        for code in map(int, np.unique(tops))
        if (label := coding.classes.get(table.get(code, code), IGNORE)) != IGNORE and names[label].lower() in _ABOVE
    }
    return int(np.isin(tops, list(fitting)).sum())


def _has_sky(tally: SplitTally) -> bool:
    return any(name.lower() == "sky" for name in tally.dataset.label_space.names)


def _road_code(tally: SplitTally) -> int | None:
    """The code of road, which the lower middle of a street's picture shows."""
    coding, names = tally.dataset.coding, tally.dataset.label_space.names
    roads = [code for code, label in coding.classes.items() if label != IGNORE and names[label].lower() == "road"]
    return roads[0] if len(roads) == 1 and not coding.by_colour else None
