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
        work: a bar's text, by the kind of event; `{name}` in it stands for the event's value of that name, and events
            whose texts differ get different bars. Events have `done` and `total`; kinds not listed are ignored.
        quiet: draws nothing, as where standard error is no terminal.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as progress:

        def advance(event: Event) -> None:
            if event.kind not in work:
                return
            text = work[event.kind].format_map(event.values)
            if text not in bars:
                bars[text] = progress.add_task(escape(text))
            progress.update(bars[text], completed=event.values["done"], total=event.values["total"])

        yield advance
