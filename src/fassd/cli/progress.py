"""A training as it goes on: a bar for the updates, or now and then a line in a log; a table for each validation."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from fassd.core.types import Event

_ACROSS = 3
_LINE_EVERY_S = 30.0
"""Between two lines about updates where no terminal shows a bar."""

_FIGURES = {"mean_iou": "mean IoU", "top_1": "top-1", "top_5": "top-5"}


class TrainingDisplay:
    """Draws the events of a run."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            TextColumn("left", style="progress.remaining"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._bar: Any = None
        self._begun, self._said, self._first = 0.0, -_LINE_EVERY_S, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        values = event.values
        if event.kind == "begun":
            self._begin(values)
        elif event.kind == "note":
            self._console.print(values["text"], style="dim", soft_wrap=True)
        elif event.kind == "step":
            self._step(values)
        elif event.kind == "validated":
            self._validated(values)

    def _step(self, values: dict[str, Any]) -> None:
        facts = f"loss {values['loss']:.3f}  rate {values['rate']:.2g}  {values['images_per_second']:.1f} images/s"
        self._progress.update(self._bar, completed=values["step"], facts=facts)
        now, step, total = time.monotonic(), values["step"], self._progress.tasks[0].total
        if not self._console.is_terminal and (now - self._said >= _LINE_EVERY_S or step == total):
            self._said = now
            left = timedelta(seconds=round((now - self._begun) / (step - self._first) * (total - step)))
            self._console.print(f"update {step} of {total}: {facts.replace('  ', ', ')}, {left} left", soft_wrap=True)

    def _validated(self, values: dict[str, Any]) -> None:
        score, *_ = values["figures"].values()
        told = ", ".join(f"{_FIGURES[name]} on val {figure:.2%}" for name, figure in values["figures"].items())
        star = "best so far" if score >= values["best"] else f"best {values['best']:.2%}"
        self._console.print(f"update {values['step']}: {told} ({star})")
        if values["iou"]:
            self._console.print(_table(values["iou"]))

    def _begin(self, values: dict[str, Any]) -> None:
        self._progress.start()
        self._begun, self._first = time.monotonic(), values["step"]
        self._bar = self._progress.add_task("updates", total=values["total"], completed=values["step"], facts="")
        layers = len(values["kept_in_float32"])
        kept = f", {layers} layer{'s' * (layers > 1)} kept in float32" if layers else ""
        several = f" by {values['processes']} processes" if values["processes"] > 1 else ""
        self._console.print(f"training in {values['precision']}{several}{kept}", style="dim")
        if not values["validated"]:
            self._console.print("not validated on the way: not every data set has a split 'val'")


def _table(iou: dict[str, float | None]) -> Any:
    """The IoU of each class, several classes a line, read downwards."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in range(_ACROSS):
        table.add_column(style="dim")
        table.add_column(justify="right", min_width=8)
    cells = [(name, "-" if score is None else f"{score:.2%}") for name, score in iou.items()]
    lines = -(-len(cells) // _ACROSS)
    for line in range(lines):
        table.add_row(*(text for cell in cells[line::lines] for text in cell))
    return table
