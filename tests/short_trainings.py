"""A training of a few updates, for the tests that train end to end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fassd.core.checkpoint import read_checkpoint
from fassd.core.recipe import Recipe, recipe_from
from fassd.core.types import Event

RECIPE = {
    "network": "fassd-net-l2",
    "iterations": 4,
    "batch_size": 2,
    "precision": "float32",
    "validate_every": 2,
    "augmentation": {"crop_size": (64, 64), "scale": (0.9, 1.5)},
    "loss": {"min_kept": 512},
}


def recipe(**changes: Any) -> Recipe:
    """A few updates on small crops."""
    return recipe_from({**RECIPE, **changes}, "test")


def arrays_in(path: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_checkpoint(path).arrays.items()}


class Stopped(Exception):
    """Stands for whatever ends a run from outside."""


def stop_after(step: int) -> Callable[[Event], None]:
    def watch(event: Event) -> None:
        if event.kind == "iteration" and event.values["iteration"] == step + 1:
            raise Stopped

    return watch
