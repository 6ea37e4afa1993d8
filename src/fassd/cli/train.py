"""`fassd train`: a recipe and data -> a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fassd.cli import options
from fassd.cli.training import print_estimate, resolve, run_training, training_options


@click.command("train", short_help="Train a network by a recipe.")
@click.argument("recipe", metavar="[RECIPE]", required=False)
@options.data_if_new
@click.option(
    "--init-weights", default=None, metavar="NAME|FILE", help="Weights to start from; their classes may differ."
)
@options.renamed("--start", "--init-weights")
@click.option(
    "--encoder-weights",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="Encoder checkpoint to start from.",
)
@options.renamed("--encoder", "--encoder-weights")
@training_options
def train_command(recipe: str | None, data: tuple[str, ...], dry_run: bool, **given: Any) -> None:
    """Train by RECIPE: the name of a shipped one (--recipes lists them) or a TOML file.

    The checkpoint with the best mean IoU on `val` is OUT/best.safetensors. `fassd train --resume --out OUT` resumes a
    run that was stopped or crashed. Under `torchrun` or `accelerate launch` the same command trains with several
    processes.
    """
    resolved = resolve(recipe, data, "KIND:PATH", {**given, "dry_run": dry_run})
    from fassd.training.setup import TrainConfig

    init_weights, encoder_weights = given["init_weights"], given["encoder_weights"]
    if info := resolved.run_info:
        init_weights, encoder_weights = info.init_weights, info.encoder_weights and Path(info.encoder_weights)
    config = TrainConfig(
        data=resolved.data, init_weights=init_weights, encoder_weights=encoder_weights, **resolved.config
    )
    if dry_run:
        from fassd.training.dry_run import dry_run as estimate

        print_estimate(config.recipe, lambda: estimate(config))
        return
    from fassd.tasks.train import train

    following = f"try it: fassd predict IMAGE --weights {config.out / 'best.safetensors'}"
    run_training(lambda watch: train(config, watch), "mean IoU", following)
