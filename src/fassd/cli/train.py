"""`fassd train`: a recipe and data -> a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.tasks.training_order import TrainingOrder


@click.command("train", short_help="Train a network by a recipe.")
@click.argument("recipe", metavar="[RECIPE]", required=False)
@options.data_if_new
@click.option(
    "--out",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder of the run: recipe, logs, curves, training states, best checkpoint.  [required but for --dry-run]",
)
@click.option("--network", default=None, help="Override the recipe's network.")
@click.option("--iterations", type=int, default=None, help="Override the recipe's number of updates.")
@click.option("--batch", type=int, default=None, help="Override the recipe's images an update.")
@click.option("--seed", type=int, default=None, help="Override the recipe's seed.")
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="Override any value: optimiser.rate=0.01.")
@click.option("--resume", is_flag=True, help="Go on from the run's last training state; --out alone is enough.")
@click.option("--encoder", type=click.Path(path_type=Path), default=None, help="Encoder checkpoint to start from.")
@click.option("--start", default=None, metavar="NAME|FILE", help="Weights to start from, whatever their classes.")
@click.option("--dry-run", is_flag=True, help="Write nothing; print recipe, sizes, measured time and memory.")
@click.option("--track", multiple=True, metavar="NAME", help="tensorboard (default), wandb, mlflow, trackio or none.")
@options.device
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that load data.")
def train_command(recipe: str | None, resume: bool, dry_run: bool, **given: Any) -> None:
    """Train by RECIPE: the name of one that ships (camvid, camvid-published, street) or a TOML file.

    The best checkpoint by the mean IoU on `val` is OUT/best.safetensors. A run that was stopped, or whose machine
    died, goes on with `fassd train --resume --out OUT`. Under `torchrun` or `accelerate launch` the same command
    trains with several processes.
    """
    from fassd.core.errors import MissingExtra

    if given["out"] is None:
        if not dry_run or resume:
            raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'--out'", param_type="option")
        given["out"] = Path()
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "accelerate"):
            raise
        raise MissingExtra(error.name, "train", "training") from None
    order = _order(recipe, resume, given)
    if dry_run:
        _print_rehearsal(order)
        return
    _train(order)


def _order(recipe: str | None, resume: bool, given: dict[str, Any]) -> TrainingOrder:
    from fassd.core.errors import UsageError
    from fassd.core.recipe import locate_recipe, override_recipe, parse_values, read_recipe
    from fassd.tasks.resume import continue_run
    from fassd.tasks.training_order import TrainingOrder

    overrides = {name: given[name] for name in ("network", "iterations", "batch", "seed") if given[name] is not None}
    overrides |= parse_values(given["values"])
    data, name = given["data"], recipe or ""
    if resume:
        encoder = given["encoder"] and str(given["encoder"])
        went = continue_run(given["out"], recipe, overrides, data, (given["start"], encoder))
        begun = went.beginning
        chosen, data, name, overrides = went.recipe, went.data, begun.recipe_name, begun.overrides
        given |= {"start": begun.start, "encoder": begun.encoder and Path(begun.encoder)}
    elif recipe is None or not data:
        missing = "RECIPE" if recipe is None else "--data"
        raise UsageError(f"{missing} is missing: fassd train RECIPE --data KIND:PATH --out FOLDER begins a run")
    else:
        chosen = override_recipe(read_recipe(locate_recipe(recipe)), overrides)
    return TrainingOrder(
        recipe=chosen,
        data=data,
        out=given["out"],
        resume=resume,
        encoder=given["encoder"],
        start=given["start"],
        device=given["device"],
        workers=given["workers"],
        trackers=tuple(name for name in given["track"] if name != "none") if given["track"] else None,
        recipe_name=name,
        overrides=overrides,
    )


def _train(order: TrainingOrder) -> None:
    import os

    from fassd.cli.progress import TrainingDisplay
    from fassd.core.types import ignore_events
    from fassd.tasks.train import train

    if int(os.environ.get("RANK", "0")):
        # One process of several talks.
        train(order, ignore_events)
        return
    with TrainingDisplay() as display:
        progress = train(order, display)
    if progress.best_step:
        click.echo(f"best mean IoU on val {progress.best_mean_iou:.2%} after update {progress.best_step}")
    else:
        click.echo("not validated, so the last weights are the result")
    click.echo(f"try it: fassd predict PICTURE --weights {order.out / 'best.safetensors'}")


def _print_rehearsal(order: TrainingOrder) -> None:
    from rich.console import Console
    from rich.table import Table

    from fassd.core.recipe import recipe_as_toml
    from fassd.tasks.rehearse import rehearse

    click.echo(recipe_as_toml(order.recipe))
    found = rehearse(order)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    recipe = order.recipe
    table.add_row("network", f"{recipe.network}, {found.parameters:,} parameters")
    table.add_row("images", f"{found.learned:,} to learn from, {found.scored:,} to score on")
    table.add_row("updates", f"{recipe.iterations:,} of {recipe.batch} images: {found.passes:.1f} passes")
    if found.memory is not None:
        room = f" of {found.available / 2**30:.1f} GiB" if found.available else ""
        table.add_row("memory", f"about {found.memory / 2**30:.1f} GiB{room}")
    table.add_row(
        "an update", f"{found.update_s:.2f} s in {found.precision}, {recipe.batch / found.update_s:.1f} images/s"
    )
    table.add_row("a validation", f"{_duration(found.validation_s)}")
    table.add_row("the whole run", f"about {_duration(found.total_s)} on {found.device} with one process")
    console = Console(highlight=False)
    console.print(table)
    if found.memory and found.available and found.memory > found.available:
        console.print("this does not fit: raise accumulate, or lower batch or augmentation.crop", style="bold")
    click.echo("measured on a few updates of one and two images; nothing was written")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
