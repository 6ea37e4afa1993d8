"""Which parameters learn, how fast, and which of them decay.

The learning rate over a run: "poly" as the published code has it, after a warm-up where one is wanted.

The mean of the weights over the updates: steadier than the weights of any one of them (Polyak & Juditsky, 1992).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fassd.core.recipe import Optimizer
from fassd.networks.network import SegmentationNetwork

FACTOR = "rate_factor"
"""The key of a group's factor on the scheduled rate."""


def optimizer_of(learner: nn.Module, values: Optimizer) -> torch.optim.SGD:
    """Stochastic gradient descent over the parameters that learn.

    Args:
        learner: its parameters under `network.encoder.` learn at the encoder's rate; those of a factor 0 are frozen.
        values: of the recipe.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in learner.named_parameters():
        factor = values.encoder_lr_mult if name.startswith("network.encoder.") else 1.0
        if not factor:
            parameter.requires_grad_(False)
            continue
        # Norms, slopes and biases have one dimension; weights of convolutions four.
        decay = values.weight_decay if values.decay_norm_and_bias or parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, FACTOR: factor, "weight_decay": decay} for (factor, decay), parameters in groups.items()
    ]
    return torch.optim.SGD(described, values.lr, values.momentum)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of the next update, each group's by its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[FACTOR]


def poly_rate(initial: float, update: int, total: int, power: float = 0.9) -> float:
    """The rate of one update: initial * (1 - update / total) ** power.

    The paper prints (iter / total) ** 0.9, which would rise from 0: a misprint. The published code steps its
    scheduler before each update, so update number n, counted from 1, uses this value at n.

    Args:
        initial: rate at the start.
        update: number of the update, 0 to `total`.
        total: updates of the whole run.
        power: 0.9 in the paper (Section IV-A).
    """
    return float(initial * (1 - update / total) ** power)


def scheduled_rate(optimizer: Optimizer, update: int, total: int) -> float:
    """The rate of one update by a recipe: poly, risen to linearly over the first `warmup` updates.

    Args:
        optimizer: the recipe's.
        update: from 0. The published loop starts with 1; with ours its last update would not be lost to a rate of 0.
        total: updates of the whole run.
    """
    rise = min(1.0, (update + 1) / (optimizer.warmup_iterations + 1))
    return rise * poly_rate(optimizer.lr, update, total, optimizer.power)


_Tensors = tuple[Tensor, ...] | list[Tensor]
_Mean = Callable[[_Tensors, _Tensors, Tensor | int], None]


def averaged(network: SegmentationNetwork, share: float) -> AveragedModel:
    """An exponential mean of a network's weights and running statistics, to be told of each update.

    Args:
        network: as it begins.
        share: of the mean that stays at each update, below 1. It grows to that from 0.1, so that the first updates,
            which know nothing yet, are forgotten soon.
    """
    return AveragedModel(network, multi_avg_fn=_mean(share), use_buffers=True)


def _mean(share: float) -> _Mean:
    @torch.no_grad()
    def move(means: _Tensors, values: _Tensors, updates: Tensor | int) -> None:
        kept = min(share, (1 + float(updates)) / (10 + float(updates)))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - kept)
            else:
                mean.copy_(value)

    return move
