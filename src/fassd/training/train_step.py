"""What learns: the network, and what only its training has.

What one update of any training is: rate, forward, loss, backward, step; and everything of it that going on needs.

One update of a segmentation network: bootstrapped loss, auxiliary losses, the mean of the weights.

One update of a classifier of whole pictures: plain cross entropy.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fassd.core.checkpoint import BGR_NORMALIZATION, RGB_NORMALIZATION, Normalization
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.recipe import Recipe
from fassd.data.batches import Batch, Samples
from fassd.networks.classifier import Classifier
from fassd.networks.inference import normalize
from fassd.networks.network import DecoderStage, SegmentationNetwork
from fassd.training.distributed import Distributed
from fassd.training.loss import bootstrapped_cross_entropy, class_weights_of
from fassd.training.optimizer import averaged, optimizer_of, scheduled_rate, set_rate
from fassd.training.precision import find_unsafe_bf16_convs, precision_of
from fassd.training.state import State


class ModelWithAuxHeads(nn.Module):
    """A network with a classifier of its own on each decoder step, where the recipe asks for auxiliary losses.

    Args:
        network: is trained in place.
        recipe: says whether there are auxiliary losses, and whether the encoder is frozen.
    """

    def __init__(self, network: SegmentationNetwork, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self._frozen = recipe.optimizer.encoder_lr_mult == 0
        steps = [step for step in network.decoder if isinstance(step, DecoderStage)] if recipe.loss.aux_weight else []
        self.heads = nn.ModuleList(nn.Conv2d(step.out_channels, network.classes, 1) for step in steps[:-1])
        generator = torch.Generator().manual_seed(recipe.seed)
        for head in self.heads:
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.xavier_normal_(head.weight, generator=generator)
            nn.init.zeros_(head.bias)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but that the norms of a frozen encoder keep their statistics."""
        super().train(mode)
        if self._frozen:
            self.network.encoder.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalized images -> the network's logits, then those of the auxiliary classifiers, all coarse."""
        *steps, last = self.network.decoded(images)
        auxiliary = [head(features) for head, features in zip(self.heads, steps, strict=False)]
        return [self.network.classifier(last), *auxiliary]


_MOMENTUM, _RANDOM = "momentum.", "random."

N_co = TypeVar("N_co", bound=nn.Module, covariant=True)


def normalization_of(recipe: Recipe) -> Normalization:
    """What a network trained by this recipe expects as input."""
    return RGB_NORMALIZATION if recipe.channel_order == "rgb" else BGR_NORMALIZATION


@dataclass(frozen=True)
class StepResult:
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


