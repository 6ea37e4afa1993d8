"""What `fassd train` and `fassd pretrain` share: options, the recipe that they name, what is printed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fassd.cli import options
from fassd.core.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from fassd.core.recipe import Recipe, Task
    from fassd.core.types import Watch
    from fassd.training.dry_run import DryRunEstimate
    from fassd.training.run import RunInfo
    from fassd.training.state import TrainerState

F = TypeVar("F", bound=Callable[..., Any])

_TASKS: dict[str | None, Task] = {"train": "segmentation", "pretrain": "classification"}
"""By command."""


def _list_recipes(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Prints the shipped recipes of a command, and exits."""
    if not wanted or context.resilient_parsing:
        return
    from fassd.core.recipe import read_recipe, read_values, shipped_recipes

    rows = [("recipe", "network", "iterations", "batch", "crop")]
    for name, path in shipped_recipes().items():
        network = read_values(path).get("network", "--network NAME")
        recipe = read_recipe(path, {"network": network})
        if recipe.task == _TASKS[context.info_name]:
            height, width = recipe.augmentation.crop_size
            rows.append((name, network, f"{recipe.iterations:,}", str(recipe.batch_size), f"{width}x{height}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if place > 1 else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
    context.exit()


_OPTIONS = (
    click.option(
        "--recipes",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_list_recipes,
        help="List the shipped recipes, and exit.",
    ),
    click.option(
        "--out",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Folder of the run: recipe, logs, curves, training states, best checkpoint.  [required unless --dry-run]",
    ),
    click.option("--network", default=None, metavar="NAME", help="Network; overrides the recipe's."),
    click.option("--iterations", type=int, default=None, help="Override the recipe's number of iterations."),
    click.option("--batch-size", type=int, default=None, help="Override the recipe's images per iteration."),
    options.renamed("--batch", "--batch-size"),
    click.option("--seed", type=int, default=None, help="Override the recipe's seed."),
    click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="Override any value: optimizer.lr=0.01."),
    click.option("--resume", is_flag=True, help="Resume the run in --out from its last state; needs no recipe."),
    click.option("--dry-run", is_flag=True, help="Write nothing; print recipe, sizes, measured time and memory."),
    click.option(
        "--track", multiple=True, metavar="NAME", help="tensorboard (default), wandb, mlflow, trackio or none."
    ),
    options.device,
    click.option(
        "--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that load data."
    ),
)


def training_options(command: F) -> F:
    """The options that both commands take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Resolved:
    """What a command line asks for, whatever is trained.

    Attributes:
        data: data sets of the training.
        run_info: how the run was started that is resumed; None for a new run.
        config: further arguments, for TrainConfig and PretrainConfig alike.
    """

    data: tuple[str, ...]
    run_info: RunInfo | None
    config: dict[str, Any]


def resolve(recipe: str | None, data: tuple[str, ...], data_form: str, given: dict[str, Any]) -> Resolved:
    """The recipe with its overrides, or that of the run which is resumed.

    Args:
        recipe: its name or file, if given.
        data: if given.
        data_form: what --data looks like, for messages.
        given: the other options.

    Raises:
        UsageError: something is missing, or contradicts the run.
        MissingExtra: PyTorch or Accelerate is not installed.
    """
    from fassd.core.processes import blocked_signals
    from fassd.core.recipe import check_task, locate_recipe, parse_values, read_recipe, read_values
    from fassd.networks.specs import NETWORKS

    command = click.get_current_context().info_name
    overrides = {key: given[key] for key in ("network", "iterations", "batch_size", "seed") if given[key] is not None}
    overrides |= parse_values(given["values"])
    run_info: RunInfo | None = None
    if not given["resume"]:
        usage = f"fassd {command} RECIPE --data {data_form} --out FOLDER starts a run"
        if recipe is None:
            raise UsageError(f"RECIPE is missing: {usage}")
        path = locate_recipe(recipe)
        if "network" not in overrides and "network" not in read_values(path):
            raise UsageError(f"the recipe {recipe} needs --network, one of {', '.join(NETWORKS)}")
        values = read_recipe(path, overrides)
        check_task(values, _TASKS[command], recipe)
        if not data:
            raise UsageError(f"--data is missing: {usage}")
    if given["out"] is None:
        if not given["dry_run"] or given["resume"]:
            raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'--out'", param_type="option")
        given["out"] = Path()
    try:
        # A signal that is raised while PyTorch loads may come out as its error, or abort the process.
        with blocked_signals(signal.SIGINT, signal.SIGTERM):
            import accelerate  # noqa: F401
            import torch  # noqa: F401

            import fassd.tasks.pretrain
            import fassd.tasks.train
            import fassd.training.dry_run  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "accelerate"):
            raise
        raise MissingExtra(error.name, "train", f"fassd {command}") from None
    if given["resume"]:
        from fassd.training.resume import continue_run

        weights = given.get("init_weights"), given.get("encoder_weights") and str(given["encoder_weights"])
        continued = continue_run(given["out"], recipe, overrides, data, weights)
        values, data, run_info = continued.recipe, continued.data, continued.info
        recipe, overrides = run_info.recipe_name, run_info.overrides
    config = {
        "recipe": values,
        "out": given["out"],
        "resume": given["resume"],
        "device": given["device"],
        "workers": given["workers"],
        "trackers": tuple(one for one in given["track"] if one != "none") if given["track"] else None,
        "recipe_name": recipe,
        "overrides": overrides,
    }
    return Resolved(data, run_info, config)


def run_training(task: Callable[[Watch], TrainerState], score: str, following: str) -> None:
    """Trains with a progress display, and prints the result.

    Args:
        task: the training; takes the watch that gets its events.
        score: name of the figure that decides which checkpoint is the best.
        following: printed last: the command that uses the result.
    """
    from fassd.cli.progress import TrainingDisplay
    from fassd.core.types import ignore_events

    if int(os.environ.get("RANK", "0")):
        # Of several processes only the first prints.
        task(ignore_events)
        return
    with TrainingDisplay() as display:
        state = task(display)
    if state.best_iteration:
        click.echo(f"best {score} on val {state.best_score:.2%} after iteration {state.best_iteration}")
    else:
        click.echo("never validated: the checkpoint holds the last weights")
    click.echo(following)


def print_estimate(recipe: Recipe, estimate: Callable[[], DryRunEstimate]) -> None:
    """The effective recipe, and what its training would take.

    Args:
        recipe: printed first, since measuring takes a while.
        estimate: measures.
    """
    from rich.console import Console
    from rich.table import Table

    from fassd.core.recipe import recipe_as_toml

    click.echo(recipe_as_toml(recipe))
    found = estimate()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("network", f"{recipe.network}, {found.parameters:,} parameters")
    table.add_row("images", f"{found.train_images:,} for training, {found.val_images:,} for validation")
    table.add_row("iterations", f"{recipe.iterations:,} of {recipe.batch_size} images: {found.epochs:.1f} epochs")
    if found.memory is not None:
        limit = f" of {found.available / 2**30:.1f} GiB" if found.available else ""
        table.add_row("memory", f"about {found.memory / 2**30:.1f} GiB{limit}")
    speed = recipe.batch_size / found.iteration_s
    table.add_row("one iteration", f"{found.iteration_s:.2f} s in {found.precision}, {speed:.1f} images/s")
    table.add_row("one validation", _duration(found.validation_s))
    table.add_row("training", f"about {_duration(found.total_s)} on {found.device} with one process")
    console = Console(highlight=False)
    console.print(table)
    if found.memory and found.available and found.memory > found.available:
        advice = "raise accumulation_steps, or lower batch_size or augmentation.crop_size"
        console.print(f"this does not fit into memory: {advice}", style="bold")
    click.echo("measured on a few iterations of one and two images; nothing was written")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
