"""`curves.png`: loss, validation score and learning rate of a run over its iterations."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from fassd.core.files import written_whole
from fassd.core.types import Event, Watch
from fassd.training.run import Run

_INK, _FAINT, _LOSS, _SCORE, _LR = "#1f2328", "#d0d5db", "#2f6fb2", "#1a8a5a", "#b0672a"
# Iterations that are averaged at most, and seconds between two drawings at least.
_SMOOTHED, _PAUSE_S = 50, 60.0
_FIGURES = {"mean_iou": "mean IoU", "top_1": "top-1"}


def can_draw() -> bool:
    """Whether matplotlib (extra `plots`) is installed."""
    return find_spec("matplotlib") is not None


class Curves:
    """Passes a run's events on, and draws its curves after validations, at most once a minute.

    Args:
        run: whose curves.
        watch: gets the events.
    """

    def __init__(self, run: Run, watch: Watch) -> None:
        self._run, self._watch, self._drawn = run, watch, time.monotonic()

    def __call__(self, event: Event) -> None:
        """Receives an event."""
        self._watch(event)
        if event.kind == "validated" and can_draw() and time.monotonic() - self._drawn > _PAUSE_S:
            self.draw()

    def draw(self) -> None:
        """Draws now, or sends a note that matplotlib is missing."""
        if can_draw():
            draw_curves(self._run)
        else:
            text = "curves.png is not drawn: it needs matplotlib, pip install 'fassd[plots]'"
            self._watch(Event("note", {"text": text}))
        self._drawn = time.monotonic()


def draw_curves(run: Run) -> Path:
    """Draws the logs of a run so far; returns the path of the image.

    Raises:
        FileError: it cannot be written.
    """
    # Figure, not pyplot: no window system, no global state.
    from matplotlib.figure import Figure

    rows, validations = run.iterations(), run.validations()
    figure = Figure(figsize=(9, 7), layout="constrained", facecolor="white")
    loss, score, lr = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.2))
    iterations = np.array([row["iteration"] for row in rows])
    losses = np.array([row["loss"] for row in rows])
    _draw_loss(loss, iterations, losses)
    _draw_scores(score, validations)
    lr.plot(iterations, [row["lr"] for row in rows], color=_LR, linewidth=1.6)
    lr.set_ylabel("learning rate")
    lr.set_xlabel("iteration")
    lr.xaxis.get_major_locator().set_params(integer=True)
    for axes in (loss, score, lr):
        axes.grid(color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=9)
    loss.set_title(run.folder.resolve().name, loc="left", color=_INK, fontsize=13, fontweight="bold")
    path = run.folder / "curves.png"
    with written_whole(path) as temporary:
        figure.savefig(temporary, dpi=110)
    return path


def _draw_loss(axes: Any, iterations: np.ndarray[Any, Any], losses: np.ndarray[Any, Any]) -> None:
    axes.set_ylabel("loss")
    if not losses.size:
        return
    width = max(1, min(_SMOOTHED, losses.size // 10))
    smooth = np.convolve(losses, np.ones(width) / width, "valid")
    axes.plot(iterations, losses, color=_LOSS, alpha=0.25, linewidth=0.8)
    axes.plot(iterations[width - 1 :], smooth, color=_LOSS, linewidth=1.8, label=f"mean of {width} iterations")
    # A few outliers at the start would flatten the rest.
    axes.set_ylim(0, 1.05 * max(float(np.percentile(losses, 99)), float(smooth.max())))
    if width > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper right")


def _draw_scores(axes: Any, validations: list[dict[str, float]]) -> None:
    figure = next((one for one in _FIGURES if validations and one in validations[0]), "mean_iou")
    axes.set_ylabel(f"{_FIGURES[figure]} on val, %")
    if not validations:
        axes.text(0.5, 0.5, "not validated yet", transform=axes.transAxes, ha="center", color=_INK)
        return
    iterations = [row["iteration"] for row in validations]
    scores = [100 * row[figure] for row in validations]
    best = int(np.argmax(scores))
    axes.plot(iterations, scores, color=_SCORE, linewidth=1.8, marker="o", markersize=3.5)
    axes.plot(iterations[best], scores[best], color=_SCORE, marker="o", markersize=8)
    axes.set_ylim(0, 1.08 * max(scores) or 1)
    axes.set_title(
        f"best {scores[best]:.2f} % after iteration {iterations[best]:.0f}", loc="right", color=_INK, fontsize=10
    )
