"""`--dry-run`: what a training would take, measured by a few real iterations that leave nothing behind."""

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
from fassd.networks.build import init_network
from fassd.networks.classifier import init_classifier
from fassd.networks.specs import NetworkSpec, network_by_name
from fassd.scoring.evaluate import evaluate
from fassd.training.distributed import Distributed
from fassd.training.setup import (
    PretrainConfig,
    TrainConfig,
    checkpoint_header,
    load_initial_weights,
    load_pretraining_data,
    load_training_data,
    one_image_is_enough,
    select_device,
)
from fassd.training.train_step import ClassificationTrainStep, SegmentationTrainStep, TrainStep
from fassd.training.validation import NanTolerantRuntime, validate_classifier

# Iterations of each batch size are timed until both minimums are reached, or the maximum. The median is taken, so that
# other work of the machine hardly matters.
_MIN_TIMED, _MIN_TIMED_S, _MAX_TIMED = 2, 2.0, 12
_VALIDATED_IMAGES = 2


@dataclass(frozen=True)
class DryRunEstimate:
    """What a training would take.

    Attributes:
        parameters: of the network.
        train_images, val_images: their numbers.
        epochs: over the training images.
        device, precision: "cpu" and "float32", for example.
        iteration_s: seconds of one iteration, its data loaded by the same process.
        validation_s: seconds of one validation.
        total_s: seconds of the run; more workers or processes may make it shorter.
        memory: bytes of the process at its peak, or on the GPU; None where unknown.
        available: bytes of the machine or the GPU; None where unknown.
    """

    parameters: int
    train_images: int
    val_images: int
    epochs: float
    device: str
    precision: str
    iteration_s: float
    validation_s: float
    total_s: float
    memory: int | None
    available: int | None


@dataclass(frozen=True)
class _Trial:
    """What is measured.

    Attributes:
        spec, network: the network with its row.
        images: numbers of training and validation images.
        train_step, batches: of a recipe with a smaller batch.
        validate: validates on a few images, returns how many.
    """

    spec: NetworkSpec
    network: nn.Module
    images: tuple[int, int]
    train_step: Callable[[Recipe], TrainStep[nn.Module]]
    batches: Callable[[Recipe], Iterator[Batch]]
    validate: Callable[[], int]


def dry_run(config: TrainConfig) -> DryRunEstimate:
    """Trains on one and on two images, validates on a few, and extrapolates to the whole run.

    Batches of one and two images (two and four for tiny crops) need little memory. Time and memory of the recipe's
    batch follow from the difference.

    Raises:
        FassdError: something is wrong with the training that is found before its first iteration.
    """
    data = load_training_data(config)
    distributed = _single_process(config.device)
    recipe = config.recipe
    samples = Samples(data.train_sets, recipe.augmentation.scale[1])
    network = init_network(data.spec, len(data.label_space), recipe.alpha, recipe.seed)
    load_initial_weights(network, config, data.label_space)

    def validate() -> int:
        few = replace(data.val_sets[0], pairs=data.val_sets[0].pairs[:_VALIDATED_IMAGES])
        with NanTolerantRuntime(network, checkpoint_header(config, data), str(distributed.device)) as runtime:
            evaluate(runtime, few)
        return len(few)

    trial = _Trial(
        spec=data.spec,
        network=network,
        images=data.images,
        train_step=lambda recipe: SegmentationTrainStep(network, recipe, samples, distributed),
        batches=lambda recipe: training_batches(samples, recipe, 0, 0),
        validate=validate,
    )
    return _estimate(trial, recipe, distributed)


