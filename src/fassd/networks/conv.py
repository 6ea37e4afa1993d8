"""The convolutions everything is built of: size-keeping padding, one norm, one activation (facts: ICPR 2020 code)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fassd.networks.table import PRELU_NORM_EPSILON


class Conv(nn.Conv2d):
    """A convolution without bias whose padding keeps the size at stride 1.

    Attributes:
        full_precision: computed in float32 even under autocast, on processors where the reduced one is wrong.
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


class NormPReLU(nn.Module):
    """BatchNorm, then PReLU with one slope a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm: nn.Module = nn.BatchNorm2d(channels, eps=PRELU_NORM_EPSILON)
        self.activation = nn.PReLU(channels)

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
        self.activation = nn.PReLU(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        activated: Tensor = self.activation(self.norm(self.conv(features)))
        return activated
