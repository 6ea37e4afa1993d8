"""Pre-training: recipe and class folders -> a run with its best encoder, for `fassd train --encoder`."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

import fassd
from fassd.core.checkpoint import Checkpoint, Header, write_checkpoint
from fassd.core.errors import MissingSplit, UsageError
from fassd.core.recipe import Recipe, differences
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.class_folders import ClassFolders, digest_of_pictures, open_class_folders
from fassd.networks.build import arrays_of
from fassd.networks.classifier import Classifier, fresh_classifier
from fassd.networks.table import network_by_name
from fassd.runtimes.pytorch import open_device
from fassd.tasks.training_order import norms_have_values
from fassd.training.engine import Engine
from fassd.training.pretrain import Accuracy, Pretraining, pretrain_encoder
from fassd.training.run import Beginning, Run
from fassd.training.state import Progress, State
from fassd.training.update import pixels_of

CONVENTIONS = "one look at the middle of each picture, 7/8 of its shorter side; shares of the pictures"
"""How top-1 and top-5 are meant."""

_PAGE = """# A pre-training run of fassd

The encoder of `{network}` learns to tell {classes} classes of pictures apart: {iterations} updates of {batch} pictures,
seed {seed}, begun with fassd {version} by the recipe `{recipe_name}`{overrides}.

Trained on `{data}` ({learned} pictures). {scored}

## Go on

    fassd pretrain --resume --out {folder}

Add `--data FOLDER` if the pictures have moved, and `--device` and `--workers` as before.

## Use the result

    fassd train RECIPE --data KIND:PATH --encoder {best} --out runs/mine

The recipe's `channel_order` must be `{order}`, as here.

## What is here

