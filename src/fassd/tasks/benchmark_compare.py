"""Two reports of benchmarks compared."""

from __future__ import annotations

import msgspec

from fassd.core.errors import UsageError
from fassd.metrics.timing import Interval
from fassd.tasks.benchmark_report import Measured, ProtocolName, Report, Variant


class Compared(msgspec.Struct, frozen=True):
    """A variant in two reports.

    Attributes:
        variant: what both measured.
        before_ms, after_ms: median latencies.
        times_as_fast: the second report as the first; bounds from both intervals, so rather too wide than too narrow.
        before_ratio, after_ratio: each report's own ratio to the authors' way, which another machine changes little.
    """

    variant: Variant
    before_ms: float
    after_ms: float
    times_as_fast: Interval
    before_ratio: float | None
    after_ratio: float | None


class Comparison(msgspec.Struct, frozen=True):
    """Two reports compared: what both measured, what differs between them, what only one has, and what each of them
    says that makes its figures doubtful.
    """

    protocol: ProtocolName
    compared: tuple[Compared, ...]
    differences: tuple[str, ...]
    only_first: tuple[Variant, ...]
    only_second: tuple[Variant, ...]
    doubtful: tuple[str, ...]


def compare(first: Report, second: Report) -> Comparison:
    """How many times as fast the second report is as the first, variant by variant.

    Raises:
        UsageError: the protocols differ, or nothing was measured in both.
    """
    if first.protocol != second.protocol:
        raise UsageError(
            f"the first report follows the protocol '{first.protocol}', the second '{second.protocol}': they time "
            "different things and cannot be compared; measure both with the same --protocol"
        )
    before = {one.variant: one for one in first.measured}
    after = {one.variant: one for one in second.measured}
    both = [variant for variant in before if variant in after]
    if not both:
        raise UsageError(
            "the two reports share no variant, so there is nothing to compare: the first has "
            f"{_some(before)}; the second has {_some(after)}"
        )
    named = {"first": first, "second": second}
    return Comparison(
        first.protocol,
        tuple(_compared(before[variant], after[variant]) for variant in both),
        tuple(_differences(first, second)),
        tuple(variant for variant in before if variant not in after),
        tuple(variant for variant in after if variant not in before),
        tuple(f"the {which}: {one}" for which, report in named.items() for one in report.warnings),
    )


def _compared(before: Measured, after: Measured) -> Compared:
    old, new = before.frames_per_second, after.frames_per_second
    low = high = None
    if old.low and old.high and new.low and new.high:
        low, high = new.low / old.high, new.high / old.low
    return Compared(
        after.variant,
        before.latency_ms.p50,
        after.latency_ms.p50,
        Interval(new.value / old.value, low, high),
        before.times_as_fast.value if before.times_as_fast else None,
        after.times_as_fast.value if after.times_as_fast else None,
    )


def _differences(first: Report, second: Report) -> list[str]:
    """Whatever besides the code may explain a ratio."""
    old, new = msgspec.structs.asdict(first.machine), msgspec.structs.asdict(second.machine)
    found = [
        f"{key.replace('_', ' ')}: {old[key]} and {new[key]}"
        for key in old
        if key not in ("packages", "instructions") and old[key] != new[key]
    ]
    for name in sorted(set(first.machine.instructions) ^ set(second.machine.instructions)):
        found.append(f"instructions: only the {'first' if name in first.machine.instructions else 'second'} has {name}")
    for name in sorted(first.machine.packages.keys() | second.machine.packages.keys()):
        pair = (first.machine.packages.get(name), second.machine.packages.get(name))
        if pair[0] != pair[1]:
            found.append(f"{name}: {pair[0] or 'not installed'} and {pair[1] or 'not installed'}")
    if first.rounds != second.rounds:
        found.append(f"rounds: {first.rounds} and {second.rounds}")
    if first.timed_on != second.timed_on:
        found.append(f"pictures: {first.timed_on} and {second.timed_on}")
    return found


def _some(variants: dict[Variant, Measured]) -> str:
    names = [str(variant) for variant in variants]
    return "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
