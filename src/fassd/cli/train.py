"""`fassd train`: a recipe and data -> a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.types import Event


@click.command("train", short_help="Train a network by a recipe.")
@click.argument("recipe", metavar="RECIPE")
@options.data
@options.out(None, "Folder of the run: recipe, log, training state, best checkpoint.")
@click.option("--network", default=None, help="Override the recipe's network.")
@click.option("--iterations", type=int, default=None, help="Override the recipe's number of updates.")
@click.option("--batch", type=int, default=None, help="Override the recipe's images an update.")
@click.option("--seed", type=int, default=None, help="Override the recipe's seed.")
@click.option("--resume", is_flag=True, help="Go on from the run's last training state.")
@click.option("--encoder", type=click.Path(path_type=Path), default=None, help="Encoder checkpoint to start from.")
@click.option("--start", default=None, metavar="NAME|FILE", help="Weights to start from (fine-tuning).")
@options.device
@click.option("--workers", type=click.IntRange(min=0), default=1, show_default=True, help="Processes that load data.")
def train_command(
    recipe: str,
    data: tuple[str, ...],
    out: Path,
    resume: bool,
    encoder: Path | None,
    start: str | None,
    device: str,
    workers: int,
    **overrides: Any,
) -> None:
    """Train by RECIPE: the name of one that ships (camvid, camvid-published, street) or a TOML file.

    The best checkpoint by the mean IoU on `val` is OUT/best.safetensors. A run that was stopped goes on with
    --resume from its last validation.
    """
    from fassd.core.errors import MissingExtra

    try:
        from fassd.tasks.train import TrainingOrder, train
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "train", "training") from None
    from fassd.core.recipe import locate_recipe, override_recipe, read_recipe

    chosen = override_recipe(read_recipe(locate_recipe(recipe)), overrides)
    order = TrainingOrder(chosen, data, out, resume, encoder, start, device, workers)
    with _Display() as display:
        progress = train(order, display)
    if progress.best_step:
        click.echo(f"best mean IoU on val {progress.best_mean_iou:.2%} after update {progress.best_step}")
    else:
        click.echo("not validated, so the last weights are the result")
    click.echo(f"try it: fassd predict PICTURE --weights {out / 'best.safetensors'}")


class _Display:
    """Draws the events of a run as a progress bar, and a line for each validation."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._bar: Any = None

    def __enter__(self) -> _Display:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        values = event.values
        if event.kind == "begun":
            self._progress.start()
            self._bar = self._progress.add_task("updates", total=values["total"], completed=values["step"], facts="")
            kept = f", {len(values['kept_in_float32'])} layers kept in float32" if values["kept_in_float32"] else ""
            self._console.print(f"training in {values['precision']}{kept}", style="dim")
            if not values["validated"]:
                self._console.print("not validated on the way: not every data set has a split 'val'")
        elif event.kind == "step":
            facts = f"loss {values['loss']:.3f}  {values['images_per_second']:.1f} images/s"
            self._progress.update(self._bar, completed=values["step"], facts=facts)
        elif event.kind == "validated":
            star = " (best so far)" if values["mean_iou"] >= values["best"] else ""
            self._console.print(f"update {values['step']}: mean IoU on val {values['mean_iou']:.2%}{star}")
