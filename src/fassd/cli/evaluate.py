"""`fassd evaluate`: weights, or a folder of predictions, on labeled images -> scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.types import Watch
    from fassd.data.dataset import Dataset
    from fassd.runtimes.runtime import Runtime
    from fassd.scoring.conventions import Convention, GivenNumber
    from fassd.scoring.count import Report
    from fassd.scoring.evaluate import NetworkPredictions
    from fassd.scoring.prediction_files import FileAnswers
    from fassd.scoring.tta import TestTimeAugmentation

_FOLDER = click.Path(path_type=Path)


@dataclass(frozen=True)
class _Order:
    """What was asked for, beside the data."""

    weights: str | None
    predictions: Path | None
    ids: Literal["label", "train"] | None
    save_predictions: Path | None
    scales: str
    flip: bool
    borders: bool
    workers: int | None
    runtime: str
    device: str
    precision: str


@click.command("evaluate", short_help="Score weights, or a folder of predictions, on labeled images.")
@click.argument("weights", metavar="[WEIGHTS]", required=False)
@options.data
@click.option("--split", default="val", show_default=True, help="Which part of the data.")
@click.option("--predictions", type=_FOLDER, metavar="FOLDER", help="Score these PNGs instead of WEIGHTS.")
@click.option(
    "--ids",
    type=click.Choice(["label", "train"]),
    help="What --predictions for cityscapes: hold.  [default: what predictions.json says, or label ids, and a sentence "
    "if they look like train ids]",
)
@click.option(
    "--save-predictions",
    type=_FOLDER,
    metavar="FOLDER",
    help="Keep the answers as PNGs; for cityscapes: as the official program and the test server take them. Run again, "
    "an interrupted evaluation goes on.",
)
@click.option("--report", type=_FOLDER, metavar="FOLDER", help="Write scores of every image, pictures and plots.")
@click.option("--explain", metavar="NUMBER", help="Find the convention that gives this score, 76.3 or 0.763.")
@click.option("--scales", default="1", show_default=True, metavar="LIST", help="Average over these scales: 0.5,1,2.")
@click.option("--flip", is_flag=True, help="Average over the mirrored picture as well.")
@click.option(
    "--borders/--no-borders",
    default=True,
    show_default=True,
    help="Boundary IoU and the trimap curve too.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads that score --predictions.  [default: as many as there are cores]",
)
@options.runtime
@options.device
@options.precision
@options.as_json
def evaluate_command(
    data: tuple[str, ...], split: str, report: Path | None, explain: str | None, as_json: bool, **order: Any
) -> int:
    """Score WEIGHTS (a shipped name or a checkpoint file), or a folder of predictions, on labeled images.

    One integer confusion matrix over the whole split, at the labels' own resolution; each picture is looked at once,
    as it is, unless --scales or --flip say otherwise. Ignored pixels never count; classes that occur neither in labels
    nor answers are left out of the mean. Partially annotated frames are reported apart. Data in Cityscapes' layout also
    get the official scores. With --explain, exit code 1 says that no convention gives the number.
    """
    from fassd.checks.quick_check import quick_check
    from fassd.scoring.conventions import parse_number
    from fassd.scoring.report import check_report_folder

    asked = _Order(**order)
    number = None if explain is None else parse_number(explain)
    _check(asked, len(data), report is not None or number is not None)
    if report is not None:
        check_report_folder(report)
    values, found = [], None
    with _progress(as_json) as bar, _opened(asked, data, split) as (datasets, answer):
        if asked.predictions is None:  # there, every label file is read within seconds, and no photo at all
            for dataset in datasets:
                quick_check(dataset)
        for dataset in datasets:
            scored, answers = answer(dataset, bar(f"{dataset.spec} {split}"))
            values.append(scored.as_json(asked.weights))
            if report is not None:
                _write_report(report, scored, asked, answers, bar("drawing the worst images"))
            if number is not None:
                found = _explain(number, scored, answers, bar("scoring other ways"))
                values[-1]["explained"] = _explained(number, found)
    if as_json:
        click.echo(json.dumps(values[0] if len(values) == 1 else values, indent=2))
    else:
        _print(values, found, number, report)
    return 0 if number is None or any(number.is_met_by(one.score or 0.0) for one in found or ()) else 1


def _check(order: _Order, data: int, folder_or_number: bool) -> None:
    from fassd.core.errors import UsageError

    if (order.weights is None) == (order.predictions is None):
        given = "both WEIGHTS and --predictions" if order.weights else "neither WEIGHTS nor --predictions"
        raise UsageError(f"{given} were given; name one of them: what is to be scored")
    if order.predictions is not None and (order.scales != "1" or order.flip or order.save_predictions):
        raise UsageError(
            "--scales, --flip and --save-predictions are for WEIGHTS; --predictions are scored as they are"
        )
    if order.weights is not None and order.ids is not None:
        raise UsageError("--ids says what --predictions hold; there are none")
    if data > 1 and (order.predictions or order.save_predictions or folder_or_number):
        raise UsageError("--predictions, --save-predictions, --report and --explain take a single --data")


_Answering = Callable[["Dataset", "Watch"], tuple["Report", "NetworkPredictions | FileAnswers"]]


@contextmanager
def _opened(order: _Order, data: tuple[str, ...], split: str) -> Iterator[tuple[list[Dataset], _Answering]]:
    """The data sets, all opened before the first is scored, and what scores one."""
    if order.predictions is not None:
        from fassd.scoring.prediction_files import open_predicted

        datasets = [open_predicted(order.predictions, spec, split) for spec in data]
        yield datasets, lambda dataset, watch: _score_folder(order, dataset, watch)
        return
    from fassd.core.files import check_writable
    from fassd.data.open_dataset import open_dataset
    from fassd.runtimes.open import open_runtime
    from fassd.scoring.prediction_files import RECORD
    from fassd.scoring.tta import parse_averaging

    assert order.weights is not None
    averaging = parse_averaging(order.scales, order.flip)
    if order.save_predictions is not None:
        check_writable(order.save_predictions / RECORD)
    with open_runtime(order.weights, runtime=order.runtime, device=order.device, precision=order.precision) as runtime:
        datasets = [open_dataset(spec, split, runtime.label_space) for spec in data]
        yield datasets, lambda dataset, watch: _score_network(order, runtime, averaging, dataset, watch)


def _score_folder(order: _Order, dataset: Dataset, watch: Watch) -> tuple[Report, FileAnswers]:
    import os

    from fassd.scoring.prediction_files import score_predictions

    assert order.predictions is not None
    workers = order.workers or os.cpu_count() or 1
    return score_predictions(order.predictions, dataset, order.ids, workers, watch, order.borders)


def _score_network(
    order: _Order, runtime: Runtime, averaging: TestTimeAugmentation, dataset: Dataset, watch: Watch
) -> tuple[Report, NetworkPredictions]:
    from fassd.scoring.evaluate import NetworkPredictions, evaluate_answers
    from fassd.scoring.prediction_files import SavedPredictions, order_of

    saved = None
    if order.save_predictions is not None:
        assert order.weights is not None
        saved = SavedPredictions(order.save_predictions, dataset, order_of(order.weights, runtime, averaging))
    answers = NetworkPredictions(runtime, dataset, averaging, saved)
    return evaluate_answers(answers, watch, order.borders), answers


def _write_report(
    folder: Path, report: Report, order: _Order, answers: NetworkPredictions | FileAnswers, watch: Watch
) -> None:
    from fassd.scoring.report import write_report

    write_report(folder, report, order.weights, answers.dataset, answers, watch)


def _explain(
    number: GivenNumber, report: Report, answers: NetworkPredictions | FileAnswers, watch: Watch
) -> list[Convention]:
    from fassd.scoring.conventions import explain

    return explain(number, report, answers, watch)


def _explained(number: GivenNumber, found: list[Convention]) -> dict[str, Any]:
    return {
        "number": number.value,
        "conventions": [
            {"convention": one.what, "score": one.score, "meets": number.is_met_by(one.score or 0.0)} for one in found
        ],
    }


def _print(
    values: list[dict[str, Any]], found: list[Convention] | None, number: GivenNumber | None, folder: Path | None
) -> None:
    from fassd.cli.evaluation_tables import print_explained, print_report

    for one in values:
        print_report(one)
    if number is not None:
        print_explained(number, found or [])
    if folder is not None:
        click.echo(f"report: {folder}")


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str], Watch]]:
    """Gives a watcher for each stage, which draws a bar where somebody looks."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:

        def bar(what: str) -> Watch:
            task = progress.add_task(escape(what), total=None)
            return lambda event: progress.update(task, completed=event.values["done"], total=event.values["total"])

        yield bar
