"""What `fassd train` and `fassd pretrain` share: options, the recipe that they choose, what is printed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.recipe import Recipe, Task
    from fassd.core.types import Watch
    from fassd.training.dry_run import DryRunEstimate
    from fassd.training.run import RunInfo
    from fassd.training.state import TrainerState

F = TypeVar("F", bound=Callable[..., Any])

_TRAINED: dict[str | None, Task] = {"train": "segmentation", "pretrain": "classification"}


def _list_recipes(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Prints the recipes of a verb that ship, and leaves."""
    if not wanted or context.resilient_parsing:
        return
    from fassd.core.recipe import read_recipe, shipped_recipes

    found = {name: read_recipe(path) for name, path in shipped_recipes().items()}
    rows = [("recipe", "network", "updates", "batch", "crop")]
    for name, recipe in found.items():
        if recipe.task == _TRAINED[context.info_name]:
            height, width = recipe.augmentation.crop_size
            rows.append((name, recipe.network, f"{recipe.iterations:,}", str(recipe.batch_size), f"{width}x{height}"))
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
        help="List the recipes that ship, and exit.",
    ),
    click.option(
        "--out",
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help="Folder of the run: recipe, logs, curves, training states, best checkpoint.  [required but for --dry-run]",
    ),
    click.option("--network", default=None, help="Override the recipe's network."),
    click.option("--iterations", type=int, default=None, help="Override the recipe's number of updates."),
    click.option("--batch", "batch_size", type=int, default=None, help="Override the recipe's images an update."),
    click.option("--seed", type=int, default=None, help="Override the recipe's seed."),
    click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="Override any value: optimizer.lr=0.01."),
    click.option("--resume", is_flag=True, help="Go on from the run's last training state; --out alone is enough."),
    click.option("--dry-run", is_flag=True, help="Write nothing; print recipe, sizes, measured time and memory."),
    click.option(
        "--track", multiple=True, metavar="NAME", help="tensorboard (default), wandb, mlflow, trackio or none."
    ),
    options.device,
    click.option(
        "--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that load data."
    ),
)


def by_recipe(command: F) -> F:
    """The options of a verb that trains by a recipe."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Chosen:
    """What a command line asks for, whatever is trained.

    Attributes:
        recipe: every value.
        data: what it is learned from.
        beginning: of the run that goes on; None where one begins.
        common: the arguments that both kinds of orders take.
    """

    recipe: Recipe
    data: tuple[str, ...]
    beginning: RunInfo | None
    common: dict[str, Any]


def choose(recipe: str | None, data: tuple[str, ...], data_form: str, given: dict[str, Any]) -> Chosen:
    """The recipe with its overrides, or that of the run which goes on.

    Args:
        recipe: its name or file.
        data: if it was given.
        data_form: how it is given, for the reminder.
        given: the other options.

    Raises:
        UsageError: something is missing, or contradicts the run.
        MissingExtra: PyTorch or Accelerate is not installed.
    """
    from fassd.core.errors import UsageError
    from fassd.core.recipe import check_trained, locate_recipe, override_recipe, parse_values, read_recipe

    verb = click.get_current_context().info_name
    if given["out"] is None:
        if not given["dry_run"] or given["resume"]:
            raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'--out'", param_type="option")
        given["out"] = Path()
    _load_packages(f"fassd {verb}")
    overrides = {
        name: given[name] for name in ("network", "iterations", "batch_size", "seed") if given[name] is not None
    }
    overrides |= parse_values(given["values"])
    name, beginning = recipe or "", None
    if given["resume"]:
        from fassd.training.resume import continue_run

        started_from = (given.get("start"), given.get("encoder") and str(given["encoder"]))
        went = continue_run(given["out"], recipe, overrides, data, started_from)
        chosen, data, beginning = went.recipe, went.data, went.beginning
        name, overrides = beginning.recipe_name, beginning.overrides
    else:
        missing = "RECIPE" if recipe is None else "--data"
        if recipe is not None:
            chosen = override_recipe(read_recipe(locate_recipe(recipe)), overrides)
            check_trained(chosen, _TRAINED[verb], name)
        if recipe is None or not data:
            raise UsageError(f"{missing} is missing: fassd {verb} RECIPE --data {data_form} --out FOLDER begins a run")
    common = {
        "recipe": chosen,
        "out": given["out"],
        "resume": given["resume"],
        "device": given["device"],
        "workers": given["workers"],
        "trackers": tuple(one for one in given["track"] if one != "none") if given["track"] else None,
        "recipe_name": name,
        "overrides": overrides,
    }
    return Chosen(chosen, data, beginning, common)


def _load_packages(what: str) -> None:
    from fassd.core.errors import MissingExtra

    try:
        with _signals_wait():
            import accelerate  # noqa: F401
            import torch  # noqa: F401

            import fassd.tasks.pretrain
            import fassd.tasks.train
            import fassd.training.dry_run  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "accelerate"):
            raise
        raise MissingExtra(error.name, "train", what) from None


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM come afterwards: raised while a package loads they may end as its error, or in an abort."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def carry_out(task: Callable[[Watch], TrainerState], score: str, then: str) -> None:
    """Trains while a display shows it, and says what came of it.

    Args:
        task: the training, told who watches it.
        score: what decides which network is the best, in words.
        then: the command that uses the result.
    """
    from fassd.cli.progress import TrainingDisplay
    from fassd.core.types import ignore_events

    if int(os.environ.get("RANK", "0")):
        # One process of several talks.
        task(ignore_events)
        return
    with TrainingDisplay() as display:
        progress = task(display)
    if progress.best_step:
        click.echo(f"best {score} on val {progress.best_score:.2%} after update {progress.best_step}")
    else:
        click.echo("not scored on the way, so the last weights are the result")
    click.echo(then)


def print_rehearsal(recipe: Recipe, rehearsed: Callable[[], DryRunEstimate]) -> None:
    """The effective recipe, and what its training would take.

    Args:
        recipe: is printed first, for measuring takes its time.
        rehearsed: measures.
    """
    from rich.console import Console
    from rich.table import Table

    from fassd.core.recipe import recipe_as_toml

    click.echo(recipe_as_toml(recipe))
    found = rehearsed()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    table.add_row("network", f"{recipe.network}, {found.parameters:,} parameters")
    table.add_row("images", f"{found.learned:,} to learn from, {found.scored:,} to score on")
    table.add_row("updates", f"{recipe.iterations:,} of {recipe.batch_size} images: {found.passes:.1f} passes")
    if found.memory is not None:
        room = f" of {found.available / 2**30:.1f} GiB" if found.available else ""
        table.add_row("memory", f"about {found.memory / 2**30:.1f} GiB{room}")
    table.add_row(
        "an update", f"{found.update_s:.2f} s in {found.precision}, {recipe.batch_size / found.update_s:.1f} images/s"
    )
    table.add_row("a validation", f"{_duration(found.validation_s)}")
    table.add_row("the whole run", f"about {_duration(found.total_s)} on {found.device} with one process")
    console = Console(highlight=False)
    console.print(table)
    if found.memory and found.available and found.memory > found.available:
        console.print("this does not fit: raise accumulate, or lower batch or augmentation.crop_size", style="bold")
    click.echo("measured on a few updates of one and two images; nothing was written")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
