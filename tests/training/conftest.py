"""Small networks, recipes and samples to train with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parameters  # type: ignore[import-not-found]
import pytest
import torch
from tests.training.trainer import TrainerRun

from fassd.core.recipe import Augmentation, Loss, Optimizer, Recipe
from fassd.data.batches import Samples
from fassd.data.open_dataset import open_dataset
from fassd.networks.build import load_arrays
from fassd.networks.network import SegmentationNetwork
from fassd.networks.published import our_name
from fassd.networks.specs import network_by_name

GOLDEN = Path(__file__).parents[1] / "golden"

# On busy cores a second thread costs more waiting than it saves work.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden_start() -> Callable[[str], tuple[SegmentationNetwork, dict[str, Any]]]:
    """The network of `net-NAME.json` as the training case finds it, with what the authors' code did from there."""

    def start(name: str) -> tuple[SegmentationNetwork, dict[str, Any]]:
        described = json.loads((GOLDEN / f"net-{name}.json").read_text())
        network = SegmentationNetwork(network_by_name(described["network"]), described["classes"])
        arrays = {our_name(key): array for key, array in parameters.state(described["state"]).items()}
        load_arrays(network, arrays, GOLDEN, name)
        return network.train(), described["train"]

    return start


@pytest.fixture(scope="session")
def golden_batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Images in float64 and labels of the training case."""
    labels = torch.from_numpy(parameters.labels("train", 2, 128, 256, 19))
    labels[labels == parameters.IGNORE] = 255
    return torch.from_numpy(parameters.image("train", 2, 128, 256)).double(), labels


@pytest.fixture(scope="session")
def samples(camvid_root: Path) -> Samples:
    """Four made street pictures of 96x128."""
    return Samples([open_dataset(f"camvid:{camvid_root}", "train")])


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """Six updates on two crops of 64x64, a validation after every third."""
    return Recipe(
        network="baseline",
        iterations=6,
        batch_size=2,
        seed=5,
        precision="float32",
        validate_every=3,
        augmentation=Augmentation((64, 64), scale=(0.8, 1.2), color_jitter=0.2),
        loss=Loss(min_kept=512),
        optimizer=Optimizer(lr=0.02),
    )


@pytest.fixture(scope="session")
def whole(recipe: Recipe, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> TrainerRun:
    """A run of six updates from beginning to end; not to be changed."""
    training = TrainerRun(recipe, samples, tmp_path_factory.mktemp("whole"), lambda step: step / 10)
    training.go()
    return training
