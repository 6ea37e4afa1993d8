"""Benchmark: networks, runtimes, precisions, sizes and batches, timed in interleaved rounds on this machine.

All variants are opened and warmed up first. Then every round times every variant once, in a new random order. Load and
heat thus slow all variants alike, and a speedup is taken within each round. Stages, memory and accuracy are measured
afterwards, memory in a fresh process for each variant.
"""

from __future__ import annotations

import datetime
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from msgspec import structs

from fassd.core.errors import MissingExtra, UnknownName, UsageError
from fassd.core.machine import describe_machine, disturbances, load_before, read_machine, usable_cores
from fassd.core.types import Event, Watch, ignore_events
from fassd.metrics.timing import frames_per_second, latency, speedup, timing_drift
from fassd.runtimes.runtime import Stages
from fassd.speed.accuracy import check_labeled, score_given_weights
from fassd.speed.images import TimedImages, timed_images
from fassd.speed.int8 import int8_request
from fassd.speed.peak_memory import peak_memory
from fassd.speed.protocol import Milliseconds, OpenVariant, Request, open_variant, run_rounds
from fassd.speed.report import EAGER, BenchmarkReport, Measured, Skipped, TimedOn
from fassd.speed.table_iv import PAPER_SIZE, PUBLISHED_MEAN_IOU, machine_factor
from fassd.speed.variants import BenchmarkConfig, check, header_of, requests_of

_STAGE_ROUNDS = 10
# A variant that becomes this much slower or faster during the measurement is worth a warning.
_NOTABLE_DRIFT = 0.05


def benchmark(config: BenchmarkConfig, watch: Watch = ignore_events) -> BenchmarkReport:
    """Measures every combination that a configuration names.

    Ctrl-C ends the measurement early; the report holds what was measured.

    Args:
        config: what to measure.
        watch: gets "opened", "warmed", "round", "memory" and "scored", all with `done` and `total`.

    Raises:
        UnknownName, FileError, UsageError: something is missing or impossible.
        MissingExtra: a package is not installed, and nothing can be measured without it.
    """
    check(config)
    paper = config.protocol == "paper"
    images = TimedImages() if paper else timed_images(config.images, config.data, config.split)
    sources = config.images or ([f"{config.data} {config.split}"] if config.data else ())
    config = replace(config, sizes=config.sizes or (images.size,))
    scored_on = None
    if config.data is not None:
        spaces = [header_of(weights).label_space for weights in config.weights]
        scored_on = check_labeled(config.data, config.split, [space for space in spaces if space is not None])
    cores = usable_cores()
    busy_before = load_before(cores)

    with tempfile.TemporaryDirectory(prefix="fassd-benchmark-") as folder, _cache_in(folder), ExitStack() as stack:
        variants, skipped = _open_variants(config, images, Path(folder), stack, watch)
        for number in range(config.warm_up):
            for variant in variants:
                variant.predict(number, None)
            watch(Event("warmed", {"done": number + 1, "total": config.warm_up}))

        before = read_machine()
        rounds = run_rounds(variants, config.rounds_wanted, watch)
        disturbed = disturbances(before, read_machine(), cores)
        interrupted, done = rounds.interrupted, len(rounds.times)
        measured = [_measured(variants, index, rounds.times) for index in range(len(variants))]

        for index, variant in enumerate(variants):
            stages_ms = _stages_ms(variant, 1 if interrupted else min(_STAGE_ROUNDS, done))
            measured[index] = structs.replace(measured[index], stages_ms=stages_ms)
        try:
            if config.memory and not interrupted:
                for index, variant in enumerate(variants):
                    peak = peak_memory(variant.request, images)
                    measured[index] = structs.replace(
                        measured[index],
                        peak_memory_mib=peak.process,
                        peak_memory_problem=peak.problem,
                        peak_device_memory_mib=peak.device,
                    )
                    watch(Event("memory", {"done": index + 1, "total": len(variants)}))
            if scored_on is not None and not interrupted:
                for index, score in score_given_weights([one.request for one in variants], scored_on, watch):
                    measured[index] = structs.replace(measured[index], mean_iou=score)
        except KeyboardInterrupt:
            interrupted = True

    measured, factor = _normalized(measured) if paper else (measured, None)
    return BenchmarkReport(
        protocol=config.protocol,
        rounds=done,
        warm_up=config.warm_up,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=describe_machine(_gpu_name(variants)),
        timed_on=None if paper else TimedOn(tuple(sources), len(images.files)),
        scored_on=scored_on,
        measured=tuple(measured),
        skipped=tuple(skipped),
        warnings=(*([busy_before] if busy_before else []), *disturbed, *_drift_warnings(measured)),
        interrupted=interrupted,
        machine_factor=factor,
    )


