"""The HarDBlock (Chao et al., *HarDNet: A Low Memory Traffic Network*, ICCV 2019, Fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fassd.networks.conv import ConvReLU
from fassd.networks.specs import plan_hard_block


class HarDBlock(nn.Module):
    """3x3 convolutions of growing width, each reading the earlier layers at distances of powers of two.

    The block's input is read but not part of its output.
    """

    def __init__(self, in_channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.plan = plan_hard_block(in_channels, growth, layers)
        self.layers = nn.ModuleList(
            ConvReLU(layer.in_channels, layer.out_channels, (3, 3)) for layer in self.plan.layers
        )
        self.out_channels = self.plan.out_channels

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, H, W) -> (N, out, H, W)."""
        outputs = [features]
        for layer, planned in zip(self.layers, self.plan.layers, strict=True):
            inputs = [outputs[link] for link in planned.links]
            outputs.append(layer(torch.cat(inputs, 1) if len(inputs) > 1 else inputs[0]))
        return torch.cat([outputs[layer] for layer in self.plan.output_layers], 1)
