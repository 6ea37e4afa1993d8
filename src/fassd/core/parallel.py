"""Work shared by threads: results in order, memory bounded. For processes see `processes.py`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(work: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[R]:
    """`work` of each item, in the order of the items; an error is raised in the place of its result.

    Args:
        work: is called from several threads at once.
        items: may be endless; at most two for each worker are taken ahead.
        workers: threads; with one, everything runs in the caller's.
    """
    if workers == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers, "fassd") as threads:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(threads.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
