"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fassd.core.checkpoint import BGR_PIXELS, RGB_PIXELS, Pixels
from fassd.core.errors import FassdError
from fassd.core.recipe import Recipe
from fassd.core.types import Event, Watch
from fassd.data.batches import Batch, Samples, training_batches
from fassd.networks.inference import normalise
from fassd.networks.network import SegmentationNetwork
from fassd.training.loss import bootstrapped_cross_entropy, class_weights_of
from fassd.training.precision import distrust_convolutions, has_bfloat16
from fassd.training.run import Progress, Run
from fassd.training.schedule import poly_rate


@dataclass(frozen=True)
class Setting:
    """What a run is made of, beside its network.

    Attributes:
        recipe: the values.
        samples: what it learns from.
        run: its folder.
        validate: mean IoU, 0..1, of the network as it stands; None where there is nothing to validate on.
        save_best: writes the network as the best checkpoint, given its step and mean IoU.
        device: where it computes.
        workers: processes that prepare batches.
        watch: gets "begun", "step", "validated" and "saved".
    """

    recipe: Recipe
    samples: Samples
    run: Run
    validate: Callable[[SegmentationNetwork], float] | None
    save_best: Callable[[SegmentationNetwork, int, float | None], None]
    device: torch.device
    workers: int
    watch: Watch


def pixels_of(recipe: Recipe) -> Pixels:
    """What a network trained by this recipe expects as input."""
    return RGB_PIXELS if recipe.channel_order == "rgb" else BGR_PIXELS


def fit(network: SegmentationNetwork, setting: Setting, resume: bool) -> Progress:
    """Trains a network in place, from the start or from the run's state to the recipe's last iteration.

    Returns:
        Where the run ended.

    Raises:
        FassdError: the loss is no longer finite, or what reading samples raises.
    """
    recipe = setting.recipe
    network.to(setting.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(
        network.parameters(),
        recipe.optimiser.rate,
        recipe.optimiser.momentum,
        weight_decay=recipe.optimiser.decay,
    )
    progress = Progress(0, -1.0, 0, 0.0, recipe, len(setting.samples))
    if resume:
        progress = setting.run.read_progress()
        setting.run.restore(network, optimiser)
    update = _Update(network, optimiser, setting)
    where = {"step": progress.step, "total": recipe.iterations, "validated": setting.validate is not None}
    setting.watch(Event("begun", {**where, **update.facts}))
    batches = training_batches(setting.samples, recipe, progress.step, setting.workers)
    return _train(update, batches, progress)


class _Update:
    """One update of the weights: rate, forward, loss, backward, step."""

    def __init__(self, network: SegmentationNetwork, optimiser: torch.optim.Optimizer, setting: Setting) -> None:
        recipe = setting.recipe
        self.network, self.optimiser, self.setting = network, optimiser, setting
        self.pixels = pixels_of(recipe)
        self.weights: Tensor | None = None
        if recipe.loss.class_weights == "inverse-log":
            labels = [sample.labels for sample in setting.samples]
            self.weights = torch.from_numpy(class_weights_of(labels, network.classes)).to(setting.device)
        self.reduced = recipe.precision == "bfloat16" or (recipe.precision == "auto" and has_bfloat16(setting.device))
        shape = (recipe.batch, *recipe.augmentation.crop, 3)
        blank = torch.zeros(shape, dtype=torch.uint8, device=setting.device)
        distrusted = distrust_convolutions(network, normalise(blank, self.pixels)) if self.reduced else []
        self.facts = {"precision": "bfloat16" if self.reduced else "float32", "kept_in_float32": distrusted}

    def __call__(self, batch: Batch, step: int) -> float:
        recipe, device = self.setting.recipe, self.setting.device
        # The published loop starts with value 1, not 0; with ours its last update would not be lost to a rate of 0.
        rate = poly_rate(recipe.optimiser.rate, step, recipe.iterations, recipe.optimiser.power)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(device.type, torch.bfloat16, enabled=self.reduced):
            logits = self.network(normalise(batch.images.to(device), self.pixels))
        loss = bootstrapped_cross_entropy(
            logits,
            batch.labels.to(device),
            kept=recipe.loss.kept,
            threshold=recipe.loss.threshold,
            marked=None if batch.marked is None else batch.marked.to(device),
            class_weights=self.weights,
        )
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FassdError(
                f"the loss of update {step + 1} is {value} (images {', '.join(batch.names)}); the last state is kept: "
                "lower optimiser.rate, or set precision to float32"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return value


def _train(update: _Update, batches: Iterator[Batch], progress: Progress) -> Progress:
    setting, recipe = update.setting, update.setting.recipe
    begun, before = time.monotonic(), progress.seconds
    losses: list[float] = []
    for step in range(progress.step, recipe.iterations):
        losses.append(update(next(batches), step))
        done = step + 1
        trained = time.monotonic() - begun
        seconds, speed = before + trained, recipe.batch * len(losses) / trained
        setting.watch(Event("step", {"step": done, "loss": losses[-1], "images_per_second": speed}))
        if done % recipe.validate_every == 0 or done == recipe.iterations:
            paused = time.monotonic()
            progress = _validate(update, progress, done, seconds)
            begun += time.monotonic() - paused
            recent = losses[-recipe.validate_every :]
            setting.run.log("step", step=done, loss=sum(recent) / len(recent), images_per_second=round(speed, 2))
    return progress


def _validate(update: _Update, progress: Progress, done: int, seconds: float) -> Progress:
    """Scores the network, keeps it if it is the best, and writes the state."""
    setting, network = update.setting, update.network
    best, best_step = progress.best_mean_iou, progress.best_step
    if setting.validate is None:
        setting.save_best(network, done, None)
    else:
        score = setting.validate(network)
        if score > best:
            best, best_step = score, done
            setting.save_best(network, done, score)
        setting.watch(Event("validated", {"step": done, "mean_iou": score, "best": best}))
        setting.run.log("validated", step=done, mean_iou=score, best=best)
    progress = Progress(done, best, best_step, seconds, setting.recipe, len(setting.samples))
    setting.run.save_state(network, update.optimiser, progress)
    setting.watch(Event("saved", {"step": done, "path": str(setting.run.state_path)}))
    return progress
