"""One training iteration: learning rate, forward pass, loss, backward pass, optimizer step; for either task."""

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
from fassd.training.optimizer import build_optimizer, ema_of, scheduled_lr, set_lr
from fassd.training.precision import find_unsafe_bf16_convs, precision_of
from fassd.training.state import State

# Prefixes of tensor names in training states.
_MOMENTUM, _RANDOM, _EMA, _CLASS_WEIGHTS = "momentum.", "random.", "average.", "class_weights"

N_co = TypeVar("N_co", bound=nn.Module, covariant=True)


def normalization_of(recipe: Recipe) -> Normalization:
    """The input normalization of a network trained by this recipe."""
    return RGB_NORMALIZATION if recipe.channel_order == "rgb" else BGR_NORMALIZATION


@dataclass(frozen=True)
class StepResult:
    """The outcome of an iteration, over all processes.

    Attributes:
        loss: mean over the images of the iteration.
        grad_norm: L2 norm of the gradient before clipping.
        lr: learning rate of the iteration.
        is_finite: loss and gradient are finite and the weights were updated; otherwise the weights are unchanged.
        own_loss_is_finite: the loss of this process alone is finite.
        stop_requested: at least one process was asked to stop.
    """

    loss: float
    grad_norm: float
    lr: float
    is_finite: bool
    own_loss_is_finite: bool
    stop_requested: bool


