"""The page in a run's folder that says what it is, how to go on and how to use the result."""

from __future__ import annotations

from pathlib import Path

from fassd.core.recipe import Recipe
from fassd.training.run import RunInfo

_PAGE = """# A training run of fassd

`{network}` for {classes} classes, {iterations} updates of {batch_size} images, seed {seed}, started with
fassd {version} by the recipe `{recipe_name}`{overrides}.

Trained on: {data} ({images} images). {scored}

## Go on

A run that was stopped, for whatever reason, goes on from its last training state. Nothing needs to be repeated:

    fassd train --resume --out {folder}

Add `--data KIND:PATH` if the data set has moved, and `--device` and `--workers` as before: they are not part of the
recipe. The same command under `torchrun` or `accelerate launch` goes on with several processes.

## Use the result

    fassd predict PICTURE --weights {best}
    fassd evaluate {best} {data_options}
    fassd inspect {best}

## What is here

| file | is |
| --- | --- |
| `best.safetensors` | the checkpoint with the best mean IoU on `val`; its header says all that is in this page |
| `recipe.toml` | every value of the training; `fassd train` takes it as a recipe |
| `updates.csv`, `validations.csv` | loss, gradient, rate and speed of each update; mean IoU and the IoU of each class |
| `log.jsonl` | the same for programs, a line of JSON each |
| `curves.png` | both as curves (where matplotlib is installed) |
| `samples/` | the same few `val` images, labeled after each validation: photo, answer, truth |
| `states/` | what going on needs: weights, momentum, position; the last two{every}; later not needed |
| `tensorboard/` | for `tensorboard --logdir {folder}` (where it is installed) |
| `failed/` | only after a loss that was not finite: the images of that update |
| `run.json` | how the run was begun |

Terms of the data: {terms}
"""


_PRETRAINING_PAGE = """# A pre-training run of fassd

The encoder of `{network}` learns to tell {classes} classes of pictures apart: {iterations} iterations of
{batch_size} images, seed {seed}, started with fassd {version} by the recipe `{recipe_name}`{overrides}.

Trained on `{data}` ({images} pictures). {scored}

## Go on

    fassd pretrain --resume --out {folder}

Add `--data FOLDER` if the pictures have moved, and `--device` and `--workers` as before.

## Use the result

    fassd train RECIPE --data KIND:PATH --encoder-weights {best} --out runs/mine

The recipe's `channel_order` must be `{order}`, as here.

## What is here

| file | is |
| --- | --- |
| `best.safetensors` | the encoder with the best top-1 accuracy on `val`, without its classification head |
| `recipe.toml` | every value of the training; `fassd pretrain` takes it as a recipe |
| `updates.csv`, `validations.csv` | loss, gradient, rate and speed of each update; top-1 and top-5, {conventions} |
| `log.jsonl` | the same for programs, a line of JSON each |
| `curves.png` | both as curves (where matplotlib is installed) |
| `states/` | what going on needs: weights, head, momentum, position; the last two{every}; later not needed |
| `tensorboard/` | for `tensorboard --logdir {folder}` (where it is installed) |
| `failed/` | only after a loss that was not finite: the pictures of that update |
| `run.json` | how the run was begun |
"""


def readme_of(
    folder: Path, recipe: Recipe, beginning: RunInfo, classes: int, images: tuple[int, int], terms: str
) -> str:
    """The page.

    Args:
        folder: of the run.
        recipe: in effect.
        beginning: what was given.
        classes: of the network.
        images: to learn from, and to validate on.
        terms: of the data, empty where nothing is known.
    """
    return _PAGE.format(
        **_facts(folder, recipe, beginning, classes, images, "images"),
        data=", ".join(f"`{one}`" for one in beginning.data),
        data_options=" ".join(f"--data {one}" for one in beginning.data),
        terms=terms or "not stated.",
    )


def pretraining_readme_of(
    folder: Path, recipe: Recipe, beginning: RunInfo, classes: int, pictures: tuple[int, int], conventions: str
) -> str:
    """The page of a pre-training; `conventions` say how its top-1 and top-5 are meant, for the rest see `readme_of`."""
    return _PRETRAINING_PAGE.format(
        **_facts(folder, recipe, beginning, classes, pictures, "pictures"),
        data=beginning.data[0],
        order=recipe.channel_order,
        conventions=conventions,
    )


def _facts(
    folder: Path, recipe: Recipe, beginning: RunInfo, classes: int, images: tuple[int, int], what: str
) -> dict[str, object]:
    """What both pages tell, by the names of their places."""
    learned, scored = images
    changed = ", ".join(f"{name} {value}" for name, value in beginning.overrides.items())
    return {
        "network": recipe.network,
        "classes": classes,
        "iterations": recipe.iterations,
        "batch_size": recipe.batch_size,
        "seed": recipe.seed,
        "version": beginning.version,
        "recipe_name": beginning.recipe_name,
        "overrides": f" with {changed}" if changed else "",
        "images": learned,
        "scored": (
            f"Scored on {scored} `val` {what} every {recipe.validate_every} updates."
            if scored
            else "Not scored on the way: there is no split `val`, or not in every data set."
        ),
        "folder": folder,
        "best": folder / "best.safetensors",
        "every": f", and those of every {recipe.keep_every} updates" if recipe.keep_every else "",
    }
