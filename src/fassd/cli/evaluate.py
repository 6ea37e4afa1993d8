"""`fassd evaluate`: weights, or a folder of predictions, on labeled images -> scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from fassd.cli import options
from fassd.cli.bars import progress_bars

_FOLDER = click.Path(path_type=Path)
_WORK = {"image": "{data} {split}", "drawn": "drawing the worst images", "explained": "trying other conventions"}


@click.command("evaluate", short_help="Score weights, or a folder of predictions, on labeled images.")
@click.argument("weights", metavar="[WEIGHTS]", required=False)
@options.data
@click.option("--split", default="val", show_default=True, help="Which part of the data.")
@click.option("--predictions", type=_FOLDER, metavar="FOLDER", help="Score these PNGs instead of WEIGHTS.")
@click.option(
    "--ids",
    type=options.Choice(["label", "train"], renamed={"raw": "label"}),
    help="What --predictions for cityscapes: hold.  [default: as predictions.json says, otherwise labelIds; suspected "
    "trainIds are refused]",
)
@click.option(
    "--save-predictions",
    type=_FOLDER,
    metavar="FOLDER",
    help="Save the predictions as PNGs; for cityscapes: as the official program and the test server take them. The "
    "same command resumes an interrupted evaluation.",
)
@click.option("--report", type=_FOLDER, metavar="FOLDER", help="Write scores of every image, drawings and plots.")
@click.option("--explain", metavar="NUMBER", help="Find the convention that gives this score, 76.3 or 0.763.")
@click.option("--scales", default="1", show_default=True, metavar="LIST", help="Average over these scales: 0.5,1,2.")
@click.option("--flip", is_flag=True, help="Average over mirrored images as well.")
@click.option(
    "--borders/--no-borders",
    default=True,
    show_default=True,
    help="Also compute boundary IoU and the trimap curve.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads that score --predictions.  [default: one for each core]",
)
@options.runtime
@options.device
@options.precision
@options.as_json
def evaluate_command(explain: str | None, as_json: bool, **chosen: Any) -> int:
    """Score WEIGHTS (a shipped name or a checkpoint file), or a folder of predictions, on labeled images.

    Scores come from one integer confusion matrix over the split, at the labels' own resolution. Every image is
    predicted once, at its own size; --scales and --flip average several views. Ignored pixels never count. Classes
    that occur in neither labels nor predictions are omitted from the mean. Partially annotated frames are reported
    apart. Data in Cityscapes' layout also get the official scores. With --explain, exit code 1 means that no
    convention gives the number.
    """
    from fassd.scoring.conventions import parse_number
    from fassd.tasks.evaluate import EvaluateConfig, evaluate

    number = None if explain is None else parse_number(explain)
    config = EvaluateConfig(**chosen, number=number)
    with progress_bars(_WORK, quiet=as_json) as watch:
        evaluations = evaluate(config, watch)
    values = [one.report.as_json(config.weights) for one in evaluations]
    found = evaluations[0].conventions or []
    if number is not None:
        conventions = [{"convention": one.what, "score": one.score, "meets": one.meets} for one in found]
        values[0]["explained"] = {"number": number.value, "conventions": conventions}
    if as_json:
        click.echo(json.dumps(values[0] if len(values) == 1 else values, indent=2))
    else:
        from fassd.cli.evaluation_tables import print_explained, print_report

        for one in values:
            print_report(one)
        if number is not None:
            print_explained(number, found)
        if config.report is not None:
            click.echo(f"report: {config.report}")
    return 0 if number is None or any(one.meets for one in found) else 1
