"""Benchmark: networks, runtimes, precisions, sizes and batches, measured in turns on this machine.

Every variant is opened and warmed up first. Then each round measures each variant once, in an order drawn anew, so
that load, heat and drift fall on all alike, and a ratio is taken within each round. Stages, memory and accuracy are
measured afterwards, the memory in a fresh process for each variant.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from fassd.core.errors import MissingExtra, UnknownName, UsageError
from fassd.core.machine import describe_machine, disturbances, load_before, read_machine, usable_cores
from fassd.core.types import Event, Watch, ignore_events
from fassd.metrics.timing import drift, frames_per_second, latency, speedup
from fassd.runtimes.runtime import Stages
from fassd.speed.accuracy import check_labeled, mean_iou
from fassd.speed.images import Pictures, pictures_for
from fassd.speed.int8 import in_int8
from fassd.speed.interleaving import Milliseconds, RoundTimes, run_rounds
from fassd.speed.peak_memory import Peak, peak_memory
from fassd.speed.protocol import OpenVariant, Request, open_way
from fassd.speed.report import AUTHORS, Measured, Report, ScoredOn, Skipped, TimedOn, Variant
from fassd.speed.table_iv import PAPER_SIZE, PUBLISHED_MEAN_IOU, machine_factor
from fassd.speed.variants import BenchmarkConfig, check, header_of, requests_of

_STAGE_ROUNDS = 10
# A variant that became this much slower or faster while it was measured is worth a warning.
_NOTABLE_DRIFT = 0.05


def benchmark(order: BenchmarkConfig, watch: Watch = ignore_events) -> Report:
    """Measures every variant that is asked for.

    Ctrl-C ends the rounds early: what was measured is reported.

    Args:
        order: what to measure.
        watch: gets "opened", "warmed", "round", "memory" and "scored", each with `done` and `total`.

    Raises:
        UnknownName, FileError, UsageError: something asked for is not there or cannot be.
        MissingExtra: a package is not installed, and nothing can be measured without it.
    """
    check(order)
    pictures = Pictures() if order.protocol == "paper" else pictures_for(order.images, order.data, order.split)
    order = dataclasses.replace(order, sizes=order.sizes or (pictures.size,))
    scored_on = _scored_on(order)
    before = load_before(cores := usable_cores())
    with tempfile.TemporaryDirectory(prefix="fassd-benchmark-") as folder, _cache_in(folder), ExitStack() as stack:
        ways, skipped = _open(requests_of(order, Path(folder)), pictures, Path(folder), stack, watch)
        _warm_up(ways, order.warm_up, watch)
        begun = read_machine()
        turns = run_rounds(ways, order.rounds_wanted, watch)
        during = disturbances(begun, read_machine(), cores)
        apart, complete = _apart(ways, turns, pictures if order.memory else None, scored_on, watch)
    measured = [_measured(ways, index, turns.times, one) for index, one in enumerate(apart)]
    factor = _factor(order, measured)
    return Report(
        protocol=order.protocol,
        rounds=len(turns.times),
        warm_up=order.warm_up,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=describe_machine(_accelerator([way.request.variant for way in ways])),
        timed_on=_timed_on(order, pictures),
        scored_on=scored_on,
        measured=tuple(measured if factor is None else [_normalized(one, factor) for one in measured]),
        skipped=tuple(skipped),
        warnings=tuple([before] if before else []) + tuple(during) + tuple(_drifting(measured)),
        interrupted=not complete,
        machine_factor=factor,
    )


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


def _scored_on(order: BenchmarkConfig) -> ScoredOn | None:
    if order.data is None:
        return None
    spaces = [header_of(weights).label_space for weights in order.weights]
    return check_labeled(order.data, order.split, [space for space in spaces if space is not None])


def _timed_on(order: BenchmarkConfig, pictures: Pictures) -> TimedOn | None:
    if order.protocol == "paper":
        return None
    sources = order.images or ([f"{order.data} {order.split}"] if order.data else ())
    return TimedOn(tuple(sources), len(pictures.files))


def _open(
    requests: Sequence[Request], pictures: Pictures, folder: Path, stack: ExitStack, watch: Watch
) -> tuple[list[OpenVariant], list[Skipped]]:
    """Opens what can be opened and answers; "auto" may turn out to be a variant that is there already."""
    ways: dict[Request, OpenVariant] = {}
    skipped: list[Skipped] = []
    refusals: list[MissingExtra | UsageError] = []
    for number, request in enumerate(requests):
        try:
            prepared, calibrated_on = in_int8(request, pictures, folder)
            way = dataclasses.replace(open_way(prepared, pictures), calibrated_on=calibrated_on)
            stack.callback(way.close)
            if way.request not in ways:
                # The first answer compiles, and is the first to find an image too large for the memory.
                way.answer(0, None)
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


def _warm_up(ways: Sequence[OpenVariant], answers: int, watch: Watch) -> None:
    for number in range(answers):
        for way in ways:
            way.answer(number, None)
        watch(Event("warmed", {"done": number + 1, "total": answers}))


@dataclass(frozen=True)
class _Apart:
    """What is found of a variant apart from the rounds."""

    stages: dict[str, float]
    peak: Peak = field(default_factory=Peak)
    mean_iou: float | None = None


def _apart(
    ways: Sequence[OpenVariant], turns: RoundTimes, pictures: Pictures | None, scored_on: ScoredOn | None, watch: Watch
) -> tuple[list[_Apart], bool]:
    """Stages, then peak memory (where there are pictures for it), then accuracy, and whether that is all of it.

    Ctrl-C ends it, too; the times survive it.
    """
    found = [_Apart(_stages(way, 1 if turns.interrupted else min(_STAGE_ROUNDS, len(turns.times)))) for way in ways]
    if turns.interrupted:
        return found, False
    try:
        if pictures is not None:
            for index, way in enumerate(ways):
                found[index] = dataclasses.replace(found[index], peak=peak_memory(way.request, pictures))
                watch(Event("memory", {"done": index + 1, "total": len(ways)}))
        for index, score in _scores([way.request for way in ways], scored_on, watch):
            found[index] = dataclasses.replace(found[index], mean_iou=score)
    except KeyboardInterrupt:
        return found, False
    return found, True


def _scores(
    requests: Sequence[Request], scored_on: ScoredOn | None, watch: Watch
) -> Iterator[tuple[int, float | None]]:
    """Accuracies of given weights by their place; sizes and batches of one way share theirs."""
    if scored_on is None:
        return
    places: dict[Request, list[int]] = {}
    for index, request in enumerate(requests):
        if request.variant.weights is not None:
            alike = msgspec.structs.replace(request.variant, size=scored_on.size, batch=1)
            places.setdefault(msgspec.structs.replace(request, variant=alike), []).append(index)
    for number, (request, same) in enumerate(places.items()):
        score = mean_iou(request, scored_on)
        yield from ((index, score) for index in same)
        watch(Event("scored", {"done": number + 1, "total": len(places)}))


def _stages(way: OpenVariant, rounds: int) -> dict[str, float]:
    """Median milliseconds of each stage, in calls of their own: on a GPU each stage is waited for."""
    calls = [Stages() for _ in range(rounds)]
    for turn, stages in enumerate(calls):
        way.answer(turn, stages)
    return {name: float(np.median([one.seconds[name] for one in calls])) * 1000 for name in calls[0].seconds}


def _measured(ways: Sequence[OpenVariant], index: int, times: Milliseconds, apart: _Apart) -> Measured:
    variants = [way.request.variant for way in ways]
    variant, own = variants[index], times[:, index]
    plain = _authors_of(variant, variants)
    return Measured(
        variant=variant,
        latency_ms=latency(own),
        frames_per_second=frames_per_second(own, variant.batch),
        speedup=None if plain is None else speedup(times[:, plain], own),
        stages_ms=apart.stages,
        drift=drift(own),
        peak_memory_mib=apart.peak.process,
        peak_memory_problem=apart.peak.problem,
        peak_device_memory_mib=apart.peak.device,
        # What was published holds for the published weights, of which random ones are the stand-in.
        mean_iou=apart.mean_iou if variant.weights else PUBLISHED_MEAN_IOU.get(variant.network),
        calibrated_on=ways[index].calibrated_on,
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


def _factor(order: BenchmarkConfig, measured: Sequence[Measured]) -> float | None:
    """How many GTX 1080 Ti this machine is; known only where it was measured as the paper did."""
    alike = [one for one in measured if one.variant.size == PAPER_SIZE and one.variant.batch == 1]
    speeds = {one.variant.network: one.frames_per_second.value for one in alike if one.mean_iou is not None}
    return machine_factor(speeds) if order.protocol == "paper" else None


def _normalized(one: Measured, factor: float) -> Measured:
    return msgspec.structs.replace(one, frames_per_second_normalized=one.frames_per_second.value / factor)


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
