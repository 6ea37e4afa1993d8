"""`--dry-run`: what a training would take."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fassd.core.errors import UsageError
from fassd.core.recipe import recipe_from
from fassd.networks.specs import network_by_name
from fassd.training import dry_run as rehearsing
from fassd.training.dry_run import _extrapolate, dry_run
from fassd.training.setup import TrainConfig

VALUES = {
    "network": "fassd-net-l2",
    "iterations": 100,
    "batch_size": 6,
    "accumulation_steps": 2,
    "validate_every": 30,
    "precision": "float32",
    "augmentation": {"crop_size": (64, 64)},
    "loss": {"min_kept": 512},
}


def test_a_dry_run_measures_and_leaves_nothing_behind(camvid_root: Path, tmp_path: Path) -> None:
    config = TrainConfig(recipe_from(VALUES, "test"), [f"camvid:{camvid_root}"], tmp_path / "run")
    found = dry_run(config)
    assert (found.train_images, found.val_images, found.epochs) == (4, 2, 150.0)
    assert (found.device, found.precision) == ("cpu", "float32")
    assert found.iteration_s > 0
    assert found.total_s == pytest.approx(100 * found.iteration_s + 4 * found.validation_s)
    assert found.memory is None or found.memory > 2**26
    assert found.parameters == sum(one.numel() for one in _network_parameters())
    assert list(tmp_path.iterdir()) == []


def _network_parameters() -> list[Any]:
    from fassd.networks.network import SegmentationNetwork

    return list(SegmentationNetwork(network_by_name("fassd-net-l2"), 11).parameters())


@pytest.mark.parametrize(
    ("points", "batch", "expected"),
    [
        ([(1, 2.0), (2, 3.0)], 8, 9.0),
        ([(1, 2.0)], 1, 2.0),
        ([(1, 3.0), (2, 2.0)], 8, 2.0),
        ([(1, 1.0), (2, 4.0)], 8, 16.0),
    ],
)
def test_measured_values_are_extrapolated_along_a_line(
    points: list[tuple[int, float]], batch: int, expected: float
) -> None:
    assert _extrapolate(points, batch) == expected


def test_a_validation_is_timed_when_what_compiles_has_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    durations = iter([500.0, 2.0])
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def score() -> int:
        clock[0] += next(durations)
        return 2

    unused: Any = None
    piece = rehearsing._Trial(unused, unused, (4, 10), unused, unused, score)
    assert rehearsing._seconds_per_validation(piece) == 10.0


def test_what_would_stop_the_training_stops_its_dry_run(tmp_path: Path, make_camvid: Callable[..., Path]) -> None:
    root = make_camvid(tmp_path / "data", {"train": 1})
    small = recipe_from({**VALUES, "augmentation": {"crop_size": (40, 64)}, "loss": {"min_kept": 5}}, "test")
    with pytest.raises(UsageError, match=r"augmentation\.crop_size is 64x40"):
        dry_run(TrainConfig(small, [f"camvid:{root}"], tmp_path / "run"))
