"""What a series of times says: percentiles, frames a second and ratios with 95 % intervals, and drift.

Times on a shared machine have a long upper tail, so the typical time is the median. Its interval comes from order
statistics (Conover, Practical Nonparametric Statistics, 1999, chapter 3.2): it assumes no shape of the distribution,
and of n independent times it names two that hold the true median between them with at least 95 % probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

CONFIDENCE = 0.95

Times: TypeAlias = "Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]"
"""(n,) milliseconds, in the order in which they were measured, each above 0."""


class Interval(msgspec.Struct, frozen=True):
    """A figure and the bounds of its 95 % interval; None where there are too few times to know (below six)."""

    value: float
    low: float | None
    high: float | None


class Latency(msgspec.Struct, frozen=True):
    """Where the times of one way lie, in milliseconds a batch."""

    p50: float
    p90: float
    p99: float
    mean: float
    fastest: float


class Drift(msgspec.Struct, frozen=True):
    """How the times changed while they were measured.

    Attributes:
        change: median of the last third over median of the first; 1.1 means 10 % slower at the end.
        certain: the 95 % intervals of the two medians do not touch.
    """

    change: float
    certain: bool


def latency(times: Times) -> Latency:
    """Percentiles by linear interpolation between the sorted times.

    Args:
        times: (n,) milliseconds, n at least 1.

    Raises:
        ValueError: no times, or one that is not above 0.
    """
    checked = _checked(times)
    p50, p90, p99 = (float(value) for value in np.percentile(checked, [50, 90, 99]))
    return Latency(p50, p90, p99, float(checked.mean()), float(checked.min()))


def median_interval(values: Times) -> Interval:
    """The median with its distribution-free 95 % interval.

    Args:
        values: (n,) of any unit, n at least 1, each above 0.

    Raises:
        ValueError: no values, or one that is not above 0.
    """
    ordered = np.sort(_checked(values))
    rank = _rank(len(ordered))
    median = float(np.median(ordered))
    if rank is None:
        return Interval(median, None, None)
    return Interval(median, float(ordered[rank]), float(ordered[-1 - rank]))


def frames_per_second(times: Times, batch: int) -> Interval:
    """Frames a second at the median time.

    Args:
        times: (n,) milliseconds a batch.
        batch: frames that each time is for.
    """
    typical = median_interval(times)
    frames = 1000.0 * batch
    if typical.low is None or typical.high is None:
        return Interval(frames / typical.value, None, None)
    return Interval(frames / typical.value, frames / typical.high, frames / typical.low)


def speedup(base: Times, times: Times) -> Interval:
    """How many times as fast one way is as another: the median of the ratios round by round.

    Times of one round were measured right after each other, so that load which slows a round slows both, and leaves
    their ratio alone.

    Args:
        base: (n,) of the way that is compared with.
        times: (n,) of the other, in the same rounds.

    Raises:
        ValueError: they are not of the same rounds.
    """
    if len(base) != len(times):
        raise ValueError(f"ratios need the same rounds, but there are {len(base)} and {len(times)} times")
    return median_interval(_checked(base) / _checked(times))


def drift(times: Times) -> Drift | None:
    """First third against last third; None below 18 times, where a third says too little."""
    checked = _checked(times)
    third = len(checked) // 3
    first, last = median_interval(checked[:third] if third else checked), median_interval(checked[-third:])
    if first.low is None or first.high is None or last.low is None or last.high is None:
        return None
    return Drift(last.value / first.value, last.low > first.high or last.high < first.low)


def _rank(count: int) -> int | None:
    """The largest r for which the values at r and at count - 1 - r, sorted, hold the median; None: there is none.

    The median escapes below the value at r when at most r of the values are below it: of `count` fair coins, at most
    r fall heads. Both sides together may take 1 - CONFIDENCE.
    """
    heads = np.arange(1, count // 2 + 1)
    # Logarithms, because the binomial coefficients of 10,000 times have 3,000 digits.
    log_ways = np.concatenate([[0.0], np.cumsum(np.log((count - heads + 1) / heads))])
    at_most = np.cumsum(np.exp(log_ways - count * np.log(2.0)))
    fitting = int(np.searchsorted(2 * at_most, 1 - CONFIDENCE, side="right"))
    return fitting - 1 if fitting else None


def _checked(times: Times) -> np.ndarray[Any, np.dtype[np.float64]]:
    checked = np.asarray(times, np.float64)
    if checked.ndim != 1 or not len(checked) or not (checked > 0).all():
        raise ValueError("expected a series of times above 0, at least one")
    return checked
