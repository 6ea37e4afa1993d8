"""`fassd export`: weights -> a file for other programs, compared with its source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.types import Event
    from fassd.exports.result import Exported


@click.command("export", short_help="Export a network to OpenVINO, ONNX or PyTorch, and verify the file.")
@click.argument("weights", metavar="WEIGHTS")
@click.option("--to", required=True, type=click.Choice(["onnx", "openvino", "torch"]), help="Target format.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="Of weights and arithmetic; int8 needs --calibrate.",
)
@click.option("--logits", is_flag=True, help="End in coarse logits instead of class maps.")
@click.option(
    "--calibrate",
    metavar="KIND:PATH|FOLDER",
    help="Calibration images for int8: the split train of a data set, or a folder; at most 100 are used.",
)
@click.option(
    "--max-iou-drop",
    type=float,
    metavar="POINTS",
    help="Maximum mean-IoU loss of int8 on --data (OpenVINO only); costly layers stay in float.",
)
@options.renamed("--at-most", "--max-iou-drop")
@click.option("--data", metavar="KIND:PATH", help="Compare on these labeled images as well, and their mean IoU.")
@click.option("--split", default="val", show_default=True, help="Split of --data.")
@click.option(
    "--images",
    multiple=True,
    metavar="SOURCE",
    help="Compare on these: images, patterns, folders or data sets (KIND:PATH); may be repeated.  "
    "[default: two that ship]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ends in .onnx, .xml (with a .bin beside it) or .pt2.  [default: named after WEIGHTS, in this folder]",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@options.as_json
def export_command(as_json: bool, **choices: Any) -> int:
    """Export WEIGHTS (a shipped name or a checkpoint file) to a file that takes 8-bit RGB images of any size, one or
    several at once, and gives their class maps.

    \b
    fassd export fassd-net-l2-street --to onnx
    fassd export mine.safetensors --to openvino --precision int8 --calibrate folder:PATH

    The file is run on real images of several sizes, and kept only if its class maps agree with the source's in PyTorch:
    99.99 % equal pixels in float32, 99.5 % in bfloat16, 98 % in int8 (with labels: at most 0.5 points of mean IoU
    lost). Otherwise it is removed, and the exit code is 1. The report is FILE.report.json and FILE.report.html; that of
    a refused file is FILE.refused.json and FILE.refused.html.
    """
    from rich.console import Console

    from fassd.exports.report import as_json as values_of
    from fassd.exports.result import ExportConfig
    from fassd.tasks.export import export

    # On a terminal only; elsewhere rich shows no status.
    with Console(stderr=True, quiet=as_json).status("reading the weights") as status:

        def show(event: Event) -> None:
            compared = event.kind == "compared"
            status.update(
                f"comparing: {event.values['done']} of {event.values['total']}" if compared else "writing the file"
            )

        done = export(ExportConfig(**choices), show)
    if as_json:
        click.echo(json.dumps(values_of(done), indent=2))
    else:
        _print(done)
    return 0 if done.kept else 1


def _print(done: Exported) -> None:
    from fassd.exports.agreement import percent_below_100

    agreement = done.agreement
    page = done.reports[1]
    if not done.kept:
        click.echo(
            f"fassd: {done.path} was not written: it differs from {done.config.weights} by more than "
            f"{done.config.precision} may",
            err=True,
        )
        drift = done.drift.sentence if done.drift else ""
        for sentence in filter(None, (*agreement.main_violations, drift, done.fix)):
            click.echo(f"  {sentence}", err=True)
        if done.path.exists():
            click.echo(f"  the earlier {done.path} and its report are unchanged", err=True)
        click.echo(f"  {page} shows where they differ", err=True)
        return
    replaced = ", the earlier file was replaced" if done.replaced else ""
    click.echo(f"{done.path}: {done.config.to}, {done.config.precision}, {done.bytes / 1e6:.1f} MB{replaced}")
    off = agreement.inner_differing
    compared = f"{len(agreement.cases)} batches, source in float32 by {done.source.partition(' ')[0]}"
    click.echo(
        f"{percent_below_100(agreement.equal)} of the pixels equal the source's ({compared}); "
        f"away from class borders {'all' if off == 0 else percent_below_100(1 - off)}"
    )
    if agreement.source_iou is not None and agreement.export_iou is not None:
        click.echo(
            f"mean IoU {agreement.export_iou:.2%}, the source's {agreement.source_iou:.2%} ({done.labeled_images})"
        )
    if floating := done.facts.get("floating_layers"):
        click.echo(f"in floating point: {', '.join(floating)}")
    click.echo(f"report: {page}")