@contextmanager
def _cache_in(folder: str) -> Iterator[None]:
    """Keeps graphs compiled from random weights out of the user's cache, where they would replace useful ones."""
    before = os.environ.get("FASSD_CACHE")
    os.environ["FASSD_CACHE"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["FASSD_CACHE"]
        else:
            os.environ["FASSD_CACHE"] = before


def _open_variants(
    config: BenchmarkConfig, images: TimedImages, folder: Path, stack: ExitStack, watch: Watch
) -> tuple[list[OpenVariant], list[Skipped]]:
    """Opens every variant that can be opened and predicts; one that "auto" resolves to is opened once."""
    found: dict[Request, OpenVariant] = {}
    skipped: list[Skipped] = []
    refusals: list[MissingExtra | UsageError] = []
    requests = requests_of(config, folder)
    for number, request in enumerate(requests):
        try:
            executable, calibrated_on = int8_request(request, images, folder)
            opened = replace(open_variant(executable, images), calibrated_on=calibrated_on)
            stack.callback(opened.close)
            if opened.request not in found:
                # The first prediction compiles, and is the first to find an image too large for the memory.
                opened.predict(0, None)
                found[opened.request] = opened
        except UnknownName:
            raise
        except (MissingExtra, UsageError) as error:
            refusals.append(error)
            skipped.append(Skipped(request.variant, str(error)))
        watch(Event("opened", {"done": number + 1, "total": len(requests), "variant": request.variant}))
    if not found:
        raise refusals[0]
    return list(found.values()), skipped


def _measured(variants: Sequence[OpenVariant], index: int, times: Milliseconds) -> Measured:
    """The figures of one variant that follow from the rounds alone.

    Its speedup refers to the eager reference of the same network on the same input: with the same weights if that was
    measured, else with others, whose speed is the same.
    """
    variant, own = variants[index].variant, times[:, index]
    shape = (variant.network, variant.device, variant.size, variant.batch)
    references = [
        place
        for place, one in enumerate(other.variant for other in variants)
        if one.runtime == EAGER and (one.network, one.device, one.size, one.batch) == shape
    ]
    eager = min(references, key=lambda place: variants[place].variant.weights != variant.weights, default=None)
    return Measured(
        variant=variant,
        latency_ms=latency(own),
        frames_per_second=frames_per_second(own, variant.batch),
        speedup=None if eager is None else speedup(times[:, eager], own),
        drift=timing_drift(own),
        # The published accuracy is that of the published weights, for which random ones stand in.
        mean_iou=None if variant.weights else PUBLISHED_MEAN_IOU.get(variant.network),
        calibrated_on=variants[index].calibrated_on,
    )


def _stages_ms(variant: OpenVariant, rounds: int) -> dict[str, float]:
    """The median milliseconds of every stage, from separate calls, since a GPU is waited for after every stage."""
    calls = [Stages() for _ in range(rounds)]
    for number, stages in enumerate(calls):
        variant.predict(number, stages)
    return {name: float(np.median([one.seconds[name] for one in calls])) * 1000 for name in calls[0].seconds}


def _normalized(measured: list[Measured]) -> tuple[list[Measured], float | None]:
    """Adds normalized speeds, and returns the machine's factor; None if nothing was measured as in Table IV."""
    factor = machine_factor(
        {
            one.variant.network: one.frames_per_second.value
            for one in measured
            if one.variant.size == PAPER_SIZE and one.variant.batch == 1 and one.mean_iou is not None
        }
    )
    if factor is None:
        return measured, None
    return [
        structs.replace(one, frames_per_second_normalized=one.frames_per_second.value / factor) for one in measured
    ], factor


def _drift_warnings(measured: Sequence[Measured]) -> list[str]:
    """One sentence for all variants that became slower or faster, since the cause is mostly the same."""
    changes = [one.drift.change for one in measured if one.drift is not None and one.drift.certain]
    notable = [change for change in changes if abs(change - 1) > _NOTABLE_DRIFT]
    if not notable:
        return []
    worst = max(notable, key=lambda change: abs(np.log(change)))
    cause = "heat or growing load" if worst > 1 else "shrinking load, or too little warm-up"
    change = f"{abs(worst - 1):.0%} {'slower' if worst > 1 else 'faster'}"
    return [f"{len(notable)} of {len(measured)} variants drifted, at most {change} in the last third: {cause}"]


def _gpu_name(variants: Sequence[OpenVariant]) -> str | None:
    """The name of the GPU; None if none was used."""
    used = [one.variant.device for one in variants if one.variant.device.startswith("cuda")]
    if not used:
        return None
    import torch

    return torch.cuda.get_device_name(used[0])
