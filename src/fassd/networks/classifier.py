"""The encoder with a classification head, for pre-training on ImageNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fassd.networks.network import Encoder
from fassd.networks.specs import NetworkSpec

HEAD_DROPOUT = 0.1
"""Dropout rate in training, as in the published code of HarDNet-68 (Chao et al., ICCV 2019)."""


class Classifier(nn.Module):
    """HarDNet: the encoder, the mean over the coarsest map, dropout, one linear layer.

    Args:
        spec: the row whose encoder it is.
        classes: number of outputs, at least 2.
    """

    def __init__(self, spec: NetworkSpec, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.encoder = Encoder(spec)
        self.dropout = nn.Dropout(HEAD_DROPOUT)
        self.head = nn.Linear(spec.stages[-1].width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images to logits.

        Args:
            images: (N, 3, H, W) floating point, normalized, sides at least `spec.minimum_side`.

        Returns:
            (N, classes).

        Raises:
            UsageError: a side is too short.
        """
        self.spec.check_size(images.shape[2], images.shape[3], "the image")
        features, _ = self.encoder(images)
        logits: Tensor = self.head(self.dropout(features.mean((2, 3))))
        return logits


def init_classifier(spec: NetworkSpec, classes: int, seed: int = 0) -> Classifier:
    """A classifier with initial weights by He et al. (ICCV 2015), which keep the variance through ReLUs."""
    network = Classifier(spec, classes)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=generator)
    nn.init.normal_(network.head.weight, std=0.01, generator=generator)
    nn.init.zeros_(network.head.bias)
    return network
