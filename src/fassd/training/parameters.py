"""Which parameters learn, how fast, and which of them decay."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fassd.core.recipe import Optimiser

FACTOR = "rate_factor"
"""The key of a group's factor on the scheduled rate."""


def optimiser_of(learner: nn.Module, values: Optimiser) -> torch.optim.SGD:
    """Stochastic gradient descent over the parameters that learn.

    Args:
        learner: its parameters under `network.encoder.` learn at the encoder's rate; those of a factor 0 are frozen.
        values: of the recipe.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in learner.named_parameters():
        factor = values.encoder_rate if name.startswith("network.encoder.") else 1.0
        if not factor:
            parameter.requires_grad_(False)
            continue
        # Norms, slopes and biases have one dimension; weights of convolutions four.
        decay = values.decay if values.decay_all or parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, FACTOR: factor, "weight_decay": decay} for (factor, decay), parameters in groups.items()
    ]
    return torch.optim.SGD(described, values.rate, values.momentum)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of the next update, each group's by its factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group[FACTOR]
