"""The rounds of a benchmark: each measures each way once."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fassd.core.types import Event, Watch, ignore_events
from fassd.speed.protocol import OpenVariant

Milliseconds: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class RoundTimes:
    """What the rounds gave.

    Attributes:
        times: (rounds, ways) milliseconds.
        interrupted: Ctrl-C came before all rounds were done.
    """

    times: Milliseconds
    interrupted: bool


def run_rounds(ways: Sequence[OpenVariant], rounds: int, watch: Watch = ignore_events) -> RoundTimes:
    """Measures each way once a round, in an order drawn anew for each round.

    A fixed order would give each way always the same predecessor, whose leavings in the caches it would pay for.

    Args:
        ways: opened and warmed up.
        rounds: at least 1.
        watch: gets "round" after each.

    Raises:
        KeyboardInterrupt: before the first round was done.
    """
    times: list[list[float]] = []
    orders = np.random.default_rng(0)
    interrupted = False
    with _no_garbage_collection():
        try:
            for number in range(rounds):
                turn = [0.0] * len(ways)
                for index in orders.permutation(len(ways)):
                    begun = time.perf_counter()
                    ways[index].answer(number, None)
                    turn[index] = (time.perf_counter() - begun) * 1000
                times.append(turn)
                watch(Event("round", {"done": number + 1, "total": rounds}))
        except KeyboardInterrupt:
            if not times:
                raise
            interrupted = True
    return RoundTimes(np.array(times), interrupted)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collections would fall on whichever variant happens to run."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