| file | is |
| --- | --- |
| `best.safetensors` | the encoder with the best top-1 accuracy on `val`, without its classification head |
| `recipe.toml` | every value of the training; `fassd pretrain` takes it as a recipe |
| `updates.csv`, `validations.csv` | loss, gradient, rate and speed of each update; top-1 and top-5, {conventions} |
| `log.jsonl` | the same for programs, a line of JSON each |
| `states/` | what going on needs: weights, head, momentum, position; not needed once training is done |
| `failed/` | only after a loss that was not finite: the pictures of that update |
| `run.json` | how the run was begun |
"""


@dataclass(frozen=True)
class PretrainingOrder:
    """What the user asked for.

    Attributes:
        recipe: every value of the training.
        data: folder with train/CLASS/PICTURES and val/CLASS/PICTURES.
        out: folder of the run.
        resume: go on from the run's training state.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU where PyTorch finds one.
        workers: processes that prepare batches for each one that trains.
        recipe_name: what the user called the recipe.
        overrides: the values in it that options replaced.
    """

    recipe: Recipe
    data: Path
    out: Path
    resume: bool = False
    device: str = "cpu"
    workers: int = 1
    recipe_name: str = "recipe.toml"
    overrides: dict[str, Any] = field(default_factory=dict)


def pretrain(order: PretrainingOrder, watch: Watch = ignore_events) -> Progress:
    """Trains as ordered, from the start or from where the run stands; `best.safetensors` is the best encoder.

    Started as several processes by `torchrun` or `accelerate launch`, each calls this, and they train together.

    Returns:
        Where the run ended; `best_mean_iou` is the best top-1 accuracy.

    Raises:
        FassdError: whatever is wrong with recipe, data, folder or state, before the first update where it can be
            known.
    """
    recipe, run = order.recipe, Run(order.out)
    _check_recipe(recipe)
    learned, scored = _pictures(order.data)
    digest = digest_of_pictures(learned)
    engine = Engine(_device(order.device), recipe.sync_norms)
    with engine.together():
        state = _state_of(run, order, digest, engine) if order.resume else None
        network = fresh_classifier(network_by_name(recipe.network), len(learned.classes), recipe.seed)
        if state is None:
            engine.lead(lambda: _begin(run, order, learned, scored))
        else:
            texts = [f"set aside: {problem}" for problem in state.broken]
            for text in [*texts, f"going on from {state.path}"] if engine.first else []:
                watch(Event("note", {"text": text}))
            position = state.progress
            engine.lead(lambda: run.go_back_to(position.step, position.validated))
        keep = _keep_in(run.best_path, recipe, learned, digest)
        setting = Pretraining(recipe, learned, scored, digest, run, engine, keep, order.workers, watch)
        return pretrain_encoder(network, setting, state)


def _device(name: str) -> torch.device:
    return open_device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def _check_recipe(recipe: Recipe) -> None:
    """Refuses what cannot be, and values that mean something to segmentation alone."""
    spec = network_by_name(recipe.network)
    spec.check_size(*recipe.augmentation.crop, "augmentation.crop")
    plain = {
        "average": (recipe.average, 0.0),
        "loss.class_weights": (recipe.loss.class_weights, "none"),
        "loss.auxiliary": (recipe.loss.auxiliary, 0.0),
        "optimiser.encoder_rate": (recipe.optimiser.encoder_rate, 1.0),
    }
    for key, (value, wanted) in plain.items():
        if value != wanted:
            raise UsageError(f"{key} is {value}, which pre-training does not have; leave it away or set it to {wanted}")
    if recipe.batch == recipe.accumulate and not norms_have_values(spec, recipe.augmentation.crop):
        raise UsageError(
            f"one picture of {recipe.augmentation.crop[1]}x{recipe.augmentation.crop[0]} at a time leaves the deepest "
            "norms a single value; make batch (less accumulate) or augmentation.crop larger"
        )


def _pictures(folder: Path) -> tuple[ClassFolders, ClassFolders | None]:
    learned = open_class_folders(folder, "train")
    try:
        return learned, open_class_folders(folder, "val", learned.classes)
    except MissingSplit:
        return learned, None


def _state_of(run: Run, order: PretrainingOrder, digest: str, engine: Engine) -> State:
    """The state to go on from, the same in every process."""
    found: list[State] = []
    # The first process sets broken states aside, before the others look.
    engine.lead(lambda: found.append(run.states.load()))
    state = found[0] if found else run.states.load()
    changed = differences(state.progress.recipe, order.recipe)
    if changed:
        raise UsageError(f"the run was begun with another recipe ({', '.join(changed)} differ); resume with its own")
    if state.progress.data != digest:
        raise UsageError(
            f"the pictures in {order.data} are not those that the run was begun with ({state.progress.samples} then): "
            "something was added, removed or rewritten; resume with its data, or begin anew"
        )
    return state


def _begin(run: Run, order: PretrainingOrder, learned: ClassFolders, scored: ClassFolders | None) -> None:
    recipe, every = order.recipe, order.recipe.validate_every
    changed = ", ".join(f"{name} {value}" for name, value in order.overrides.items())
    page = _PAGE.format(
        network=recipe.network,
        classes=len(learned.classes),
        iterations=recipe.iterations,
        batch=recipe.batch,
        seed=recipe.seed,
        version=fassd.__version__,
        recipe_name=order.recipe_name,
        overrides=f" with {changed}" if changed else "",
        data=order.data,
        learned=len(learned),
        scored=f"Scored on {len(scored)} `val` pictures every {every} updates." if scored else "Not scored: no `val`.",
        folder=run.folder,
        best=run.best_path,
        order=recipe.channel_order,
        conventions=CONVENTIONS,
    )
    run.begin(recipe, Beginning(order.recipe_name, order.overrides, [str(order.data)], fassd.__version__), page)


def _keep_in(
    path: Path, recipe: Recipe, learned: ClassFolders, digest: str
) -> Callable[[Classifier, int, Accuracy | None], None]:
    """Writes a classifier's encoder as the best checkpoint, with what was found about it in its header."""

    def keep(network: Classifier, step: int, found: Accuracy | None) -> None:
        told = ""
        if found is not None:
            told = f": top-1 {found.top_1:.2%}, top-5 {found.top_5:.2%} of {found.images} val pictures ({CONVENTIONS})"
        header = Header(
            content="encoder",
            network=recipe.network,
            label_space=None,
            pixels=pixels_of(recipe),
            recipe=msgspec.to_builtins(recipe),
            data=[
                {"name": learned.name, "split": "train", "images": len(learned), "files_sha256": digest, "terms": ""}
            ],
            terms="as the owners of the pictures state",
            origin=f"encoder pre-trained by fassd on {len(learned.classes)} classes, after update {step}{told}",
            version=f"{fassd.__version__} (PyTorch {torch.__version__}, Python {platform.python_version()})",
        )
        arrays = {name: one for name, one in arrays_of(network, np.float32).items() if name.startswith("encoder.")}
        write_checkpoint(path, Checkpoint(header, arrays))

    return keep
