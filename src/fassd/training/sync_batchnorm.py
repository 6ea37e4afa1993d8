"""BatchNorm layers whose statistics are those of all processes together, on any device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist


class _Sum(torch.autograd.Function):
    """The sum over all processes. Its gradient is a sum too, since every input reaches every output."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class SyncBatchNormOnCpu(nn.BatchNorm2d):
    """Batch normalization over the images of all processes, on CPUs, which PyTorch's SyncBatchNorm does not support.

    Every process has the same number of values.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        if not self.training:
            return super().forward(features)
        exact = features.double() if features.dtype == torch.float64 else features.float()
        processes = dist.get_world_size()
        count = processes * exact.numel() // exact.shape[1]
        # Two sums, the second about the common mean: E[x^2] - E[x]^2 would lose digits.
        mean = _Sum.apply(exact.mean((0, 2, 3))) / processes  # type: ignore[no-untyped-call]
        centered = exact - mean[:, None, None]
        variance = _Sum.apply(centered.square().mean((0, 2, 3))) / processes  # type: ignore[no-untyped-call]
        self._update_running_statistics(mean.detach(), variance.detach() * count / max(1, count - 1))
        scale = torch.rsqrt(variance + self.eps) * self.weight
        normalized: Tensor = centered * scale[:, None, None] + self.bias[:, None, None]
        return normalized.to(features.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, variance: Tensor) -> None:
        """As `nn.BatchNorm2d` does."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)


def convert_sync_batchnorm(model: nn.Module, device: torch.device) -> None:
    """Makes every BatchNorm layer share its statistics over all processes, in place; names and values stay."""
    if device.type != "cpu":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNormOnCpu
