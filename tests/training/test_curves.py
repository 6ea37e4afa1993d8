from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.recipe import Recipe
from fassd.core.types import Event
from fassd.training import curves
from fassd.training.curves import Curves, draw_curves
from fassd.training.run import Run, RunInfo


@pytest.fixture
def run(tmp_path: Path, recipe: Recipe) -> Run:
    """A folder with a run that was just begun."""
    run = Run(tmp_path / "run")
    run.start(recipe, RunInfo("test", {}, [], "0"), "")
    return run


@pytest.mark.parametrize(("updates", "validations"), [(0, 0), (1, 0), (1, 1), (120, 3)])
def test_a_run_is_drawn_however_far_it_has_come(run: Run, updates: int, validations: int) -> None:
    pytest.importorskip("matplotlib")
    for step in range(1, updates + 1):
        run.log_iteration(step, 2 / step, 1.0, 0.01, 5.0)
    for step in range(1, validations + 1):
        run.log_validation(step * 40, {"mean_iou": 0.1 * step}, 0.1 * step, {"Sky": None})
    with Pillow.open(draw_curves(run)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (770, 990, 3)
    assert (pixels < 250).any()


def test_without_matplotlib_a_note_is_sent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    events: list[Event] = []
    monkeypatch.setattr(curves, "_PAUSE_S", 0.0)
    watch = Curves(run, events.append)
    watch(Event("validated", {}))
    watch.draw()
    assert [event.kind for event in events] == ["validated", "note"]
    assert "pip install 'fassd[plots]'" in events[1].values["text"]
    assert not (run.folder / "curves.png").exists()


def test_events_are_passed_on_and_curves_drawn_now_and_then(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Run] = []
    monkeypatch.setattr(curves, "draw_curves", drawn.append)
    events: list[Event] = []
    watch = Curves(run, events.append)
    told = [Event(kind, {}) for kind in ("started", "iteration", "validated", "saved")]
    for event in told:
        watch(event)
    assert (events, drawn) == (told, [])
    monkeypatch.setattr(curves, "_PAUSE_S", 0.0)
    for event in told:
        watch(event)
    assert drawn == [run]
