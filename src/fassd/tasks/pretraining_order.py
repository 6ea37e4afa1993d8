"""What a user orders a pre-training with, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fassd.core.errors import MissingSplit, UsageError
from fassd.core.recipe import Recipe, check_trained
from fassd.data.class_folders import ClassFolders, open_class_folders
from fassd.tasks.training_order import check_values


@dataclass(frozen=True)
class PretrainingOrder:
    """What the user asked for.

    Attributes:
        recipe: every value of the training.
        data: folder with train/CLASS/PICTURES and val/CLASS/PICTURES.
        out: folder of the run.
        resume: go on from the run's training state.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU where PyTorch finds one.
        workers: processes that prepare batches for each one that trains.
        trackers: that get the figures besides the run's folder; None means TensorBoard where it is installed.
        recipe_name: what the user called the recipe.
        overrides: the values in it that options replaced.
    """

    recipe: Recipe
    data: Path
    out: Path
    resume: bool = False
    device: str = "cpu"
    workers: int = 1
    trackers: Sequence[str] | None = None
    recipe_name: str = "recipe.toml"
    overrides: dict[str, Any] = field(default_factory=dict)


def gather_pictures(order: PretrainingOrder) -> tuple[ClassFolders, ClassFolders | None]:
    """The pictures of `train`, and of `val` where there are some, with the recipe checked.

    Raises:
        FassdError: something is wrong with them.
    """
    check_trained(order.recipe, "encoder", order.recipe_name)
    _check_plain(order.recipe)
    check_values(order.recipe, order.device)
    learned = open_class_folders(order.data, "train")
    try:
        return learned, open_class_folders(order.data, "val", learned.classes)
    except MissingSplit:
        return learned, None


def _check_plain(recipe: Recipe) -> None:
    """Refuses values that mean something to segmentation alone."""
    plain = {
        "average": (recipe.average, 0.0),
        "loss.class_weights": (recipe.loss.class_weights, "none"),
        "loss.auxiliary": (recipe.loss.auxiliary, 0.0),
        "optimiser.encoder_rate": (recipe.optimiser.encoder_rate, 1.0),
    }
    for key, (value, wanted) in plain.items():
        if value != wanted:
            raise UsageError(f"{key} is {value}, which pre-training does not have; leave it away or set it to {wanted}")
