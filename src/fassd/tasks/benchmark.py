"""Benchmark: networks, runtimes, precisions, sizes and batches, measured in turns on this machine.

Every variant is opened and warmed up first. Then each round measures each variant once, in an order drawn anew, so
that load, heat and drift fall on all alike, and a ratio is taken within each round. Stages and memory are measured
afterwards, the memory in a fresh process for each variant.
"""

from __future__ import annotations

import datetime
import gc
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np

from fassd.core.errors import MissingExtra, UnknownName, UsageError
from fassd.core.machine import describe_machine, disturbances, load_before, read_machine, usable_cores
from fassd.core.types import Event, Watch, ignore_events
from fassd.metrics.timing import drift, frames_per_second, latency, times_as_fast
from fassd.runtimes.runtime import Stages
from fassd.tasks.benchmark_order import Order, requests_of
from fassd.tasks.benchmark_report import AUTHORS, Measured, Report, Skipped, Variant
from fassd.tasks.peak_memory import Peak, peak_memory
from fassd.tasks.protocol import Request, Way, open_way
from fassd.tasks.table_iv import PAPER_SIZE, PUBLISHED_MEAN_IOU, machine_factor

_STAGE_ROUNDS = 10
# A variant that became this much slower or faster while it was measured is worth a warning.
_NOTABLE_DRIFT = 0.05

Milliseconds: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]


def benchmark(order: Order, watch: Watch = ignore_events) -> Report:
    """Measures every variant that is asked for.

    Ctrl-C ends the rounds early: what was measured is reported.

    Args:
        order: what to measure.
        watch: gets "opened", "warmed", "round" and "memory", each with `done` and `total`.

    Raises:
        UnknownName, FileError, UsageError: something asked for is not there or cannot be.
        MissingExtra: a package is not installed, and nothing can be measured without it.
    """
    cores = usable_cores()
    before = load_before(cores)
    with tempfile.TemporaryDirectory(prefix="fassd-benchmark-") as folder, _cache_in(folder), ExitStack() as stack:
        ways, skipped = _open(requests_of(order, Path(folder)), stack, watch)
        _warm_up(ways, order.warm_up, watch)
        begun = read_machine()
        turns = take_turns(ways, order.rounds_wanted, watch)
        during = disturbances(begun, read_machine(), cores)
        stages = [_stages(way, 1 if turns.interrupted else min(_STAGE_ROUNDS, len(turns.times))) for way in ways]
        requests = [way.request for way in ways]
        peaks = _peaks(requests, watch) if order.memory and not turns.interrupted else []
    variants = [request.variant for request in requests]
    interrupted = turns.interrupted or (order.memory and len(peaks) < len(requests))
    peaks += [Peak()] * (len(requests) - len(peaks))
    measured = [
        _measured(variants, index, turns.times, *found) for index, found in enumerate(zip(stages, peaks, strict=True))
    ]
    factor = _factor(order, measured)
    return Report(
        protocol=order.protocol,
        rounds=len(turns.times),
        warm_up=order.warm_up,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=describe_machine(_accelerator(variants)),
        measured=tuple(measured if factor is None else [_normalised(one, factor) for one in measured]),
        skipped=tuple(skipped),
        warnings=tuple([before] if before else []) + tuple(during) + tuple(_drifting(measured)),
        interrupted=interrupted,
        machine_factor=factor,
    )


@dataclass(frozen=True)
class Turns:
    """What the rounds gave.

    Attributes:
        times: (rounds, ways) milliseconds.
        interrupted: Ctrl-C came before all rounds were done.
    """

    times: Milliseconds
    interrupted: bool


