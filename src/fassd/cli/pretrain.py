"""`fassd pretrain`: a recipe and images in class folders -> an encoder for `fassd train --encoder-weights`."""

from __future__ import annotations

from typing import Any

import click

from fassd.cli.training import print_estimate, resolve, run_training, training_options


@click.command("pretrain", short_help="Train an encoder on images in class folders.")
@click.argument("recipe", metavar="[RECIPE]", required=False)
@click.option(
    "--data",
    metavar="FOLDER",
    help="Folder with train/CLASS/IMAGES and val/CLASS/IMAGES. Not needed with --resume.",
)
@training_options
def pretrain_command(recipe: str | None, data: str | None, dry_run: bool, **given: Any) -> None:
    """Train an encoder to classify images by RECIPE: imagenet, which is shipped, or a TOML file.

    The encoder with the best top-1 accuracy on `val` is OUT/best.safetensors; start from it with `fassd train RECIPE
    --encoder-weights OUT/best.safetensors`. `fassd pretrain --resume --out OUT` resumes a run that was stopped or
    crashed. Under `torchrun` or `accelerate launch` the same command trains with several processes.
    """
    resolved = resolve(recipe, (data,) if data else (), "FOLDER", {**given, "dry_run": dry_run})
    from fassd.core.files import with_home
    from fassd.training.setup import PretrainConfig

    config = PretrainConfig(data=with_home(resolved.data[0]), **resolved.config)
    if dry_run:
        from fassd.training.dry_run import dry_run_pretraining

        print_estimate(config.recipe, lambda: dry_run_pretraining(config))
        return
    from fassd.tasks.pretrain import pretrain

    best = config.out / "best.safetensors"
    following = f"use it: fassd train RECIPE --data KIND:PATH --encoder-weights {best} --out FOLDER"
    run_training(lambda watch: pretrain(config, watch), "top-1", following)