class TrainStep(ABC, Generic[N_co]):
    """A network with its optimizer, called once for each iteration.

    Subclasses define the loss and the tensors that a training state holds beside the common ones. They call `_start`
    at the end of their `__init__`.

    Args:
        network: trained in place.
        model: the module that is called: the network, or a module that contains it.
        recipe: every value.
        distributed: processes and device.

    Raises:
        UsageError: the batch cannot be split evenly over processes and accumulation steps.
    """

    def __init__(self, network: N_co, model: nn.Module, recipe: Recipe, distributed: Distributed) -> None:
        parts = recipe.accumulation_steps * distributed.processes
        if recipe.batch_size % parts:
            raise UsageError(
                f"batch_size {recipe.batch_size} cannot be split evenly: with {distributed.processes} processes and "
                f"accumulation_steps {recipe.accumulation_steps} it must be a multiple of {parts}"
            )
        self.network, self.recipe, self.distributed = network, recipe, distributed
        self.normalization = normalization_of(recipe)
        model.to(distributed.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self._model = self._ddp_model = model
        self._optimizer = build_optimizer(model, recipe.optimizer)
        self.precision, self.unsafe_bf16_convs = precision_of(recipe.precision, distributed.device), list[str]()
        self._scaler = torch.amp.GradScaler(distributed.device.type, enabled=self.precision == torch.float16)

    @property
    def eval_model(self) -> N_co:
        """The network that is validated and saved as the best checkpoint."""
        return self.network

    @property
    def scaler(self) -> dict[str, int | float]:
        """The state of float16's gradient scaler; empty in other precisions."""
        return dict(self._scaler.state_dict())

    def __call__(self, batch: Batch, iteration: int, stop_requested: Callable[[], bool] = lambda: False) -> StepResult:
        """Trains on one batch. Loss or gradient not finite: the weights stay unchanged.

        Args:
            batch: this process's share of the images.
            iteration: counted from 0; determines the learning rate.
            stop_requested: whether this process was asked to stop. Read after the backward pass, shared with all.
        """
        values = self.recipe.optimizer
        lr = scheduled_lr(values, iteration, self.recipe.iterations)
        set_lr(self._optimizer, lr)
        self._optimizer.zero_grad(set_to_none=True)
        parts = batch.parts(self.recipe.accumulation_steps)
        with self._explaining_out_of_memory():
            own_loss = sum(self._backward(part, part is parts[-1]) for part in parts)
        loss, stops = self.distributed.all_reduce_sum([own_loss / self.distributed.processes, stop_requested()])
        self._scaler.unscale_(self._optimizer)
        gradients = [one.grad for one in self._model.parameters() if one.grad is not None]
        total_norm = torch.nn.utils.get_total_norm(gradients)
        grad_norm = float(total_norm)
        # float16's scaler skips an iteration whose gradient overflowed, and lowers its scale.
        is_finite = math.isfinite(loss) and (math.isfinite(grad_norm) or self._scaler.is_enabled())
        if is_finite:
            if values.clip_grad_norm:
                torch.nn.utils.clip_grads_with_norm_(self._model.parameters(), values.clip_grad_norm, total_norm)
            self._scaler.step(self._optimizer)
            self._scaler.update()
            self._after_optimizer_step()
        return StepResult(loss, grad_norm, lr, is_finite, math.isfinite(own_loss), stops > 0)

    def _backward(self, part: Batch, last: bool) -> float:
        """Adds the gradient of a part of the batch; returns its share of the loss."""
        device, reduced = self.distributed.device, self.precision != torch.float32
        part = part.to(device)
        with nullcontext() if last else self.distributed.without_grad_sync(self._ddp_model):
            with torch.autocast(device.type, self.precision, enabled=reduced):
                output = self._ddp_model(normalize(part.images, self.normalization))
            loss = self._loss(output, part) / self.recipe.accumulation_steps
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    @abstractmethod
    def _loss(self, output: Any, part: Batch) -> Tensor:
        """The mean loss over images.

        Args:
            output: of the model.
            part: the images, on the device.
        """

    def _after_optimizer_step(self) -> None:
        """Called when the weights have changed."""

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that a training state needs to resume bit-exactly, by name."""
        tensors = dict(self._model.state_dict())
        for name, parameter in self._model.named_parameters():
            momentum = self._optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                tensors[_MOMENTUM + name] = momentum
        tensors[_RANDOM + "cpu"] = torch.get_rng_state()
        if self.distributed.device.type == "cuda":
            tensors[_RANDOM + "cuda"] = torch.cuda.get_rng_state(self.distributed.device)
        return tensors

    def _start(self, state: State | None) -> None:
        """Loads a state, if there is one, and makes the model ready to be called.

        Raises:
            CheckpointError: the state is of another network or class count.
        """
        if state is not None:
            # Random states belong to a device. A run may resume on another one, though not bit-exactly.
            own = {name: value for name, value in self.tensors().items() if not name.startswith(_RANDOM)}
            unfit = [name for name in own if name not in state.tensors or state.tensors[name].shape != own[name].shape]
            if unfit:
                raise CheckpointError(
                    state.path, f"does not fit the network ({unfit[0]}); resume with the run's own data and recipe"
                )
            self._restore(state)
        if self.precision == torch.bfloat16:
            images = self.recipe.batch_size // (self.distributed.processes * self.recipe.accumulation_steps)
            shape = (images, *self.recipe.augmentation.crop_size, 3)
            with self._explaining_out_of_memory():
                black = torch.zeros(shape, dtype=torch.uint8, device=self.distributed.device)
                self.unsafe_bf16_convs = find_unsafe_bf16_convs(self.network, normalize(black, self.normalization))
            self._model.train()
        if self.recipe.compile:
            self._model.compile(dynamic=False)
        self._ddp_model = self.distributed.wrap_ddp(self._model)

    def _restore(self, state: State) -> None:
        """Loads a state that fits."""
        tensors = state.tensors
        self._model.load_state_dict({name: tensors[name] for name in self._model.state_dict()})
        for name, parameter in self._model.named_parameters():
            if _MOMENTUM + name in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[_MOMENTUM + name])
                self._optimizer.state[parameter]["momentum_buffer"] = buffer
        self._scaler.load_state_dict(state.progress.scaler)
        torch.set_rng_state(tensors[_RANDOM + "cpu"])
        if self.distributed.device.type == "cuda" and _RANDOM + "cuda" in tensors:
            torch.cuda.set_rng_state(tensors[_RANDOM + "cuda"], self.distributed.device)

    @contextmanager
    def _explaining_out_of_memory(self) -> Iterator[None]:
        """Replaces PyTorch's out-of-memory error by a sentence that says what to change."""
        try:
            yield
        except RuntimeError as error:
            # PyTorch has no class for it on CPUs.
            if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
                raise
            height, width = self.recipe.augmentation.crop_size
            raise UsageError(
                f"the memory of {self.distributed.device} is too small for an iteration of {self.recipe.batch_size} "
                f"crops of {width}x{height} in {self.recipe.accumulation_steps} parts: raise accumulation_steps, lower "
                "batch_size or augmentation.crop_size, or train with more processes; --dry-run estimates the memory"
            ) from None


class ModelWithAuxHeads(nn.Module):
    """A segmentation network with a 1x1 classifier on each decoder stage but the last, if the recipe has aux losses.

    Args:
        network: trained in place.
        recipe: says whether there are auxiliary losses, and whether the encoder is frozen.
    """

    def __init__(self, network: SegmentationNetwork, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self._encoder_is_frozen = recipe.optimizer.encoder_lr_mult == 0
        stages = [one for one in network.decoder if isinstance(one, DecoderStage)] if recipe.loss.aux_weight else []
        self.heads = nn.ModuleList(nn.Conv2d(stage.out_channels, network.classes, 1) for stage in stages[:-1])
        generator = torch.Generator().manual_seed(recipe.seed)
        for head in self.heads:
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.xavier_normal_(head.weight, generator=generator)
            nn.init.zeros_(head.bias)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but the BatchNorm layers of a frozen encoder keep their running statistics."""
        super().train(mode)
        if self._encoder_is_frozen:
            self.network.encoder.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalized images (N, 3, H, W) -> coarse logits: the network's, then those of the auxiliary heads."""
        *stages, last = self.network.decoded(images)
        auxiliary = [head(features) for head, features in zip(self.heads, stages, strict=False)]
        return [self.network.classifier(last), *auxiliary]


class SegmentationTrainStep(TrainStep[SegmentationNetwork]):
    """Trains a segmentation network: bootstrapped cross entropy, auxiliary losses, moving average of the weights.

    Args:
        network: trained in place.
        recipe: every value.
        samples: the class weights are counted in their labels.
        distributed: processes and device.
        state: to resume from; None starts.

    Raises:
        UsageError: the batch cannot be split evenly over processes and accumulation steps.
        CheckpointError: the state is of another network or class count.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        recipe: Recipe,
        samples: Samples,
        distributed: Distributed,
        state: State | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(network, ModelWithAuxHeads(network, recipe), recipe, distributed)
        self._ema = ema_of(network, recipe.ema_decay) if recipe.ema_decay else None
        self._class_weights: Tensor | None = None
        if state is None and recipe.loss.class_weights != "none":
            counted = class_weights_of(samples.labels(), network.classes)
            self._class_weights = torch.from_numpy(counted).to(distributed.device)
        self._start(state)

    @property
    def eval_model(self) -> SegmentationNetwork:
        """The network that is validated and saved: the moving average where the recipe has `ema_decay`."""
        eval_model = self.network if self._ema is None else self._ema.module
        assert isinstance(eval_model, SegmentationNetwork)
        return eval_model

    def tensors(self) -> dict[str, Tensor]:
        """See `TrainStep.tensors`."""
        tensors = super().tensors()
        if self._ema is not None:
            tensors |= {_EMA + name: value for name, value in self._ema.state_dict().items()}
        if self._class_weights is not None:
            tensors[_CLASS_WEIGHTS] = self._class_weights
        return tensors

    def _restore(self, state: State) -> None:
        super()._restore(state)
        if self._ema is not None:
            self._ema.load_state_dict({name: state.tensors[_EMA + name] for name in self._ema.state_dict()})
        if _CLASS_WEIGHTS in state.tensors:
            self._class_weights = state.tensors[_CLASS_WEIGHTS].to(self.distributed.device)

    def _after_optimizer_step(self) -> None:
        if self._ema is not None:
            self._ema.update_parameters(self.network)

    def _loss(self, output: list[Tensor], part: Batch) -> Tensor:
        values = self.recipe.loss
        losses = [
            bootstrapped_cross_entropy(
                logits,
                part.labels,
                min_kept=values.min_kept,
                threshold=values.threshold,
                annotated=part.annotated,
                class_weights=self._class_weights,
            )
            for logits in output
        ]
        return losses[0] + values.aux_weight * torch.stack(losses[1:]).mean() if losses[1:] else losses[0]


class ClassificationTrainStep(TrainStep[Classifier]):
    """Trains a classifier of images with plain cross entropy.

    Args:
        network: trained in place.
        recipe: every value.
        distributed: processes and device.
        state: to resume from; None starts.

    Raises:
        UsageError: the batch cannot be split evenly over processes and accumulation steps.
        CheckpointError: the state is of another network or class count.
    """

    def __init__(
        self, network: Classifier, recipe: Recipe, distributed: Distributed, state: State | None = None
    ) -> None:
        # For the dropout of the head.
        torch.manual_seed(recipe.seed)
        super().__init__(network, network, recipe, distributed)
        self._start(state)

    def _loss(self, output: Tensor, part: Batch) -> Tensor:
        return F.cross_entropy(output.float(), part.labels)
