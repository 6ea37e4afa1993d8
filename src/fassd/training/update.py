"""One update of a segmentation network: bootstrapped loss, auxiliary losses, the mean of the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from fassd.core.recipe import Recipe
from fassd.data.batches import Batch, Samples
from fassd.networks.network import SegmentationNetwork
from fassd.training.averages import averaged
from fassd.training.descent import Descent
from fassd.training.engine import Engine
from fassd.training.learner import Learner
from fassd.training.loss import bootstrapped_cross_entropy, class_weights_of
from fassd.training.state import State

_AVERAGE, _CLASS_WEIGHTS = "average.", "class_weights"


class Update(Descent[SegmentationNetwork]):
    """The network with its optimiser, ready for one update after the other.

    Args:
        network: trained in place.
        recipe: every value.
        samples: class weights are counted in them.
        engine: processes and device.
        state: to go on from; None begins.

    Raises:
        UsageError: the images of an update cannot be shared out evenly.
        CheckpointError: the state is of another network or class count.
    """

    def __init__(
        self,
        network: SegmentationNetwork,
        recipe: Recipe,
        samples: Samples,
        engine: Engine,
        state: State | None = None,
    ) -> None:
        torch.manual_seed(recipe.seed)
        super().__init__(network, Learner(network, recipe), recipe, engine)
        self._average = averaged(network, recipe.average) if recipe.average else None
        self._class_weights: Tensor | None = None
        if state is None and recipe.loss.class_weights != "none":
            counted = class_weights_of(samples.labels(), network.classes)
            self._class_weights = torch.from_numpy(counted).to(engine.device)
        self._begin(state)

    @property
    def judged(self) -> SegmentationNetwork:
        """The network that is validated and kept: the mean over the updates where the recipe asks for one."""
        judged = self.network if self._average is None else self._average.module
        assert isinstance(judged, SegmentationNetwork)
        return judged

    def tensors(self) -> dict[str, Tensor]:
        """See `Descent.tensors`."""
        tensors = super().tensors()
        if self._average is not None:
            tensors |= {_AVERAGE + name: value for name, value in self._average.state_dict().items()}
        if self._class_weights is not None:
            tensors[_CLASS_WEIGHTS] = self._class_weights
        return tensors

    def _restore(self, state: State) -> None:
        super()._restore(state)
        tensors = state.tensors
        if self._average is not None:
            self._average.load_state_dict({name: tensors[_AVERAGE + name] for name in self._average.state_dict()})
        if _CLASS_WEIGHTS in tensors:
            self._class_weights = tensors[_CLASS_WEIGHTS].to(self.engine.device)

    def _moved(self) -> None:
        if self._average is not None:
            self._average.update_parameters(self.network)

    def _loss(self, output: list[Tensor], part: Batch) -> Tensor:
        first, *auxiliary = output
        loss = self._bootstrapped(first, part)
        if auxiliary:
            mean = torch.stack([self._bootstrapped(logits, part) for logits in auxiliary]).mean()
            loss = loss + self.recipe.loss.auxiliary * mean
        return loss

    def _bootstrapped(self, logits: Tensor, part: Batch) -> Tensor:
        values = self.recipe.loss
        return bootstrapped_cross_entropy(
            logits,
            part.labels,
            kept=values.kept,
            threshold=values.threshold,
            marked=part.marked,
            class_weights=self._class_weights,
        )
