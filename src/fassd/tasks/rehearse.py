"""What a training would take, measured by a few real updates that leave nothing behind."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import msgspec
import torch

from fassd.core.machine import memory_bytes, peak_memory_bytes
from fassd.core.recipe import Recipe
from fassd.data.batches import Samples, training_batches
from fassd.networks.build import fresh_network
from fassd.runtimes.pytorch import PyTorchRuntime
from fassd.tasks.evaluate import evaluate
from fassd.tasks.training_order import (
    Material,
    TrainingOrder,
    device_of,
    gather_material,
    header_of,
    norms_have_values,
    start_from,
)
from fassd.training.engine import Engine
from fassd.training.update import Update

_TIMED, _SCORED = 2, 2


@dataclass(frozen=True)
class Rehearsal:
    """What a training would take.

    Attributes:
        parameters: of the network.
        learned, scored: images of `train` and `val`.
        passes: over the images.
        device, precision: "cpu" and "float32", for example.
        update_s: of one update, its data loaded by the same process.
        validation_s: of one validation.
        total_s: of the whole run; more workers or processes may make it shorter.
        memory: bytes of the process at its peak, or on the GPU; None where unknown.
        available: bytes of the machine or the GPU; None where unknown.
    """

    parameters: int
    learned: int
    scored: int
    passes: float
    device: str
    precision: str
    update_s: float
    validation_s: float
    total_s: float
    memory: int | None
    available: int | None


def rehearse(order: TrainingOrder) -> Rehearsal:
    """Makes updates of one and of two images, scores a few, and adds up what the whole run would take.

    Batches of one and two (two and four, of tiny crops) need little memory; time and memory of the recipe's batch
    follow from the difference.

    Raises:
        FassdError: whatever would be wrong with the training before its first update.
    """
    material = gather_material(order)
    samples, images = Samples(material.learned), sum(map(len, material.learned))
    network = fresh_network(material.spec, len(material.space), order.recipe.alpha, order.recipe.seed)
    start_from(network, order, material.space)
    engine = Engine(device_of(order))
    batch = order.recipe.batch // order.recipe.accumulate
    measured = []
    least = 1 if norms_have_values(material.spec, order.recipe.augmentation.crop) else 2
    for size in sorted({least, min(2 * least, batch)}):
        recipe = msgspec.structs.replace(order.recipe, batch=size, accumulate=1, iterations=1 + _TIMED)
        update = Update(network, recipe, samples, engine)
        measured.append((size, *_measure(update, recipe, samples, engine)))
    seconds, memory = (_extrapolated([(one[0], one[place]) for one in measured], batch) for place in (1, 2))
    seconds *= order.recipe.accumulate
    validation = _validation_s(material, order, update)
    recipe = order.recipe
    validations = -(-recipe.iterations // recipe.validate_every)
    return Rehearsal(
        parameters=sum(one.numel() for one in network.parameters()),
        learned=images,
        scored=sum(map(len, material.scored)),
        passes=recipe.iterations * recipe.batch / images,
        device=str(engine.device),
        precision=str(update.precision).removeprefix("torch."),
        update_s=seconds,
        validation_s=validation,
        total_s=recipe.iterations * seconds + validations * validation,
        memory=round(memory) or None,
        available=_available(engine.device),
    )


def _measure(update: Update, recipe: Recipe, samples: Samples, engine: Engine) -> tuple[float, float]:
    """Seconds of an update with its data, and the most bytes used so far."""
    batches = training_batches(samples, recipe, 0, 0)
    update(next(batches), 0)
    times = []
    for _ in range(_TIMED):
        since = time.perf_counter()
        update(next(batches), 0)
        times.append(time.perf_counter() - since)
    if engine.device.type == "cuda":
        return min(times), float(torch.cuda.max_memory_allocated(engine.device))
    return min(times), float(peak_memory_bytes() or 0)


def _extrapolated(points: list[tuple[int, float]], batch: int) -> float:
    """The line through what was measured, at the recipe's batch; it never falls."""
    (first, low), (last, high) = points[0], points[-1]
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return high + slope * (batch - last)


def _validation_s(material: Material, order: TrainingOrder, update: Update) -> float:
    """Seconds of a whole validation, from a few of its images."""
    if not material.scored:
        return 0.0
    scored, whole = material.scored[0], sum(map(len, material.scored))
    few = replace(scored, pairs=scored.pairs[:_SCORED])
    with PyTorchRuntime(update.judged, header_of(order, material), str(update.engine.device)) as runtime:
        since = time.perf_counter()
        evaluate(runtime, few)
        return (time.perf_counter() - since) / len(few) * whole


def _available(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_bytes()
