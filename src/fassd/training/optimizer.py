"""The optimizer (SGD with parameter groups), the learning-rate schedule, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fassd.core.recipe import Optimizer
from fassd.networks.network import SegmentationNetwork

LR_MULT = "lr_mult"
"""The key of a parameter group's factor on the scheduled learning rate."""


def build_optimizer(model: nn.Module, values: Optimizer) -> torch.optim.SGD:
    """Stochastic gradient descent over the parameters that are trained.

    Args:
        model: parameters under `network.encoder.` have the encoder's learning rate, and are frozen where its factor
            is 0.
        values: of the recipe.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        lr_mult = values.encoder_lr_mult if name.startswith("network.encoder.") else 1.0
        if not lr_mult:
            parameter.requires_grad_(False)
            continue
        # BatchNorm layers, PReLU weights and biases have one dimension, weights of convolutions four.
        decay = values.weight_decay if values.decay_norm_and_bias or parameter.ndim > 1 else 0.0
        groups.setdefault((lr_mult, decay), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, LR_MULT: lr_mult, "weight_decay": decay}
        for (lr_mult, decay), parameters in groups.items()
    ]
    return torch.optim.SGD(described, values.lr, values.momentum)


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of the next iteration, multiplied by each group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[LR_MULT]


def poly_lr(initial: float, iteration: int, total: int, power: float = 0.9) -> float:
    """The learning rate of an iteration: initial * (1 - iteration / total) ** power.

    The paper prints (iter / total) ** 0.9, which would rise from 0: a misprint. The published code calls its
    scheduler before each iteration, so iteration n, counted from 1, uses this value at n.

    Args:
        initial: learning rate at the start.
        iteration: 0 to `total`.
        total: iterations of the run.
        power: 0.9 in the paper (Section IV-A).
    """
    return float(initial * (1 - iteration / total) ** power)


def scheduled_lr(optimizer: Optimizer, iteration: int, total: int) -> float:
    """The learning rate of an iteration by a recipe: poly, after a linear rise over the warm-up iterations.

    Args:
        optimizer: the recipe's.
        iteration: from 0. The published loop starts at 1; with our count its last iteration would have a rate of 0.
        total: iterations of the run.
    """
    rise = min(1.0, (iteration + 1) / (optimizer.warmup_iterations + 1))
    return rise * poly_lr(optimizer.lr, iteration, total, optimizer.power)


_Tensors = tuple[Tensor, ...] | list[Tensor]


def ema_of(network: SegmentationNetwork, decay: float) -> AveragedModel:
    """An exponential moving average of a network's weights and running statistics (Polyak & Juditsky, 1992).

    Call its `update_parameters(network)` after each iteration.

    Args:
        network: as it starts.
        decay: share of the average that is kept in each iteration, below 1. It rises to that value from 0.1, so that
            the first, untrained weights are forgotten soon.
    """
    return AveragedModel(network, multi_avg_fn=_rising_average(decay), use_buffers=True)


def _rising_average(decay: float) -> Callable[[_Tensors, _Tensors, Tensor | int], None]:
    @torch.no_grad()
    def average(means: _Tensors, values: _Tensors, iterations: Tensor | int) -> None:
        kept = min(decay, (1 + float(iterations)) / (10 + float(iterations)))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - kept)
            else:
                mean.copy_(value)

    return average
