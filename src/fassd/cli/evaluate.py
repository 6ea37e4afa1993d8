"""`fassd evaluate`: weights on labelled images -> scores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.types import Event


_BAR_WIDTH = 40


@click.command("evaluate", short_help="Score weights on labelled images.")
@click.argument("weights", metavar="WEIGHTS")
@options.data
@click.option("--split", default="val", show_default=True, help="Which part of the data.")
@options.device
@options.precision
@options.as_json
def evaluate_command(
    weights: str,
    data: tuple[str, ...],
    split: str,
    device: str,
    precision: Literal["float32", "bfloat16"],
    as_json: bool,
) -> None:
    """Score WEIGHTS (a shipped name or a checkpoint file) on labelled images.

    One integer confusion matrix over the whole split, at the labels' own resolution, one scale. Classes that occur
    neither in labels nor answers are left out of the mean. Partly marked frames are reported apart.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fassd.data.kinds import open_dataset
    from fassd.runtimes.open import open_runtime
    from fassd.tasks.evaluate import evaluate

    reports = []
    console = Console(stderr=True)
    with (
        open_runtime(weights, device, precision) as runtime,
        Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as progress,
    ):
        for dataset in [open_dataset(spec, split, runtime.label_space) for spec in data]:
            bar = progress.add_task(f"{dataset.spec} {split}", total=len(dataset))

            def advance(event: Event, bar: Any = bar) -> None:
                progress.update(bar, completed=event.values["done"])

            reports.append(evaluate(runtime, dataset, advance).as_json(weights))
    if as_json:
        click.echo(json.dumps(reports[0] if len(reports) == 1 else reports, indent=2))
        return
    for report in reports:
        _print_report(report)


def _print_report(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    console.print(f"[bold]{escape(report['weights'])}[/] ({report['network']})", soft_wrap=True)
    console.print(f"on [bold]{escape(report['data'])}[/], split {report['split']}", soft_wrap=True)
    console.print(f"{report['runtime']}, {report['precision']}; one scale, labels' own resolution\n", style="dim")
    for part in [report, *report["partly_marked"]]:
        every = len(part["marked"]) == len(part["confusion"])
        some = f"only {len(part['marked'])} classes marked, the answer chosen among them"
        _print_part(console, part, "every class marked" if every else some)


def _print_part(console: Any, part: dict[str, Any], what: str) -> None:
    from rich.markup import escape
    from rich.table import Table

    console.print(f"{part['images']} images, {what}")
    table = Table(box=None, pad_edge=False)
    table.add_column("class")
    table.add_column("IoU, %", justify="right")
    table.add_column("")
    for name, score in part["iou"].items():
        bar = "" if score is None else "█" * round(score * _BAR_WIDTH)
        table.add_row(escape(name), "absent" if score is None else f"{score * 100:.1f}", f"[cyan]{bar}[/]")
    console.print(table)
    console.print(
        f"mean IoU [bold]{_percent(part['mean_iou'])}[/]   pixel accuracy {_percent(part['pixel_accuracy'])}\n"
    )


def _percent(value: float | None) -> str:
    return "none (no labelled pixel)" if value is None else f"{value * 100:.2f} %"
