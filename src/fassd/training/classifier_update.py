"""One update of a classifier of whole pictures: plain cross entropy."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fassd.core.recipe import Recipe
from fassd.data.batches import Batch
from fassd.networks.classifier import Classifier
from fassd.training.descent import Descent
from fassd.training.engine import Engine
from fassd.training.state import State


class ClassifierUpdate(Descent[Classifier]):
    """A classifier with its optimiser, ready for one update after the other.

    Args:
        network: trained in place.
        recipe: every value.
        engine: processes and device.
        state: to go on from; None begins.

    Raises:
        UsageError: the images of an update cannot be shared out evenly.
        CheckpointError: the state is of another network or class count.
    """

    def __init__(self, network: Classifier, recipe: Recipe, engine: Engine, state: State | None = None) -> None:
        # The head's dropout draws from it.
        torch.manual_seed(recipe.seed)
        super().__init__(network, network, recipe, engine)
        self._begin(state)

    def _loss(self, output: Tensor, part: Batch) -> Tensor:
        return F.cross_entropy(output.float(), part.labels)
