"""`fassd pretrain`: a recipe and pictures in class folders -> an encoder for `fassd train --encoder`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options
from fassd.cli.progress import TrainingDisplay

if TYPE_CHECKING:
    from fassd.core.types import Event
    from fassd.tasks.pretrain import PretrainingOrder


class PretrainingDisplay(TrainingDisplay):
    """Draws the events of a pre-training: one line for each validation."""

    def __call__(self, event: Event) -> None:
        """Takes an event."""
        if event.kind != "validated":
            super().__call__(event)
            return
        values = event.values
        star = "best so far" if values["top_1"] >= values["best"] else f"best {values['best']:.2%}"
        scores = f"top-1 on val {values['top_1']:.2%}, top-5 {values['top_5']:.2%}"
        self._console.print(f"update {values['step']}: {scores} ({star})")


@click.command("pretrain", short_help="Train an encoder on pictures in class folders.")
@click.argument("recipe", metavar="[RECIPE]", required=False)
@click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Folder with train/CLASS/PICTURES and val/CLASS/PICTURES. A run that goes on knows its own.",
)
@options.out(None, "Folder of the run: recipe, logs, training states, best encoder.")
@click.option("--network", default=None, help="Override the recipe's network; all take the stages of fc-hardnet-70.")
@click.option("--iterations", type=int, default=None, help="Override the recipe's number of updates.")
@click.option("--batch", type=int, default=None, help="Override the recipe's pictures an update.")
@click.option("--seed", type=int, default=None, help="Override the recipe's seed.")
@click.option("--set", "values", multiple=True, metavar="KEY=VALUE", help="Override any value: optimiser.rate=0.01.")
@click.option("--resume", is_flag=True, help="Go on from the run's last training state; --out alone is enough.")
@options.device
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that load data.")
def pretrain_command(recipe: str | None, resume: bool, **given: Any) -> None:
    """Train the encoder to name pictures by RECIPE: imagenet, which ships, or a TOML file.

    The encoder with the best top-1 accuracy on `val` is OUT/best.safetensors: start from it with
    `fassd train RECIPE --encoder OUT/best.safetensors`. A run that was stopped, or whose machine died, goes on with
    `fassd pretrain --resume --out OUT`. Under `torchrun` or `accelerate launch` the same command trains with several
    processes.
    """
    import os

    from fassd.core.errors import MissingExtra

    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "accelerate"):
            raise
        raise MissingExtra(error.name, "train", "pre-training") from None
    from fassd.tasks.pretrain import pretrain

    order = _order(recipe, resume, given)
    if int(os.environ.get("RANK", "0")):
        # One process of several talks.
        pretrain(order)
        return
    with PretrainingDisplay() as display:
        progress = pretrain(order, display)
    if progress.best_step:
        click.echo(f"best top-1 on val {progress.best_mean_iou:.2%} after update {progress.best_step}")
    else:
        click.echo("not scored, so the last encoder is the result")
    click.echo(f"use it: fassd train RECIPE --data KIND:PATH --encoder {order.out / 'best.safetensors'} --out FOLDER")


def _order(recipe: str | None, resume: bool, given: dict[str, Any]) -> PretrainingOrder:
    from fassd.core.errors import UsageError
    from fassd.core.recipe import locate_recipe, override_recipe, parse_values, read_recipe
    from fassd.tasks.pretrain import PretrainingOrder
    from fassd.tasks.resume import continue_run

    overrides = {name: given[name] for name in ("network", "iterations", "batch", "seed") if given[name] is not None}
    overrides |= parse_values(given["values"])
    data, name = given["data"], recipe or ""
    if resume:
        went = continue_run(given["out"], recipe, overrides, [str(data)] if data else [])
        chosen, data, name, overrides = went.recipe, went.data[0], went.beginning.recipe_name, went.beginning.overrides
    elif recipe is None or data is None:
        missing = "RECIPE" if recipe is None else "--data"
        raise UsageError(f"{missing} is missing: fassd pretrain RECIPE --data FOLDER --out FOLDER begins a run")
    else:
        chosen = override_recipe(read_recipe(locate_recipe(recipe)), overrides)
    return PretrainingOrder(
        recipe=chosen,
        data=Path(data).expanduser(),
        out=given["out"],
        resume=resume,
        device=given["device"],
        workers=given["workers"],
        recipe_name=name,
        overrides=overrides,
    )
