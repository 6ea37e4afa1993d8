"""The mean of the weights over the updates: steadier than the weights of any one of them (Polyak & Juditsky, 1992)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from fassd.networks.network import SegmentationNetwork

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
