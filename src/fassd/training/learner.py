"""What learns: the network, and what only its training has."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from fassd.core.recipe import Recipe
from fassd.networks.network import DecoderStage, SegmentationNetwork


class Learner(nn.Module):
    """A network with a classifier of its own on each decoder step, where the recipe asks for auxiliary losses.

    Args:
        network: is trained in place.
        recipe: says whether there are auxiliary losses, and whether the encoder is frozen.
    """

    def __init__(self, network: SegmentationNetwork, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self._frozen = recipe.optimiser.encoder_rate == 0
        steps = [step for step in network.decoder if isinstance(step, DecoderStage)] if recipe.loss.auxiliary else []
        self.heads = nn.ModuleList(nn.Conv2d(step.out_channels, network.classes, 1) for step in steps[:-1])
        generator = torch.Generator().manual_seed(recipe.seed)
        for head in self.heads:
            assert isinstance(head, nn.Conv2d)
            assert head.bias is not None
            nn.init.xavier_normal_(head.weight, generator=generator)
            nn.init.zeros_(head.bias)

    def train(self, mode: bool = True) -> Self:
        """As of any module, but that the norms of a frozen encoder keep their statistics."""
        super().train(mode)
        if self._frozen:
            self.network.encoder.eval()
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """Normalised images -> the network's logits, then those of the auxiliary classifiers, all coarse."""
        *steps, last = self.network.decoded(images)
        auxiliary = [head(features) for head, features in zip(self.heads, steps, strict=False)]
        return [self.network.classifier(last), *auxiliary]