def take_turns(ways: Sequence[Way], rounds: int, watch: Watch = ignore_events) -> Turns:
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
                    ways[index].answer(None)
                    turn[index] = (time.perf_counter() - begun) * 1000
                times.append(turn)
                watch(Event("round", {"done": number + 1, "total": rounds}))
        except KeyboardInterrupt:
            if not times:
                raise
            interrupted = True
    return Turns(np.array(times), interrupted)


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    """Graphs compiled from random weights are of no use later, and would drive out those that are."""
    before = os.environ.get("FASSD_CACHE")
    os.environ["FASSD_CACHE"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["FASSD_CACHE"]
        else:
            os.environ["FASSD_CACHE"] = before


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


def _open(requests: Sequence[Request], stack: ExitStack, watch: Watch) -> tuple[list[Way], list[Skipped]]:
    """Opens what can be opened and answers; "auto" may turn out to be a variant that is there already."""
    ways: dict[Request, Way] = {}
    skipped: list[Skipped] = []
    refusals: list[MissingExtra | UsageError] = []
    for number, request in enumerate(requests):
        try:
            way = open_way(request)
            stack.callback(way.close)
            if way.request not in ways:
                # The first answer compiles, and is the first to find an image too large for the memory.
                way.answer(None)
                ways[way.request] = way
        except UnknownName:
            raise
        except (MissingExtra, UsageError) as error:
            refusals.append(error)
            skipped.append(Skipped(request.variant, str(error)))
        watch(Event("opened", {"done": number + 1, "total": len(requests), "variant": request.variant}))
    if not ways:
        raise refusals[0]
    return list(ways.values()), skipped


def _warm_up(ways: Sequence[Way], answers: int, watch: Watch) -> None:
    for number in range(answers):
        for way in ways:
            way.answer(None)
        watch(Event("warmed", {"done": number + 1, "total": answers}))


def _stages(way: Way, rounds: int) -> dict[str, float]:
    """Median milliseconds of each stage, in calls of their own: on a GPU each stage is waited for."""
    calls = [Stages() for _ in range(rounds)]
    for stages in calls:
        way.answer(stages)
    return {name: float(np.median([one.seconds[name] for one in calls])) * 1000 for name in calls[0].seconds}


def _peaks(requests: Sequence[Request], watch: Watch) -> list[Peak]:
    """Peak memory of each; fewer after Ctrl-C, which the times survive."""
    peaks: list[Peak] = []
    with suppress(KeyboardInterrupt):
        for request in requests:
            peaks.append(peak_memory(request))
            watch(Event("memory", {"done": len(peaks), "total": len(requests)}))
    return peaks


def _measured(
    variants: Sequence[Variant], index: int, times: Milliseconds, stages: dict[str, float], peak: Peak
) -> Measured:
    variant, own = variants[index], times[:, index]
    plain = _authors_of(variant, variants)
    return Measured(
        variant=variant,
        latency_ms=latency(own),
        frames_per_second=frames_per_second(own, variant.batch),
        times_as_fast=None if plain is None else times_as_fast(times[:, plain], own),
        stages_ms=stages,
        drift=drift(own),
        peak_memory_mib=peak.process,
        peak_device_memory_mib=peak.device,
        # What was published holds for the published weights, of which random ones are the stand-in.
        mean_iou=None if variant.weights else PUBLISHED_MEAN_IOU.get(variant.network),
    )


def _authors_of(variant: Variant, variants: Sequence[Variant]) -> int | None:
    """Where the same network the authors' way stands; with other weights, if need be, which it is as fast with."""
    shape = (variant.network, variant.device, variant.size, variant.batch)
    alike = [
        index
        for index, one in enumerate(variants)
        if one.runtime == AUTHORS and (one.network, one.device, one.size, one.batch) == shape
    ]
    return min(alike, key=lambda index: variants[index].weights != variant.weights, default=None)


def _factor(order: Order, measured: Sequence[Measured]) -> float | None:
    """How many GTX 1080 Ti this machine is; known only where it was measured as the paper did."""
    alike = [one for one in measured if one.variant.size == PAPER_SIZE and one.variant.batch == 1]
    speeds = {one.variant.network: one.frames_per_second.value for one in alike if one.mean_iou is not None}
    return machine_factor(speeds) if order.protocol == "paper" else None


def _normalised(one: Measured, factor: float) -> Measured:
    return msgspec.structs.replace(one, frames_per_second_normalised=one.frames_per_second.value / factor)


def _drifting(measured: Sequence[Measured]) -> list[str]:
    """One sentence for all variants that became slower or faster, since the cause is mostly one."""
    changes = [one.drift.change for one in measured if one.drift is not None and one.drift.certain]
    notable = [change for change in changes if abs(change - 1) > _NOTABLE_DRIFT]
    if not notable:
        return []
    worst = max(notable, key=lambda change: abs(np.log(change)))
    cause = "heat or growing load" if worst > 1 else "shrinking load, or too little warm-up"
    change = f"{abs(worst - 1):.0%} {'slower' if worst > 1 else 'faster'}"
    return [f"{len(notable)} of {len(measured)} variants drifted, at most {change} in the last third: {cause}"]


def _accelerator(variants: Sequence[Variant]) -> str | None:
    """The name of the GPU, where one was used."""
    used = [variant.device for variant in variants if variant.device.startswith("cuda")]
    if not used:
        return None
    import torch

    return torch.cuda.get_device_name(used[0])
