"""The page in a run's folder that says what it is, how to go on and how to use the result."""

from __future__ import annotations

from pathlib import Path

from fassd.core.recipe import Recipe
from fassd.training.run import Beginning

_PAGE = """# A training run of fassd

`{network}` for {classes} classes, {iterations} updates of {batch} images, seed {seed}, begun with fassd {version} by
the recipe `{recipe_name}`{overrides}.

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
| `samples/` | the same few `val` images, labelled after each validation: photo, answer, truth |
| `states/` | what going on needs: weights, momentum, position; the last two{every}. Not needed once training is done |
| `tensorboard/` | for `tensorboard --logdir {folder}` (where it is installed) |
| `failed/` | only after a loss that was not finite: the images of that update |
| `run.json` | how the run was begun |

Terms of the data: {terms}
"""


def readme_of(
    folder: Path, recipe: Recipe, beginning: Beginning, classes: int, images: tuple[int, int], terms: str
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
    learned, scored = images
    changed = ", ".join(f"{name} {value}" for name, value in beginning.overrides.items())
    return _PAGE.format(
        network=recipe.network,
        classes=classes,
        iterations=recipe.iterations,
        batch=recipe.batch,
        seed=recipe.seed,
        version=beginning.version,
        recipe_name=beginning.recipe_name,
        overrides=f" with {changed}" if changed else "",
        data=", ".join(f"`{one}`" for one in beginning.data),
        data_options=" ".join(f"--data {one}" for one in beginning.data),
        images=learned,
        scored=(
            f"Scored on {scored} `val` images every {recipe.validate_every} updates."
            if scored
            else "Not scored on the way: not every data set has a split `val`."
        ),
        folder=folder,
        best=folder / "best.safetensors",
        every=f", and those of every {recipe.keep_every} updates" if recipe.keep_every else "",
        terms=terms or "not stated.",
    )
