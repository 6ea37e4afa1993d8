"""`scripts/ship_weights.py`: which weights of a run ship."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fassd.core.checkpoint import read_checkpoint
from fassd.core.recipe import recipe_from
from fassd.tasks.train import train
from fassd.training.curves import Curves
from fassd.training.run import Run
from fassd.training.setup import TrainConfig

SCRIPT = Path(__file__).parents[2] / "scripts" / "ship_weights.py"


@pytest.fixture
def script() -> ModuleType:
    if not SCRIPT.is_file():
        pytest.skip("installed without the project's scripts")
    spec = importlib.util.spec_from_file_location("ship_weights", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_best_and_last_are_averaged_unless_the_best_is_an_average_already(
    script: ModuleType, camvid_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, average: float
) -> None:
    monkeypatch.setattr(Curves, "draw", lambda self: None)
    values: dict[str, Any] = {
        "network": "fassd-net-l2",
        "iterations": 2,
        "batch_size": 2,
        "precision": "float32",
        "ema_decay": average,
        "augmentation": {"crop_size": (64, 64)},
        "loss": {"min_kept": 512},
    }
    config = TrainConfig(recipe_from(values, "test"), [f"camvid:{camvid_root}"], tmp_path, workers=0, trackers=())
    train(config)
    best, last = read_checkpoint(Run(tmp_path).best_path).arrays, Run(tmp_path).states.load().tensors
    for name, array in script.averaged(Run(tmp_path)).arrays.items():
        expected = best[name] if average else (best[name] + last[f"network.{name}"].numpy()) / 2
        assert np.array_equal(array, expected), name
