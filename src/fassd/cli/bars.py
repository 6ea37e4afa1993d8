"""Progress bars on a terminal, one for each kind of work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import TaskID

    from fassd.core.types import Event, Watch


@contextmanager
def progress_bars(work: Mapping[str, str], quiet: bool = False) -> Iterator[Watch]:
    """Draws a bar for each kind of event, from its first one on, until the block ends.

    Args:
        work: what a bar says, by the kind of event; these have `done` and `total`.
        quiet: draws nothing, as where standard error is no terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:

        def advance(event: Event) -> None:
            if event.kind not in bars:
                bars[event.kind] = progress.add_task(work[event.kind])
            progress.update(bars[event.kind], completed=event.values["done"], total=event.values["total"])

        yield advance
