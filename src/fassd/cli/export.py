"""`fassd export`: weights -> a file that others run, proven to answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.types import Event
    from fassd.exports.result import Exported


@click.command("export", short_help="Write a file for OpenVINO, ONNX or PyTorch, proven to answer alike.")
@click.argument("weights", metavar="WEIGHTS")
@click.option("--to", required=True, type=click.Choice(["onnx", "openvino", "torch"]), help="Who is to run the file.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="Of the weights and the arithmetic; int8 needs --calibrate.",
)
@click.option("--logits", is_flag=True, help="End in coarse logits instead of class maps.")
@click.option(
    "--calibrate",
    metavar="KIND:PATH|FOLDER",
    help="For int8: measure the ranges on a data set's split train, or on pictures; 100 at most.",
)
@click.option(
    "--at-most",
    type=float,
    metavar="POINTS",
    help="For int8 in OpenVINO: keep layers in floating point until the mean IoU on --data drops by no more.",
)
@click.option("--data", metavar="KIND:PATH", help="Compare on these images too, and by their labels' mean IoU.")
@click.option("--split", default="val", show_default=True, help="Which part of --data.")
@click.option(
    "--images",
    multiple=True,
    metavar="SOURCE",
    help="Compare on these: pictures, patterns, folders or data sets (KIND:PATH); may be repeated.  "
    "[default: two that ship]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ends in .onnx, .xml (with a .bin beside it) or .pt2.  [default: named after WEIGHTS, in this folder]",
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@options.as_json
def export_command(as_json: bool, **choices: Any) -> int:
    """Export WEIGHTS (a shipped name or a checkpoint file) to a file that takes 8-bit RGB images of any size, one or
    several at once, and gives their class maps.

    \b
    fassd export fassd-net-l2-street --to onnx
    fassd export mine.safetensors --to openvino --precision int8 --calibrate folder:PATH

    The file is run on real images of several sizes, and kept only if it answers as the weights do in PyTorch: 99.99 %
    of the pixels alike in float32, 99.5 % in bfloat16, 98 % in int8 (with labels: at most 0.5 points of mean IoU lost).
    Otherwise it is removed, and the exit code is 1. FILE.report.json and FILE.report.html tell what was compared; of a
    file that was refused, FILE.refused.json and FILE.refused.html do.
    """
    from rich.console import Console

    from fassd.exports.report import as_json as values_of
    from fassd.exports.result import ExportConfig
    from fassd.tasks.export import export

    console = Console(stderr=True)
    with console.status("reading the weights") if console.is_terminal and not as_json else _Silent() as status:

        def show(event: Event) -> None:
            status.update(_moment(event))

        done = export(ExportConfig(**choices), show)
    if as_json:
        click.echo(json.dumps(values_of(done), indent=2))
    else:
        _print(done)
    return 0 if done.kept else 1


class _Silent:
    """Shows nothing."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, text: str) -> None:
        """Takes what would be shown."""


def _moment(event: Event) -> str:
    if event.kind == "compared":
        return f"comparing: {event.values['done']} of {event.values['total']}"
    return "writing the file"


def _print(done: Exported) -> None:
    from fassd.exports.agreement import percent

    agreement = done.agreement
    page = done.reports[1]
    if not done.kept:
        click.echo(
            f"fassd: {done.path} was not written: it is farther from {done.order.weights} than {done.order.precision} "
            "may be",
            err=True,
        )
        for sentence in filter(None, (*agreement.told, done.drift.sentence if done.drift else "", done.remedy)):
            click.echo(f"  {sentence}", err=True)
        if done.path.exists():
            click.echo(f"  the earlier {done.path} and its report are as they were", err=True)
        click.echo(f"  {page} shows where they differ", err=True)
        return
    compared = f"{len(agreement.cases)} batches in float32 by {done.source.partition(' ')[0]}"
    click.echo(f"{done.path}: {done.order.to}, {done.order.precision}, {done.bytes / 1e6:.1f} MB", nl=False)
    click.echo(", the earlier file was replaced" if done.replaced else "")
    off = agreement.inner_differing
    click.echo(
        f"{percent(agreement.equal)} of the pixels as the source answers them ({compared}); "
        f"away from class borders {'all' if off == 0 else percent(1 - off)}"
    )
    if agreement.source_iou is not None and agreement.export_iou is not None:
        click.echo(
            f"mean IoU {agreement.export_iou:.2%}, the source's {agreement.source_iou:.2%} ({done.labeled_images})"
        )
    if floating := done.facts.get("floating_layers"):
        click.echo(f"in floating point: {', '.join(floating)}")
    click.echo(f"report: {page}")
