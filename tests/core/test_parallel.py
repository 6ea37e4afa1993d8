from __future__ import annotations

import itertools
import threading
import time

import pytest

from fassd.core.parallel import parallel_map


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_whoever_finishes_first(workers: int) -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(parallel_map(work, range(20), workers)) == [number * number for number in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_an_endless_source_is_taken_piece_by_piece(workers: int) -> None:
    source = itertools.count(1)
    assert list(itertools.islice(parallel_map(str, source, workers), 5)) == ["1", "2", "3", "4", "5"]
    assert next(source) <= 5 + 2 * workers + 2


def test_several_are_worked_on_at_once() -> None:
    meeting = threading.Barrier(3, timeout=20)
    assert len(list(parallel_map(lambda _: meeting.wait(), range(3), 3))) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_in_its_place_and_ends_it(workers: int) -> None:
    results = parallel_map(lambda number: 6 // (2 - number), range(1000), workers)
    assert [next(results), next(results)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
