"""`fassd train`: a recipe and data -> a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fassd.cli import options
from fassd.cli.training import by_recipe, carry_out, choose, print_rehearsal


@click.command("train", short_help="Train a network by a recipe.")
@click.argument("recipe", metavar="[RECIPE]", required=False)
@options.data_if_new
@click.option("--encoder", type=click.Path(path_type=Path), default=None, help="Encoder checkpoint to start from.")
@click.option("--start", default=None, metavar="NAME|FILE", help="Weights to start from, whatever their classes.")
@by_recipe
def train_command(recipe: str | None, data: tuple[str, ...], dry_run: bool, **given: Any) -> None:
    """Train by RECIPE: the name of one that ships (--recipes lists them) or a TOML file.

    The best checkpoint by the mean IoU on `val` is OUT/best.safetensors. A run that was stopped, or whose machine
    died, goes on with `fassd train --resume --out OUT`. Under `torchrun` or `accelerate launch` the same command
    trains with several processes.
    """
    chosen = choose(recipe, data, "KIND:PATH", {**given, "dry_run": dry_run})
    from fassd.training.setup import TrainConfig

    start, encoder = given["start"], given["encoder"]
    if chosen.beginning is not None:
        start, encoder = chosen.beginning.start, chosen.beginning.encoder and Path(chosen.beginning.encoder)
    order = TrainConfig(data=chosen.data, start=start, encoder=encoder, **chosen.common)
    if dry_run:
        from fassd.training.dry_run import dry_run as estimate

        print_rehearsal(order.recipe, lambda: estimate(order))
        return
    from fassd.tasks.train import train

    then = f"try it: fassd predict PICTURE --weights {order.out / 'best.safetensors'}"
    carry_out(lambda watch: train(order, watch), "mean IoU", then)
