"""One update of a classifier: rate, forward, cross entropy, backward, step; and all of it that going on needs."""

from __future__ import annotations

import math
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from fassd.core.errors import CheckpointError, UsageError
from fassd.core.recipe import Recipe
from fassd.data.class_batches import ClassBatch
from fassd.networks.classifier import Classifier
from fassd.networks.inference import normalise
from fassd.training.engine import Engine
from fassd.training.parameters import optimiser_of, set_rate
from fassd.training.precision import distrust_convolutions, precision_of
from fassd.training.schedule import scheduled_rate
from fassd.training.state import State
from fassd.training.update import Outcome, pixels_of

_MOMENTUM, _RANDOM = "momentum.", "random."


class ClassifierUpdate:
    """A classifier with its optimiser, ready for one update after the other.

    Args:
        network: trained in place.
        recipe: every value.
        engine: processes and device.
        state: to go on from; None begins.

    Raises:
        UsageError: the images of an update cannot be shared out evenly.
        CheckpointError: the state is of another network or class count.
    """

    def __init__(self, network: Classifier, recipe: Recipe, engine: Engine, state: State | None) -> None:
        shares = recipe.accumulate * engine.processes
        if recipe.batch % shares:
            raise UsageError(
                f"the batch of {recipe.batch} images cannot be shared out evenly among {engine.processes} processes in "
                f"{recipe.accumulate} parts: make it a multiple of {shares}"
            )
        self.network, self.recipe, self.engine = network, recipe, engine
        self.pixels = pixels_of(recipe)
        torch.manual_seed(recipe.seed)
        network.to(engine.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._optimiser = optimiser_of(network, recipe.optimiser)
        self.precision, self.distrusted = precision_of(recipe.precision, engine.device), list[str]()
        self._scaler = torch.amp.GradScaler(engine.device.type, enabled=self.precision == torch.float16)
        if self.precision == torch.bfloat16:
            images = recipe.batch // (engine.processes * recipe.accumulate)
            blank = torch.zeros((images, *recipe.augmentation.crop, 3), dtype=torch.uint8, device=engine.device)
            self.distrusted = distrust_convolutions(network.encoder, normalise(blank, self.pixels))
        if state is not None:
            self._restore(state)
        self._spread = engine.spread(network)

    @property
    def scaler(self) -> dict[str, int | float]:
        """The state of float16's scaler; empty in other precisions."""
        return dict(self._scaler.state_dict())

    def __call__(self, batch: ClassBatch, step: int, stop: bool) -> Outcome:
        """Makes update `step`, counted from 0, unless loss or gradient is not finite."""
        values = self.recipe.optimiser
        rate = scheduled_rate(values, step, self.recipe.iterations)
        set_rate(self._optimiser, rate)
        self._optimiser.zero_grad(set_to_none=True)
        own = self._backward(batch)
        loss, stops = self.engine.total([own / self.engine.processes, stop])
        self._scaler.unscale_(self._optimiser)
        learning = list(self.network.parameters())
        norm = torch.nn.utils.get_total_norm([one.grad for one in learning if one.grad is not None])
        gradient = float(norm)
        # float16's scaler passes over an update whose gradient overflowed, and scales less from then on.
        sound = math.isfinite(loss) and (math.isfinite(gradient) or self._scaler.is_enabled())
        if sound:
            if values.clip:
                torch.nn.utils.clip_grads_with_norm_(learning, values.clip, norm)
            self._scaler.step(self._optimiser)
            self._scaler.update()
        return Outcome(loss, gradient, rate, sound, math.isfinite(own), stops > 0)

    def _backward(self, batch: ClassBatch) -> float:
        """Gathers the gradient of an update, part by part; returns the mean loss of this process's pictures."""
        device, parts = self.engine.device, self.recipe.accumulate
        total = 0.0
        for part in range(parts):
            cut = slice(part * len(batch.names) // parts, (part + 1) * len(batch.names) // parts)
            last = part == parts - 1
            with nullcontext() if last else self.engine.without_exchange(self._spread):
                with torch.autocast(device.type, self.precision, enabled=self.precision != torch.float32):
                    logits = self._spread(normalise(batch.images[cut].to(device), self.pixels))
                loss = F.cross_entropy(logits.float(), batch.targets[cut].to(device)) / parts
                self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        return total

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides what follows, by name."""
        tensors = dict(self.network.state_dict())
        for name, parameter in self.network.named_parameters():
            momentum = self._optimiser.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[_MOMENTUM + name] = momentum
        # The head's dropout draws from it.
        tensors[_RANDOM + "cpu"] = torch.get_rng_state()
        if self.engine.device.type == "cuda":
            tensors[_RANDOM + "cuda"] = torch.cuda.get_rng_state(self.engine.device)
        return tensors

    def _restore(self, state: State) -> None:
        tensors = state.tensors
        for name, value in self.tensors().items():
            if name not in tensors or tensors[name].shape != value.shape:
                raise CheckpointError(state.path, f"does not fit the classifier ({name}); resume with its own data")
        self.network.load_state_dict({name: tensors[name] for name in self.network.state_dict()})
        for name, parameter in self.network.named_parameters():
            if _MOMENTUM + name in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[_MOMENTUM + name])
                self._optimiser.state[parameter]["momentum_buffer"] = buffer
        self._scaler.load_state_dict(state.progress.scaler)
        torch.set_rng_state(tensors[_RANDOM + "cpu"])
        if self.engine.device.type == "cuda":
            torch.cuda.set_rng_state(tensors[_RANDOM + "cuda"], self.engine.device)
