"""Work on several things at once, answers in order, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(work: Callable[[T], R], things: Iterable[T], workers: int) -> Generator[R]:
    """`work` of each thing, in the order of the things; what it raises is raised in its place.

    Args:
        work: is called from several threads at once.
        things: may be endless; at most two for each worker are taken ahead.
        workers: threads; with one, everything happens in the caller's.
    """
    if workers == 1:
        yield from map(work, things)
        return
    with ThreadPoolExecutor(workers, "fassd") as threads:
        waiting: deque[Future[R]] = deque()
        try:
            for thing in things:
                waiting.append(threads.submit(work, thing))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
