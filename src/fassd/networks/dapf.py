"""DAPF: Dilated Asymmetric Pyramidal Fusion (Section III-B, Fig. 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fassd.networks.conv import ConvReLU
from fassd.networks.specs import DAPF_DILATIONS


class DAPF(nn.Module):
    """Context at four ranges; each dilated 3x3 convolution is split into a 3x1 and a 1x3.

    Args:
        channels: K, kept from input to output.
        alpha: the branches have K // alpha channels; the paper uses 2.
    """

    def __init__(self, channels: int, alpha: int) -> None:
        super().__init__()
        inner = channels // alpha
        self.near = ConvReLU(channels, inner, (1, 1))
        self.far = nn.ModuleList(
            nn.Sequential(
                ConvReLU(channels, inner, (3, 1), dilation=(dilation, 1)),
                ConvReLU(inner, inner, (1, 3), dilation=(1, dilation)),
            )
            for dilation in DAPF_DILATIONS
        )
        self.fuse = ConvReLU(inner * (1 + len(DAPF_DILATIONS)), channels, (1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, H, W) -> the same shape."""
        branches = [self.near(features), *(branch(features) for branch in self.far)]
        fused: Tensor = self.fuse(torch.cat(branches, 1))
        return fused
