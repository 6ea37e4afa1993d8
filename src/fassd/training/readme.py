"""The page in a run's folder: what the run is, how to resume it, how to use the result."""

from __future__ import annotations

from pathlib import Path

from fassd.core.recipe import Recipe
from fassd.training.run import RunInfo

_TRAINING_PAGE = """# A training run of fassd

`{network}` for {classes} classes, {iterations} iterations of {batch_size} images, seed {seed}, started with
fassd {version} by the recipe `{recipe_name}`{overrides}.

Trained on: {data} ({images} images). {validation}

## Resume

A run that was stopped, for whatever reason, resumes from its last training state. Nothing needs to be given again:

    fassd train --resume --out {folder}

Add `--data KIND:PATH` if the data set has moved, and `--device` and `--workers` as before: they are not part of the
recipe. The same command under `torchrun` or `accelerate launch` resumes with several processes.

## Use the result

    fassd predict IMAGE --weights {best}
    fassd evaluate {best} {data_options}
    fassd inspect {best}

## Files

| file | content |
| --- | --- |
| `best.safetensors` | the checkpoint with the best mean IoU on `val`; its header has all facts of this page |
| `recipe.toml` | every value of the training; `fassd train` takes it as a recipe |
| `updates.csv`, `validations.csv` | loss, gradient norm, lr, speed of each iteration; mean and class IoU |
| `log.jsonl` | the same for programs, one JSON object a line |
| `curves.png` | both as curves (if matplotlib is installed) |
| `samples/` | the same few `val` images after each validation: image, prediction, labels |
| `states/` | training states: weights, momentum, position; the last two{every}; not needed afterwards |
| `tensorboard/` | for `tensorboard --logdir {folder}` (if it is installed) |
| `failed/` | only after a loss that was not finite: the images of that iteration |
| `run.json` | how the run was started |

Terms of the data: {terms}
"""

_PRETRAINING_PAGE = """# A pre-training run of fassd

The encoder of `{network}` learns to classify images into {classes} classes: {iterations} iterations of
{batch_size} images, seed {seed}, started with fassd {version} by the recipe `{recipe_name}`{overrides}.

Trained on {data} ({images} images). {validation}

## Resume

    fassd pretrain --resume --out {folder}

Add `--data FOLDER` if the images have moved, and `--device` and `--workers` as before.

## Use the result

    fassd train RECIPE --data KIND:PATH --encoder-weights {best} --out runs/mine

The recipe's `channel_order` must be `{channel_order}`, as here.

## Files

| file | content |
| --- | --- |
| `best.safetensors` | the encoder with the best top-1 accuracy on `val`, without its classification head |
| `recipe.toml` | every value of the training; `fassd pretrain` takes it as a recipe |
| `updates.csv`, `validations.csv` | loss, gradient norm, lr, speed of each iteration; top-1 and top-5 accuracy |
| `log.jsonl` | the same for programs, one JSON object a line |
| `curves.png` | both as curves (if matplotlib is installed) |
| `states/` | training states: weights, head, momentum, position; the last two{every}; not needed afterwards |
| `tensorboard/` | for `tensorboard --logdir {folder}` (if it is installed) |
| `failed/` | only after a loss that was not finite: the images of that iteration |
| `run.json` | how the run was started |

Accuracy: {conventions}.
"""


def readme_of(
    folder: Path,
    recipe: Recipe,
    info: RunInfo,
    classes: int,
    images: tuple[int, int],
    terms: str = "",
    conventions: str = "",
) -> str:
    """The page of a run, in Markdown.

    Args:
        folder: of the run.
        recipe: in effect; its task decides which page it is.
        info: how the run was started.
        classes: of the network.
        images: numbers of training and validation images.
        terms: of a training's data, empty where unknown.
        conventions: of a pre-training's top-1 and top-5.
    """
    train_images, val_images = images
    overrides = ", ".join(f"{name} {value}" for name, value in info.overrides.items())
    page = _TRAINING_PAGE if recipe.task == "segmentation" else _PRETRAINING_PAGE
    return page.format(
        network=recipe.network,
        classes=classes,
        iterations=recipe.iterations,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        channel_order=recipe.channel_order,
        version=info.version,
        recipe_name=info.recipe_name,
        overrides=f" with {overrides}" if overrides else "",
        data=", ".join(f"`{one}`" for one in info.data),
        data_options=" ".join(f"--data {one}" for one in info.data),
        images=train_images,
        validation=(
            f"Validated on {val_images} `val` images every {recipe.validate_every} iterations."
            if val_images
            else "Not validated: not every data set has a split `val`."
        ),
        folder=folder,
        best=folder / "best.safetensors",
        every=f", and those of every {recipe.keep_every} iterations" if recipe.keep_every else "",
        terms=terms or "not stated.",
        conventions=conventions,
    )