def dry_run_pretraining(config: PretrainConfig) -> DryRunEstimate:
    """As `dry_run`, for a pre-training.

    Raises:
        FassdError: something is wrong with it that is found before its first iteration.
    """
    train_set, val_set = load_pretraining_data(config)
    distributed, recipe = _single_process(config.device), config.recipe
    spec = network_by_name(recipe.network)
    network = init_classifier(spec, len(train_set.classes), recipe.seed)

    def validate() -> int:
        assert val_set is not None
        few = replace(val_set, names=val_set.names[:_VALIDATED_IMAGES], targets=val_set.targets[:_VALIDATED_IMAGES])
        validate_classifier(network, few, recipe, distributed, 0)
        return len(few)

    trial = _Trial(
        spec=spec,
        network=network,
        images=(len(train_set), 0 if val_set is None else len(val_set)),
        train_step=lambda recipe: ClassificationTrainStep(network, recipe, distributed),
        batches=lambda recipe: training_batches(train_set, recipe, 0, 0),
        validate=validate,
    )
    return _estimate(trial, recipe, distributed)


def _single_process(device: str) -> Distributed:
    distributed = Distributed(select_device(device))
    if distributed.processes > 1:
        raise UsageError("--dry-run measures a single process; run it without torchrun or accelerate launch")
    return distributed


def _estimate(trial: _Trial, recipe: Recipe, distributed: Distributed) -> DryRunEstimate:
    batch_size = recipe.batch_size // recipe.accumulation_steps
    smallest = 1 if one_image_is_enough(trial.spec, recipe.augmentation.crop_size) else 2
    seconds, memory = list[tuple[int, float]](), list[tuple[int, float]]()
    for size in sorted({smallest, min(2 * smallest, batch_size)}):
        small = msgspec.structs.replace(recipe, batch_size=size, accumulation_steps=1, iterations=1 + _MAX_TIMED)
        train_step = trial.train_step(small)
        seconds.append((size, _seconds_per_iteration(train_step, trial.batches(small))))
        memory.append((size, _peak_memory(distributed.device)))
    train_images, val_images = trial.images
    iteration_s = _extrapolate(seconds, batch_size) * recipe.accumulation_steps
    validation_s = _seconds_per_validation(trial) if val_images else 0.0
    validations = -(-recipe.iterations // recipe.validate_every)
    return DryRunEstimate(
        parameters=sum(one.numel() for one in trial.network.parameters()),
        train_images=train_images,
        val_images=val_images,
        epochs=recipe.iterations * recipe.batch_size / train_images,
        device=str(distributed.device),
        precision=str(train_step.precision).removeprefix("torch."),
        iteration_s=iteration_s,
        validation_s=validation_s,
        total_s=recipe.iterations * iteration_s + validations * validation_s,
        memory=round(_extrapolate(memory, batch_size)) or None,
        available=(
            int(torch.cuda.get_device_properties(distributed.device).total_memory)
            if distributed.device.type == "cuda"
            else memory_bytes()
        ),
    )


def _seconds_per_iteration(train_step: TrainStep[nn.Module], batches: Iterator[Batch]) -> float:
    """The median over several iterations, the loading of their data included, after one to warm up."""
    train_step(next(batches), 0)
    times = list[float]()
    while len(times) < _MIN_TIMED or (sum(times) < _MIN_TIMED_S and len(times) < _MAX_TIMED):
        since = time.perf_counter()
        train_step(next(batches), 0)
        times.append(time.perf_counter() - since)
    return statistics.median(times)


def _peak_memory(device: torch.device) -> float:
    """Bytes used so far at most, of the GPU or of this process; 0 where unknown."""
    return float(torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory_bytes() or 0)


def _extrapolate(points: list[tuple[int, float]], batch_size: int) -> float:
    """The line through the measured (batch size, value), at a batch size; never falling, at most proportional."""
    (first, low), (last, high) = points[0], points[-1]
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return min(high + slope * (batch_size - last), high * batch_size / last)


def _seconds_per_validation(trial: _Trial) -> float:
    """Seconds of a validation on all images, from a few. The first, in which kernels may be compiled, is not timed."""
    trial.validate()
    since = time.perf_counter()
    validated = trial.validate()
    return (time.perf_counter() - since) / validated * trial.images[1]
