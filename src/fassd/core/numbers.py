"""Numbers that several reports format alike, and evenly spaced choices."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share 0..1 as people read it: "12.3 %", "< 0.1 %" where little is not nothing."""
    return f"{100 * share:.1f} %" if share >= 0.0005 or not share else "< 0.1 %"


def evenly_spaced(available: int, most: int) -> list[int]:
    """At most `most` of the indices 0 to `available` - 1, first and last included, evenly spaced and ascending."""
    count = min(most, available)
    if count < 2:
        return list(range(count))
    return [round(place * (available - 1) / (count - 1)) for place in range(count)]
