from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fassd.core.errors import MissingExtra, UnknownName
from fassd.training import trackers
from fassd.training.trackers import Trackers, select_trackers


class Made:
    """A tracker that does as it is told."""

    requires_logging_directory = False

    def __init__(self, name: str) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []
        self.finished = False
        self.stuck = threading.Event()
        self.fails = False

    def start(self) -> None:
        """Nothing to begin."""

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Takes the recipe."""
        self.recipe = values

    def log(self, values: dict[str, float], step: int) -> None:
        """Takes figures, at once or never."""
        if self.fails:
            raise SystemExit("no connection")
        self.stuck.wait()
        self.logged.append((values, step))

    def finish(self) -> None:
        """The end."""
        self.finished = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    from accelerate import tracking

    one = Made("x")
    kind = type("Kind", (Made,), {"__new__": lambda *_: one, "__init__": lambda *_: None})
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "wandb", kind)
    return one


def test_figures_arrive_in_order_with_the_recipe(made: Made, tmp_path: Path) -> None:
    made.stuck.set()
    with Trackers(["wandb"], tmp_path, {"batch_size": 2}, pytest.fail) as track:
        for step in range(5):
            track({"loss": float(step)}, step)
    assert made.logged == [({"loss": float(step)}, step) for step in range(5)]
    assert (made.recipe, made.finished) == ({"batch_size": 2}, True)


def test_a_tracker_that_hangs_keeps_nobody_waiting(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "_FINISH_S", 0.01)
    began = time.monotonic()
    with Trackers(["wandb"], tmp_path, {}, pytest.fail) as track:
        for step in range(20_000):
            track({"loss": 1.0}, step)
    assert time.monotonic() - began < 60
    assert made.logged == []
    made.stuck.set()


def test_a_tracker_that_fails_is_reported_and_dropped(made: Made, tmp_path: Path) -> None:
    made.fails = True
    said: list[str] = []
    with Trackers(["wandb"], tmp_path, {}, said.append) as track:
        track({"loss": 1.0}, 1)
        while not said:
            time.sleep(0.01)
        track({"loss": 1.0}, 2)
    assert said == ["the tracker failed (SystemExit: no connection); training continues without it"]


def test_without_trackers_no_thread_is_started(tmp_path: Path) -> None:
    before = threading.active_count()
    with Trackers((), tmp_path, {}, pytest.fail) as track:
        track({"loss": 1.0}, 1)
        assert threading.active_count() == before


def test_an_unknown_tracker_is_refused_and_the_nearest_offered() -> None:
    with pytest.raises(UnknownName, match="did you mean tensorboard"):
        select_trackers(["tensorbord"])


def test_a_tracker_that_is_not_installed_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="--track mlflow needs the package 'mlflow'"):
        select_trackers(["mlflow"])
