"""MDA: Multi-resolution Dilated Asymmetric module (Section III-C, Fig. 4)."""

from __future__ import annotations

from torch import Tensor, nn

from fassd.networks.conv import Conv, ConvPReLU, NormPReLU


class MDA(nn.Module):
    """Refines a decoder map with detail (3x3) and context (dilated 3x1, 1x3) at half the channels.

    The paper's text concatenates the two branches; the published code adds them, and only the sum gives the
    paper's 2.85M parameters, so they are added here.

    Args:
        channels: N, kept from input to output; the branches have N // 2.
        dilation: of the asymmetric branch: 8, 4, 2 from the deepest decoder stage (Table II).
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        inner = channels // 2
        self.enter = NormPReLU(channels)
        self.shrink = ConvPReLU(channels, inner, (3, 3))
        self.detail = ConvPReLU(inner, inner, (3, 3))
        self.context = nn.Sequential(
            ConvPReLU(inner, inner, (3, 1), (dilation, 1)),
            ConvPReLU(inner, inner, (1, 3), (1, dilation)),
        )
        self.join = NormPReLU(inner)
        self.expand = Conv(inner, channels, (1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, H, W) -> the same shape."""
        shrunk = self.shrink(self.enter(features))
        refined: Tensor = self.expand(self.join(self.detail(shrunk) + self.context(shrunk)))
        return features + refined
