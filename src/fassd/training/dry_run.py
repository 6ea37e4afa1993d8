"""What a training would take, measured by a few real updates that leave nothing behind."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import msgspec
import torch
from torch import nn

from fassd.core.errors import UsageError
from fassd.core.machine import memory_bytes, peak_memory_bytes
from fassd.core.recipe import Recipe
from fassd.data.batches import Batch, Samples, training_batches
from fassd.data.class_folders import ClassFolders
from fassd.networks.build import init_network
from fassd.networks.classifier import init_classifier
from fassd.networks.specs import NetworkSpec, network_by_name
from fassd.scoring.evaluate import evaluate
from fassd.training.distributed import Distributed
from fassd.training.setup import (
    PretrainConfig,
    TrainConfig,
    device_of,
    gather_pictures,
    gather_training_data,
    header_of,
    norms_have_values,
    start_from,
)
from fassd.training.train_step import ClassificationTrainStep, SegmentationTrainStep, TrainStep
from fassd.training.validation import NanTolerantRuntime, judge

# Updates of each size are timed until both are reached, but no more than the last: what else the machine does shows.
_TIMED, _TIMED_S, _MOST_TIMED = 2, 2.0, 12
_SCORED = 2


@dataclass(frozen=True)
class DryRunEstimate:
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


@dataclass(frozen=True)
class _Piece:
    """What is rehearsed: a network, and how it is trained by a recipe of fewer images and scored on a few."""

    spec: NetworkSpec
    network: nn.Module
    images: tuple[int, int]
    update: Callable[[Recipe], TrainStep[nn.Module]]
    batches: Callable[[Recipe], Iterator[Batch]]
    score: Callable[[], int]


def dry_run(order: TrainConfig) -> DryRunEstimate:
    """Makes updates of one and of two images, scores a few, and adds up what the whole run would take.

    Batches of one and two (two and four, of tiny crops) need little memory; time and memory of the recipe's batch
    follow from the difference.

    Raises:
        FassdError: whatever would be wrong with the training before its first update.
    """
    material = gather_training_data(order)
    engine = _alone(order.device)
    samples = Samples(material.learned, order.recipe.augmentation.scale[1])
    network = init_network(material.spec, len(material.space), order.recipe.alpha, order.recipe.seed)
    start_from(network, order, material.space)

    def score() -> int:
        few = replace(material.scored[0], pairs=material.scored[0].pairs[:_SCORED])
        with NanTolerantRuntime(network, header_of(order, material), str(engine.device)) as runtime:
            evaluate(runtime, few)
        return len(few)

    piece = _Piece(
        spec=material.spec,
        network=network,
        images=(len(samples), sum(map(len, material.scored))),
        update=lambda recipe: SegmentationTrainStep(network, recipe, samples, engine),
        batches=lambda recipe: training_batches(samples, recipe, 0, 0),
        score=score,
    )
    return _rehearsed(piece, order.recipe, engine)


def dry_run_pretraining(order: PretrainConfig) -> DryRunEstimate:
    """The same of a pre-training.

    Raises:
        FassdError: whatever would be wrong with it before its first update.
    """
    learned, scored = gather_pictures(order)
    engine, recipe = _alone(order.device), order.recipe
    spec = network_by_name(recipe.network)
    network = init_classifier(spec, len(learned.classes), recipe.seed)

    def score() -> int:
        assert scored is not None
        few = _first(scored, _SCORED)
        judge(network, few, recipe, engine, 0)
        return len(few)

    piece = _Piece(
        spec=spec,
        network=network,
        images=(len(learned), 0 if scored is None else len(scored)),
        update=lambda recipe: ClassificationTrainStep(network, recipe, engine),
        batches=lambda recipe: training_batches(learned, recipe, 0, 0),
        score=score,
    )
    return _rehearsed(piece, recipe, engine)


def _alone(device: str) -> Distributed:
    engine = Distributed(device_of(device))
    if engine.processes > 1:
        raise UsageError("--dry-run measures a single process; give the command without torchrun or accelerate launch")
    return engine


def _first(pictures: ClassFolders, number: int) -> ClassFolders:
    return replace(pictures, names=pictures.names[:number], targets=pictures.targets[:number])


def _rehearsed(piece: _Piece, recipe: Recipe, engine: Distributed) -> DryRunEstimate:
    batch = recipe.batch_size // recipe.accumulation_steps
    measured = []
    least = 1 if norms_have_values(piece.spec, recipe.augmentation.crop_size) else 2
    for size in sorted({least, min(2 * least, batch)}):
        small = msgspec.structs.replace(recipe, batch_size=size, accumulation_steps=1, iterations=1 + _MOST_TIMED)
        update = piece.update(small)
        measured.append((size, *_measure(update, piece.batches(small), engine)))
    seconds, memory = (_extrapolated([(one[0], one[place]) for one in measured], batch) for place in (1, 2))
    seconds *= recipe.accumulation_steps
    learned, scored = piece.images
    validation = _validation_s(piece) if scored else 0.0
    validations = -(-recipe.iterations // recipe.validate_every)
    return DryRunEstimate(
        parameters=sum(one.numel() for one in piece.network.parameters()),
        learned=learned,
        scored=scored,
        passes=recipe.iterations * recipe.batch_size / learned,
        device=str(engine.device),
        precision=str(update.precision).removeprefix("torch."),
        update_s=seconds,
        validation_s=validation,
        total_s=recipe.iterations * seconds + validations * validation,
        memory=round(memory) or None,
        available=_available(engine.device),
    )


def _measure(update: TrainStep[nn.Module], batches: Iterator[Batch], engine: Distributed) -> tuple[float, float]:
    """Seconds of an update with its data, and the most bytes used so far."""
    update(next(batches), 0)
    times = list[float]()
    while len(times) < _TIMED or (sum(times) < _TIMED_S and len(times) < _MOST_TIMED):
        since = time.perf_counter()
        update(next(batches), 0)
        times.append(time.perf_counter() - since)
    if engine.device.type == "cuda":
        return statistics.median(times), float(torch.cuda.max_memory_allocated(engine.device))
    return statistics.median(times), float(peak_memory_bytes() or 0)


def _extrapolated(points: list[tuple[int, float]], batch: int) -> float:
    """The line through what was measured, at the recipe's batch; it never falls, nor rises faster than the batch."""
    (first, low), (last, high) = points[0], points[-1]
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return min(high + slope * (batch - last), high * batch / last)


def _validation_s(piece: _Piece) -> float:
    """Seconds of a whole validation, from a few of its images. The first time kernels may be compiled for it."""
    piece.score()
    since = time.perf_counter()
    scored = piece.score()
    return (time.perf_counter() - since) / scored * piece.images[1]


def _available(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return memory_bytes()