class TrainStep(ABC, Generic[N_co]):
    """A network with its optimizer, ready for one update after the other.

    What is learned, its loss, and what more a state holds are its subclasses' to say; they call `_begin` when all of
    it is there.

    Args:
        network: trained in place.
        learner: the module that is called, which holds the network and whatever else learns with it.
        recipe: every value.
        engine: processes and device.

    Raises:
        UsageError: the images of an update cannot be shared out evenly.
    """

    def __init__(self, network: N_co, learner: nn.Module, recipe: Recipe, engine: Distributed) -> None:
        _check_shares(recipe, engine)
        self.network, self.recipe, self.engine = network, recipe, engine
        self.normalization = normalization_of(recipe)
        learner.to(engine.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._learner = self._spread = learner
        self._optimizer = optimizer_of(learner, recipe.optimizer)
        self.precision, self.distrusted = precision_of(recipe.precision, engine.device), list[str]()
        self._scaler = torch.amp.GradScaler(engine.device.type, enabled=self.precision == torch.float16)

    @property
    def judged(self) -> N_co:
        """The network that is validated and kept."""
        return self.network

    @property
    def scaler(self) -> dict[str, int | float]:
        """The state of float16's scaler; empty in other precisions."""
        return dict(self._scaler.state_dict())

    def __call__(self, batch: Batch, step: int, asked: Callable[[], bool] = lambda: False) -> StepResult:
        """Makes update `step`, counted from 0, unless loss or gradient is not finite.

        Args:
            batch: this process's share of the images.
            step: decides the rate.
            asked: whether this process was asked to stop, looked at late, when the gradient is there; all get to know.
        """
        values = self.recipe.optimizer
        rate = scheduled_rate(values, step, self.recipe.iterations)
        set_rate(self._optimizer, rate)
        self._optimizer.zero_grad(set_to_none=True)
        parts = batch.parts(self.recipe.accumulation_steps)
        with self._room():
            own = sum(self._backward(part, part is parts[-1]) for part in parts)
        loss, stops = self.engine.total([own / self.engine.processes, asked()])
        self._scaler.unscale_(self._optimizer)
        gradients = [one.grad for one in self._learner.parameters() if one.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        gradient = float(norm)
        # float16's scaler passes over an update whose gradient overflowed, and scales less from then on.
        sound = math.isfinite(loss) and (math.isfinite(gradient) or self._scaler.is_enabled())
        if sound:
            if values.clip_grad_norm:
                torch.nn.utils.clip_grads_with_norm_(self._learner.parameters(), values.clip_grad_norm, norm)
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._moved()
        return StepResult(loss, gradient, rate, sound, math.isfinite(own), stops > 0)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that decides what follows, by name."""
        tensors = dict(self._learner.state_dict())
        for name, parameter in self._learner.named_parameters():
            momentum = self._optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[_MOMENTUM + name] = momentum
        tensors[_RANDOM + "cpu"] = torch.get_rng_state()
        if self.engine.device.type == "cuda":
            tensors[_RANDOM + "cuda"] = torch.cuda.get_rng_state(self.engine.device)
        return tensors

    @abstractmethod
    def _loss(self, output: Any, part: Batch) -> Tensor:
        """The mean loss of some images.

        Args:
            output: what the learner said of them.
            part: the images, on the device.
        """

    def _moved(self) -> None:
        """The weights have moved: for what follows them."""

    def _begin(self, state: State | None) -> None:
        """Takes everything from a state, if there is one, and makes the learner ready to be called.

        Raises:
            CheckpointError: the state is of another network or class count.
        """
        if state is not None:
            # Random states are of the devices that a run began on; it may go on elsewhere, if not to the bit.
            own = {name: value for name, value in self.tensors().items() if not name.startswith(_RANDOM)}
            unfit = [name for name in own if name not in state.tensors or state.tensors[name].shape != own[name].shape]
            if unfit:
                raise CheckpointError(
                    state.path, f"does not fit the network ({unfit[0]}); resume with its own data and recipe"
                )
            self._restore(state)
        if self.precision == torch.bfloat16:
            with self._room():
                self.distrusted = find_unsafe_bf16_convs(self.network, self._blank())
            self._learner.train()
        if self.recipe.compile:
            self._learner.compile(dynamic=False)
        self._spread = self.engine.spread(self._learner)

    def _restore(self, state: State) -> None:
        """Takes everything from a state that fits."""
        tensors = state.tensors
        self._learner.load_state_dict({name: tensors[name] for name in self._learner.state_dict()})
        for name, parameter in self._learner.named_parameters():
            if _MOMENTUM + name in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[_MOMENTUM + name])
                self._optimizer.state[parameter]["momentum_buffer"] = buffer
        self._scaler.load_state_dict(state.progress.scaler)
        torch.set_rng_state(tensors[_RANDOM + "cpu"])
        if self.engine.device.type == "cuda" and _RANDOM + "cuda" in tensors:
            torch.cuda.set_rng_state(tensors[_RANDOM + "cuda"], self.engine.device)

    def _backward(self, part: Batch, last: bool) -> float:
        """Adds the gradient of a part of the update's images; returns its share of the loss."""
        device, reduced = self.engine.device, self.precision != torch.float32
        part = part.to(device)
        with nullcontext() if last else self.engine.without_exchange(self._spread):
            with torch.autocast(device.type, self.precision, enabled=reduced):
                output = self._spread(normalize(part.images, self.normalization))
            loss = self._loss(output, part) / self.recipe.accumulation_steps
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Says what to do where the memory is too small for an update."""
        try:
            yield
        except RuntimeError as error:
            # On a processor PyTorch has no class for it.
            if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
                raise
            height, width = self.recipe.augmentation.crop_size
            raise UsageError(
                f"the memory of {self.engine.device} is too small for an update of {self.recipe.batch_size} crops of "
                f"{width}x{height} in {self.recipe.accumulation_steps} parts: raise accumulation_steps, lower "
                "batch_size or augmentation.crop_size, or train with more processes; --dry-run tells what it takes"
            ) from None

    def _blank(self) -> Tensor:
        """Images as an update sees them, black."""
        images = self.recipe.batch_size // (self.engine.processes * self.recipe.accumulation_steps)
        shape = (images, *self.recipe.augmentation.crop_size, 3)
        return normalize(torch.zeros(shape, dtype=torch.uint8, device=self.engine.device), self.normalization)


def _check_shares(recipe: Recipe, engine: Distributed) -> None:
    shares = recipe.accumulation_steps * engine.processes
    if recipe.batch_size % shares:
        raise UsageError(
            f"batch_size {recipe.batch_size} cannot be split evenly: with {engine.processes} processes and "
            f"accumulation_steps {recipe.accumulation_steps} it must be a multiple of {shares}"
        )


_AVERAGE, _CLASS_WEIGHTS = "average.", "class_weights"


class SegmentationTrainStep(TrainStep[SegmentationNetwork]):
    """The network with its optimizer, ready for one update after the other.

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
        engine: Distributed,
        state: State | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(network, ModelWithAuxHeads(network, recipe), recipe, engine)
        self._average = averaged(network, recipe.ema_decay) if recipe.ema_decay else None
        self._class_weights: Tensor | None = None
        if state is None and recipe.loss.class_weights != "none":
            counted = class_weights_of(samples.labels(), network.classes)
            self._class_weights = torch.from_numpy(counted).to(engine.device)
        self._begin(state)

    @property
    def judged(self) -> SegmentationNetwork:
        """The network that is validated and kept: the mean over the updates where the recipe asks for one."""
        judged = self.network if self._average is None else self._average.module
        assert isinstance(judged, SegmentationNetwork)
        return judged

    def tensors(self) -> dict[str, Tensor]:
        """See `TrainStep.tensors`."""
        tensors = super().tensors()
        if self._average is not None:
            tensors |= {_AVERAGE + name: value for name, value in self._average.state_dict().items()}
        if self._class_weights is not None:
            tensors[_CLASS_WEIGHTS] = self._class_weights
        return tensors

    def _restore(self, state: State) -> None:
        super()._restore(state)
        tensors = state.tensors
        if self._average is not None:
            self._average.load_state_dict({name: tensors[_AVERAGE + name] for name in self._average.state_dict()})
        if _CLASS_WEIGHTS in tensors:
            self._class_weights = tensors[_CLASS_WEIGHTS].to(self.engine.device)

    def _moved(self) -> None:
        if self._average is not None:
            self._average.update_parameters(self.network)

    def _loss(self, output: list[Tensor], part: Batch) -> Tensor:
        first, *auxiliary = output
        loss = self._bootstrapped(first, part)
        if auxiliary:
            mean = torch.stack([self._bootstrapped(logits, part) for logits in auxiliary]).mean()
            loss = loss + self.recipe.loss.aux_weight * mean
        return loss

    def _bootstrapped(self, logits: Tensor, part: Batch) -> Tensor:
        values = self.recipe.loss
        return bootstrapped_cross_entropy(
            logits,
            part.labels,
            min_kept=values.min_kept,
            threshold=values.threshold,
            annotated=part.annotated,
            class_weights=self._class_weights,
        )


class ClassificationTrainStep(TrainStep[Classifier]):
    """A classifier with its optimizer, ready for one update after the other.

    Args:
        network: trained in place.
        recipe: every value.
        engine: processes and device.
        state: to go on from; None begins.

    Raises:
        UsageError: the images of an update cannot be shared out evenly.
        CheckpointError: the state is of another network or class count.
    """

    def __init__(self, network: Classifier, recipe: Recipe, engine: Distributed, state: State | None = None) -> None:
        # The head's dropout draws from it.
        torch.manual_seed(recipe.seed)
        super().__init__(network, network, recipe, engine)
        self._begin(state)

    def _loss(self, output: Tensor, part: Batch) -> Tensor:
        return F.cross_entropy(output.float(), part.labels)
