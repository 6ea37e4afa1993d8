"""Trainings that several files test."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tasks.short_trainings import recipe

from fassd.core.types import Event
from fassd.tasks.train import train
from fassd.tasks.training_order import TrainingOrder
from fassd.training.curves import Curves


@pytest.fixture(scope="session")
def finished(camvid_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """The folder of a run that went through, with curves and TensorBoard, and its events; not to be changed."""
    out, events = tmp_path_factory.mktemp("finished") / "run", list[Event]()
    train(TrainingOrder(recipe(), [f"camvid:{camvid_root}"], out, workers=0), events.append)
    return out, events


@pytest.fixture
def order(
    finished: tuple[Path, list[Event]], camvid_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainingOrder:
    """Train on the made CamVid, into a fresh folder, without what takes longer than the training."""
    monkeypatch.setattr(Curves, "draw", lambda self: None)
    return TrainingOrder(recipe(), [f"camvid:{camvid_root}"], tmp_path / "run", workers=0, trackers=())
