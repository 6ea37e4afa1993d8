"""The units that networks are built of: convolution, BatchNorm and activation, as in the paper's code (ICPR 2020)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fassd.networks.specs import PRELU_NORM_EPSILON


class Conv(nn.Conv2d):
    """A convolution without bias whose padding keeps the size at stride 1.

    Attributes:
        full_precision: compute in float32 even under autocast, for processors whose bfloat16 convolution is wrong.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: int = 1,
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        padding = (dilation[0] * (kernel[0] // 2), dilation[1] * (kernel[1] // 2))
        super().__init__(in_channels, out_channels, kernel, stride, padding, dilation, bias=False)
        self.full_precision = False

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride))."""
        if not self.full_precision:
            return super().forward(features)
        with torch.autocast(features.device.type, enabled=False):
            return super().forward(features.to(self.weight.dtype))


class ConvReLU(nn.Module):
    """Convolution, BatchNorm, ReLU: HarDNet's unit."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: int = 1,
        dilation: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel, stride, dilation)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, ceil(H / stride), ceil(W / stride)), at least 0."""
        return F.relu(self.norm(self.conv(features)), inplace=True)


class PReLU(nn.PReLU):
    """PReLU with one weight per channel; several times as fast as PyTorch's when a processor trains in bfloat16."""

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        if not self.training or features.device.type != "cpu":
            return super().forward(features)
        activated: Tensor = _RowPReLU.apply(features, self.weight)  # type: ignore[no-untyped-call]
        return activated


class _RowPReLU(torch.autograd.Function):
    """Computes on image rows as long vectors: PyTorch loops over the channels of one pixel, which is too short."""

    @staticmethod
    def forward(context: Any, features: Tensor, weights: Tensor) -> Tensor:
        context.save_for_backward(features, weights)
        # Autocast would round the output of a convolution that is kept in full precision.
        with torch.autocast("cpu", enabled=False):
            return _maps(F.prelu(_rows(features), _repeated(weights, features)), features)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        features, weights = context.saved_tensors
        rows, of_rows = _rows(features), _rows(gradient)
        above = torch.ops.aten.threshold_backward(of_rows, rows, 0)
        below = of_rows - above
        of_features = above.addcmul_(below, _repeated(weights, features))
        of_weights = below.mul_(rows).sum(0, dtype=weights.dtype).view(-1, len(weights)).sum(0)
        return _maps(of_features, features), of_weights


def _rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) -> (N * H, W * C); a view if the maps are channels-last."""
    return maps.permute(0, 2, 3, 1).flatten(0, 1).flatten(1)


def _maps(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_rows`."""
    images, channels, height, width = like.shape
    return rows.view(images, height, width, channels).permute(0, 3, 1, 2)


def _repeated(weights: Tensor, features: Tensor) -> Tensor:
    """(C,) -> (W * C,), in the precision of the features."""
    return weights.to(features.dtype).repeat(features.shape[3])


class NormPReLU(nn.Module):
    """BatchNorm, then PReLU with one weight per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm: nn.Module = nn.BatchNorm2d(channels, eps=PRELU_NORM_EPSILON)
        self.activation = PReLU(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        activated: Tensor = self.activation(self.norm(features))
        return activated


class ConvPReLU(nn.Module):
    """Convolution, BatchNorm, PReLU: the MDA's unit."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: tuple[int, int], dilation: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        self.conv = Conv(in_channels, out_channels, kernel, dilation=dilation)
        self.norm: nn.Module = nn.BatchNorm2d(out_channels, eps=PRELU_NORM_EPSILON)
        self.activation = PReLU(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        activated: Tensor = self.activation(self.norm(self.conv(features)))
        return activated
