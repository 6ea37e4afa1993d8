"""ASPP (Chen et al., DeepLabV3+, ECCV 2018), which the paper's Table I compares with the DAPF."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fassd.networks.conv import ConvReLU
from fassd.networks.specs import ASPP_WIDTH, DAPF_DILATIONS


class ASPP(nn.Module):
    """A 1x1, three dilated 3x3 and a global pooling branch of 256 channels each, fused back to the input's width.

    The paper does not state the widths. Only 256 channels a branch, and K output channels, give its 3.85M parameters
    and 36.8 GFLOPs.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = ConvReLU(channels, ASPP_WIDTH, (1, 1))
        self.far = nn.ModuleList(
            ConvReLU(channels, ASPP_WIDTH, (3, 3), dilation=(dilation, dilation)) for dilation in DAPF_DILATIONS
        )
        self.whole = ConvReLU(channels, ASPP_WIDTH, (1, 1))
        self.fuse = ConvReLU(ASPP_WIDTH * (2 + len(DAPF_DILATIONS)), channels, (1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(N, K, H, W) -> the same shape."""
        whole = self.whole(F.adaptive_avg_pool2d(features, 1)).expand(-1, -1, *features.shape[2:])
        branches = [self.near(features), *(branch(features) for branch in self.far), whole]
        fused: Tensor = self.fuse(torch.cat(branches, 1))
        return fused
