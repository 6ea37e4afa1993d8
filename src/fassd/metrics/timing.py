"""Statistics of timings: percentiles, frames per second and speedups with 95 % intervals, and timing drift.

Times on a shared machine have a long upper tail, so the typical time is the median. Its interval comes from order
statistics (Conover, Practical Nonparametric Statistics, 1999, chapter 3.2): it assumes no shape of the distribution.
Of n independent times it picks two that enclose the true median with at least 95 % probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

CONFIDENCE = 0.95

Times: TypeAlias = "Sequence[float] | np.ndarray[Any, np.dtype[np.float64]]"
"""(n,) milliseconds, in the order of measurement, all above 0."""


class Interval(msgspec.Struct, frozen=True):
    """A figure with the bounds of its 95 % interval; the bounds are None below six times."""

    value: float
    low: float | None
    high: float | None


class Latency(msgspec.Struct, frozen=True):
    """Percentiles, mean and minimum of a variant's times, in milliseconds per batch."""

    p50: float
    p90: float
    p99: float
    mean: float
    fastest: float


class TimingDrift(msgspec.Struct, frozen=True):
    """How the times changed during the measurement.

    Attributes:
        change: median of the last third over median of the first; 1.1 means 10 % slower at the end.
        certain: the 95 % intervals of the two medians do not overlap.
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
        values: (n,) of any unit, n at least 1, all above 0.

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
    """Frames per second at the median time.

    Args:
        times: (n,) milliseconds per batch.
        batch: frames in a batch.
    """
    typical = median_interval(times)
    frames = 1000.0 * batch
    if typical.low is None or typical.high is None:
        return Interval(frames / typical.value, None, None)
    return Interval(frames / typical.value, frames / typical.high, frames / typical.low)


def speedup(base: Times, times: Times) -> Interval:
    """How many times as fast one variant is as another: the median of the ratios within each round.

    The times of one round were measured right after each other. Load that slows a whole round cancels out.

    Args:
        base: (n,) of the variant to compare with.
        times: (n,) of the other variant, in the same rounds.

    Raises:
        ValueError: the numbers of rounds differ.
    """
    if len(base) != len(times):
        raise ValueError(f"a speedup needs times of the same rounds, but got {len(base)} and {len(times)} times")
    return median_interval(_checked(base) / _checked(times))


def timing_drift(times: Times) -> TimingDrift | None:
    """First third against last third; None below 18 times, where a third is too short for an interval."""
    checked = _checked(times)
    third = len(checked) // 3
    first, last = median_interval(checked[:third] if third else checked), median_interval(checked[-third:])
    if first.low is None or first.high is None or last.low is None or last.high is None:
        return None
    return TimingDrift(last.value / first.value, last.low > first.high or last.high < first.low)


def _rank(count: int) -> int | None:
    """The largest r for which the sorted values at r and at count - 1 - r enclose the median; None if there is none.

    The median lies below the value at r if at most r of the values are below the median. That is the probability that
    at most r of `count` fair coins show heads. Both sides together may use up 1 - CONFIDENCE.
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
