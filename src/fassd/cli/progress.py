"""The progress of a training: a bar, or a line every 30 s where there is no terminal; a table for each validation."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from fassd.core.types import Event

_CLASSES_PER_ROW = 3
_LINE_EVERY_S = 30.0

_FIGURES = {"mean_iou": "mean IoU", "top_1": "top-1", "top_5": "top-5"}


class TrainingDisplay:
    """Shows the events of a run on standard error."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            TextColumn("left", style="progress.remaining"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._bar: Any = None
        self._started, self._last_line, self._first = 0.0, -_LINE_EVERY_S, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Receives an event."""
        values = event.values
        if event.kind == "started":
            self._show_start(values)
        elif event.kind == "note":
            self._console.print(values["text"], style="dim", soft_wrap=True)
        elif event.kind == "iteration":
            self._show_iteration(values)
        elif event.kind == "validated":
            self._show_validation(values)

    def _show_start(self, values: dict[str, Any]) -> None:
        self._progress.start()
        self._started, self._first = time.monotonic(), values["iteration"]
        self._bar = self._progress.add_task(
            "iterations", total=values["total"], completed=values["iteration"], figures=""
        )
        layers = len(values["kept_in_float32"])
        kept = f", {layers} layer{'s' * (layers > 1)} kept in float32" if layers else ""
        several = f" by {values['processes']} processes" if values["processes"] > 1 else ""
        self._console.print(f"training in {values['precision']}{several}{kept}", style="dim")
        if not values["validated"]:
            self._console.print("no validation: not every data set has a split 'val'")

    def _show_iteration(self, values: dict[str, Any]) -> None:
        figures = f"loss {values['loss']:.3f}  lr {values['lr']:.2g}  {values['images_per_second']:.1f} images/s"
        self._progress.update(self._bar, completed=values["iteration"], figures=figures)
        now, iteration, total = time.monotonic(), values["iteration"], self._progress.tasks[0].total
        if not self._console.is_terminal and (now - self._last_line >= _LINE_EVERY_S or iteration == total):
            self._last_line = now
            left_s = (now - self._started) / (iteration - self._first) * (total - iteration)
            line = f"iteration {iteration} of {total}: {figures.replace('  ', ', ')}, "
            self._console.print(f"{line}{timedelta(seconds=round(left_s))} left", soft_wrap=True)

    def _show_validation(self, values: dict[str, Any]) -> None:
        score, *_ = values["figures"].values()
        figures = ", ".join(f"{_FIGURES[name]} on val {figure:.2%}" for name, figure in values["figures"].items())
        best = "best so far" if score >= values["best"] else f"best {values['best']:.2%}"
        self._console.print(f"iteration {values['iteration']}: {figures} ({best})")
        if values["iou"]:
            self._console.print(_class_table(values["iou"]))


def _class_table(iou: dict[str, float | None]) -> Any:
    """The IoU of each class, several classes a row, read downwards."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(_CLASSES_PER_ROW):
        table.add_column(style="dim")
        table.add_column(justify="right", min_width=8)
    cells = [(name, "-" if score is None else f"{score:.2%}") for name, score in iou.items()]
    rows = -(-len(cells) // _CLASSES_PER_ROW)
    for row in range(rows):
        table.add_row(*(text for cell in cells[row::rows] for text in cell))
    return table
