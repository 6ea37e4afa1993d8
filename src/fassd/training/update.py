"""One update of the weights: rate, forward, loss, backward, step; and everything of it that going on needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from fassd.core.checkpoint import BGR_PIXELS, RGB_PIXELS, Pixels
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.recipe import Recipe
from fassd.data.batches import Batch, Samples
from fassd.networks.inference import normalise
from fassd.networks.network import SegmentationNetwork
from fassd.training.averages import averaged
from fassd.training.engine import Engine
from fassd.training.learner import Learner
from fassd.training.loss import bootstrapped_cross_entropy, class_weights_of
from fassd.training.parameters import optimiser_of, set_rate
from fassd.training.precision import distrust_convolutions, precision_of
from fassd.training.schedule import scheduled_rate
from fassd.training.state import State

_MOMENTUM, _AVERAGE, _CLASS_WEIGHTS = "momentum.", "average.", "class_weights"
_RANDOM = "random."


def pixels_of(recipe: Recipe) -> Pixels:
    """What a network trained by this recipe expects as input."""
    return RGB_PIXELS if recipe.channel_order == "rgb" else BGR_PIXELS


@dataclass(frozen=True)
class Outcome:
    """What an update did, over all processes.

    Attributes:
        loss: mean over the images of the update.
        gradient: length of the gradient before it was shortened.
        rate: of the update.
        sound: loss and gradient are finite, and the weights have moved; they are as before otherwise.
        own_sound: this process's own loss is finite.
        stop: some process was asked to stop.
    """

    loss: float
    gradient: float
    rate: float
    sound: bool
    own_sound: bool
    stop: bool


class Update:
    """The network with its optimiser, ready for one update after the other.

    Args:
        network: trained in place.
        recipe: every value.
        samples: class weights are counted in them.
        engine: processes and device.
        state: to go on from; None begins.

    Raises:
        UsageError: the images of an update cannot be shared out evenly.
        CheckpointError: the state is of another network or class count.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        recipe: Recipe,
        samples: Samples,
        engine: Engine,
        state: State | None = None,
    ) -> None:
        _check_shares(recipe, engine)
        self.recipe, self.engine, self.network = recipe, engine, network
        self.pixels = pixels_of(recipe)
        torch.manual_seed(recipe.seed)
        learner = Learner(network, recipe)
        learner.to(engine.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._average = averaged(network, recipe.average) if recipe.average else None
        self._optimiser = optimiser_of(learner, recipe.optimiser)
        self.precision, self.distrusted = precision_of(recipe.precision, engine.device), list[str]()
        self._scaler = torch.amp.GradScaler(engine.device.type, enabled=self.precision == torch.float16)
        self._learner, self._class_weights = learner, None
        if state is None:
            self._class_weights = _class_weights(recipe, samples, network.classes)
        else:
            self._restore(state)
        if self.precision == torch.bfloat16:
            self.distrusted = distrust_convolutions(network, self._blank())
            learner.train()
        self._spread = engine.spread(learner)

    @property
    def judged(self) -> SegmentationNetwork:
        """The network that is validated and kept: the mean over the updates where the recipe asks for one."""
        judged = self.network if self._average is None else self._average.module
        assert isinstance(judged, SegmentationNetwork)
        return judged

    @property
    def scaler(self) -> dict[str, int | float]:
        """The state of float16's scaler; empty in other precisions."""
        return dict(self._scaler.state_dict())

    def __call__(self, batch: Batch, step: int, asked: Callable[[], bool] = lambda: False) -> Outcome:
        """Makes update `step`, counted from 0, unless loss or gradient is not finite.

        Args:
            batch: this process's share of the images.
            step: decides the rate.
            asked: whether this process was asked to stop, looked at late, when the gradient is there; all get to know.
        """
        values = self.recipe.optimiser
        rate = scheduled_rate(values, step, self.recipe.iterations)
        set_rate(self._optimiser, rate)
        self._optimiser.zero_grad(set_to_none=True)
        parts = batch.parts(self.recipe.accumulate)
        own = sum(self._backward(part, part is parts[-1]) for part in parts)
        loss, stops = self.engine.total([own / self.engine.processes, asked()])
        self._scaler.unscale_(self._optimiser)
        learning = [one for one in self._learner.parameters() if one.grad is not None]
        norm = torch.nn.utils.get_total_norm([one.grad for one in learning if one.grad is not None])
        gradient = float(norm)
        # float16's scaler passes over an update whose gradient overflowed, and scales less from then on.
        sound = math.isfinite(loss) and (math.isfinite(gradient) or self._scaler.is_enabled())
        if sound:
            if values.clip:
                torch.nn.utils.clip_grads_with_norm_(learning, values.clip, norm)
            self._scaler.step(self._optimiser)
            self._scaler.update()
            if self._average is not None:
                self._average.update_parameters(self.network)
        return Outcome(loss, gradient, rate, sound, math.isfinite(own), stops > 0)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides what follows, by name."""
        tensors = dict(self._learner.state_dict())
        for name, parameter in self._learner.named_parameters():
            momentum = self._optimiser.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[_MOMENTUM + name] = momentum
        if self._average is not None:
            tensors |= {_AVERAGE + name: value for name, value in self._average.state_dict().items()}
        if self._class_weights is not None:
            tensors[_CLASS_WEIGHTS] = self._class_weights
        tensors[_RANDOM + "cpu"] = torch.get_rng_state()
        if self.engine.device.type == "cuda":
            tensors[_RANDOM + "cuda"] = torch.cuda.get_rng_state(self.engine.device)
        return tensors

    def _backward(self, part: Batch, last: bool) -> float:
        """Adds the gradient of a part of the update's images; returns its share of the loss."""
        device, reduced = self.engine.device, self.precision != torch.float32
        with nullcontext() if last else self.engine.without_exchange(self._spread):
            with torch.autocast(device.type, self.precision, enabled=reduced):
                first, *auxiliary = self._spread(normalise(part.images.to(device), self.pixels))
            loss = self._loss(first, part)
            if auxiliary:
                mean = torch.stack([self._loss(logits, part) for logits in auxiliary]).mean()
                loss = loss + self.recipe.loss.auxiliary * mean
            loss = loss / self.recipe.accumulate
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def _loss(self, logits: Tensor, batch: Batch) -> Tensor:
        device, values = self.engine.device, self.recipe.loss
        return bootstrapped_cross_entropy(
            logits,
            batch.labels.to(device),
            kept=values.kept,
            threshold=values.threshold,
            marked=None if batch.marked is None else batch.marked.to(device),
            class_weights=None if self._class_weights is None else self._class_weights.to(device),
        )

    def _blank(self) -> Tensor:
        """Images as an update sees them, black."""
        images = self.recipe.batch // (self.engine.processes * self.recipe.accumulate)
        shape = (images, *self.recipe.augmentation.crop, 3)
        return normalise(torch.zeros(shape, dtype=torch.uint8, device=self.engine.device), self.pixels)

    def _restore(self, state: State) -> None:
        tensors, own = state.tensors, self.tensors()
        for name, value in own.items():
            if name not in tensors or tensors[name].shape != value.shape:
                raise CheckpointError(
                    state.path, f"does not fit the network ({name}); resume with its own data and recipe"
                )
        self._learner.load_state_dict({name: tensors[name] for name in self._learner.state_dict()})
        for name, parameter in self._learner.named_parameters():
            if _MOMENTUM + name in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[_MOMENTUM + name])
                self._optimiser.state[parameter]["momentum_buffer"] = buffer
        if self._average is not None:
            self._average.load_state_dict({name: tensors[_AVERAGE + name] for name in self._average.state_dict()})
        self._class_weights = tensors.get(_CLASS_WEIGHTS)
        self._scaler.load_state_dict(state.progress.scaler)
        torch.set_rng_state(tensors[_RANDOM + "cpu"])
        if self.engine.device.type == "cuda":
            torch.cuda.set_rng_state(tensors[_RANDOM + "cuda"], self.engine.device)


def _check_shares(recipe: Recipe, engine: Engine) -> None:
    shares = recipe.accumulate * engine.processes
    if recipe.batch % shares:
        raise UsageError(
            f"the batch of {recipe.batch} images cannot be shared out evenly among {engine.processes} processes"
            f"{f' in {recipe.accumulate} parts' if recipe.accumulate > 1 else ''}: make it a multiple of {shares}"
        )


def _class_weights(recipe: Recipe, samples: Samples, classes: int) -> Tensor | None:
    if recipe.loss.class_weights == "none":
        return None
    return torch.from_numpy(class_weights_of([sample.labels for sample in samples], classes))
