"""Work shared by processes: results in order, memory bounded; Ctrl-C ends it without messages from them.

Apart from `parallel.py`, because importing multiprocessing costs time that prediction need not spend.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Protocol, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Spread(Protocol):
    """Applies a function to items and yields the results in order."""

    def __call__(self, work: Callable[[A], B], items: Iterable[A], /) -> Iterator[B]:
        """The result of each item."""


_AHEAD = 3
"""Tasks queued for each process: enough that none idles, few enough to bound memory."""


@contextmanager
def blocked_signals(*signals: signal.Signals) -> Iterator[None]:
    """Signals arrive when the block ends; processes that are started in it inherit them blocked. No-op on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def worker_processes(count: int) -> Iterator[Spread]:
    """Yields a map over processes; with `count` 1 it runs in this process.

    With more, functions, items and results are pickled, and the caller's main module must be importable
    (`if __name__ == "__main__"`). Ctrl-C reaches this process alone, which waits for running tasks.
    """
    if count <= 1:
        yield lambda work, items: (work(item) for item in items)
        return
    # Spawned, not forked: a fork of a process that has threads may hang.
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_leave_interrupts)

    def spread(work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        waiting: deque[Future[B]] = deque()
        rest = iter(items)
        # A pool that spawns starts all its processes with the first task. Ctrl-C stays blocked in them: their imports,
        # of a second or more, come before their initializer, which ignores it.
        with blocked_signals(signal.SIGINT):
            waiting.extend(pool.submit(work, item) for item in islice(rest, count * _AHEAD))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(rest, 1))
            yield result

    try:
        yield spread
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
