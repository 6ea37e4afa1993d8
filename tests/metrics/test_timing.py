"""Statistics of timings, against brute force and samples made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fassd.metrics.timing import Interval, frames_per_second, latency, median_interval, speedup, timing_drift


def _rank_by_counting(count: int) -> int | None:
    """The rank of the interval's lower end, from exact binomial coefficients."""
    rank, below = None, 0
    for heads in range(count):
        below += math.comb(count, heads)
        if 2 * below * 20 > 2**count:
            return rank
        rank = heads
    return rank


@pytest.mark.parametrize("count", [*range(1, 61), 100, 999, 1000])
def test_the_interval_has_the_ranks_that_counting_coin_tosses_gives(count: int) -> None:
    found = median_interval(list(1.0 + np.random.default_rng(count).permutation(count)))
    rank = _rank_by_counting(count)
    assert found.value == (count + 1) / 2
    if rank is None:
        assert (found.low, found.high) == (None, None)
    else:
        assert (found.low, found.high) == (rank + 1, count - rank)


@pytest.mark.parametrize(("count", "low", "high"), [(5, None, None), (6, 1, 6), (10, 2, 9), (20, 6, 15), (100, 40, 61)])
def test_the_interval_has_the_ranks_of_printed_tables(count: int, low: float | None, high: float | None) -> None:
    found = median_interval(list(range(1, count + 1)))
    assert (found.low, found.high) == (low, high)


def test_ten_thousand_times_are_no_trouble() -> None:
    found = median_interval(np.arange(1.0, 10_001))
    assert found.value == 5000.5
    assert found.low == pytest.approx(5000.5 - 0.98 * 100, abs=1.5)
    assert found.high == pytest.approx(5000.5 + 0.98 * 100, abs=1.5)


@pytest.mark.parametrize("count", [6, 25, 50])
def test_the_interval_holds_the_true_median_of_a_skew_distribution_as_often_as_it_says(count: int) -> None:
    draws = np.exp(np.random.default_rng(0).normal(size=(4000, count)))
    intervals = [median_interval(times) for times in draws]
    held = sum(one.low is not None and one.high is not None and one.low <= 1 <= one.high for one in intervals)
    assert 0.945 <= held / len(intervals) <= 0.985


def test_percentiles_of_a_sample_made_by_hand() -> None:
    found = latency([*range(1, 101), 1000])
    assert (found.p50, found.p90, found.p99, found.fastest) == (51, 91, 100, 1)
    assert found.mean == pytest.approx(6050 / 101)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=50))
def test_percentiles_are_ordered_and_within_the_sample(times: list[float]) -> None:
    found = latency(times)
    assert min(times) == found.fastest <= found.p50 <= found.p90 <= found.p99 <= max(times)
    assert found.p50 == pytest.approx(np.median(times))


def test_frames_a_second_are_images_over_the_median_time() -> None:
    found = frames_per_second([10, 20, 20, 20, 20, 25], batch=4)
    assert found == Interval(200, 160, 400)
    assert frames_per_second([20.0], batch=1) == Interval(50, None, None)


def test_a_ratio_is_taken_within_each_round_so_that_load_falls_out() -> None:
    load = np.random.default_rng(1).uniform(1, 10, 30)
    assert speedup(10 * load, 2 * load) == Interval(5, 5, 5)
    # The same times, rounds mixed up: the medians are the same, and yet the ratio is uncertain.
    mixed = speedup(10 * load, 2 * np.roll(load, 7))
    assert mixed.low is not None and mixed.high is not None
    assert mixed.high - mixed.low > 1


def test_ratios_of_other_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="same rounds"):
        speedup([1, 2, 3], [1, 2])


@pytest.mark.parametrize(
    ("times", "change", "certain"),
    [
        ([10.0] * 18, 1.0, False),
        ([10.0] * 6 + [11.0] * 6 + [12.0] * 6, 1.2, True),
        ([12.0] * 6 + [11.0] * 6 + [9.0] * 6, 0.75, True),
        ([10, 14, 9, 13, 10, 14, 1, 1, 1, 1, 1, 1, 12, 15, 11, 14, 10, 13], 12.5 / 11.5, False),
    ],
)
def test_drift_compares_the_first_third_with_the_last(times: list[float], change: float, certain: bool) -> None:
    found = timing_drift(times)
    assert found is not None
    assert found.change == pytest.approx(change)
    assert found.certain is certain


def test_drift_of_few_times_is_unknown() -> None:
    assert timing_drift([1.0] * 17) is None
    assert timing_drift([1.0]) is None


@pytest.mark.parametrize("measure", [latency, median_interval, timing_drift, lambda times: frames_per_second(times, 1)])
@pytest.mark.parametrize("times", [[], [1.0, 0.0], [1.0, -1.0], [1.0, math.nan], [[1.0, 2.0]]])
def test_what_is_no_series_of_times_is_refused(measure: Callable[[object], object], times: object) -> None:
    with pytest.raises(ValueError, match="above 0"):
        measure(times)
