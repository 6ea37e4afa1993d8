"""`fassd pretrain`: a recipe and pictures in class folders -> an encoder for `fassd train --encoder`."""

from __future__ import annotations

from typing import Any

import click

from fassd.cli.training import by_recipe, carry_out, choose, print_rehearsal


@click.command("pretrain", short_help="Train an encoder on pictures in class folders.")
@click.argument("recipe", metavar="[RECIPE]", required=False)
@click.option(
    "--data",
    metavar="FOLDER",
    help="Folder with train/CLASS/PICTURES and val/CLASS/PICTURES. A run that goes on knows its own.",
)
@by_recipe
def pretrain_command(recipe: str | None, data: str | None, dry_run: bool, **given: Any) -> None:
    """Train the encoder to name pictures by RECIPE: imagenet, which ships, or a TOML file.

    The encoder with the best top-1 accuracy on `val` is OUT/best.safetensors: start from it with
    `fassd train RECIPE --encoder OUT/best.safetensors`. A run that was stopped, or whose machine died, goes on with
    `fassd pretrain --resume --out OUT`. Under `torchrun` or `accelerate launch` the same command trains with several
    processes.
    """
    chosen = choose(recipe, (data,) if data else (), "FOLDER", {**given, "dry_run": dry_run})
    from fassd.core.files import with_home
    from fassd.training.setup import PretrainConfig

    order = PretrainConfig(data=with_home(chosen.data[0]), **chosen.common)
    if dry_run:
        from fassd.training.dry_run import dry_run_pretraining

        print_rehearsal(order.recipe, lambda: dry_run_pretraining(order))
        return
    from fassd.tasks.pretrain import pretrain

    best = order.out / "best.safetensors"
    then = f"use it: fassd train RECIPE --data KIND:PATH --encoder {best} --out FOLDER"
    carry_out(lambda watch: pretrain(order, watch), "top-1", then)
