"""Pre-training: recipe and class folders -> a run with its best encoder, for `fassd train --encoder-weights`."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch

import fassd
from fassd.core.checkpoint import Checkpoint, Header, write_checkpoint
from fassd.core.recipe import Recipe
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.batches import training_batches
from fassd.data.class_folders import ClassFolders, image_list_digest
from fassd.networks.build import arrays_of
from fassd.networks.classifier import Classifier, init_classifier
from fassd.networks.specs import network_by_name
from fassd.training.curves import Curves
from fassd.training.distributed import Distributed
from fassd.training.fit import SaveBest, TrainerConfig, ValidationResult, fit
from fassd.training.readme import pretraining_readme_of
from fassd.training.resume import load_for_resume
from fassd.training.run import Run, RunInfo
from fassd.training.setup import PretrainConfig, device_of, gather_pictures
from fassd.training.state import TrainerState
from fassd.training.trackers import Trackers, chosen_trackers, flat_values
from fassd.training.train_step import ClassificationTrainStep, normalization_of
from fassd.training.validation import judge

CONVENTIONS = "one look at the middle of each picture, 7/8 of its shorter side; shares of the pictures"
"""How top-1 and top-5 are meant."""


def pretrain(order: PretrainConfig, watch: Watch = ignore_events) -> TrainerState:
    """Trains as ordered, from the start or from where the run stands; `best.safetensors` is the best encoder.

    Started as several processes by `torchrun` or `accelerate launch`, each calls this, and they train together.

    Returns:
        Where the run ended; `best_score` is the best top-1 accuracy.

    Raises:
        FassdError: whatever is wrong with recipe, data, folder or state, before the first update where it can be
            known.
    """
    recipe, run = order.recipe, Run(order.out)
    trackers = chosen_trackers(order.trackers)
    learned, scored = gather_pictures(order)
    digest = image_list_digest(learned)
    engine = Distributed(device_of(order.device), recipe.sync_batchnorm)
    with engine.together():
        state = load_for_resume(run, engine, recipe, str(order.data), digest, watch) if order.resume else None
        network = init_classifier(network_by_name(recipe.network), len(learned.classes), recipe.seed)
        if state is None:
            engine.lead(lambda: _begin(run, order, learned, scored))
        curves = Curves(run, watch)
        share = (engine.rank, engine.processes)
        with Trackers(
            trackers if engine.first else (),
            order.out,
            flat_values(recipe),
            lambda text: watch(Event("note", {"text": text})),
        ) as track:
            setting = TrainerConfig(
                batches=lambda first: training_batches(learned, recipe, first, order.workers, share),
                samples=len(learned),
                data=digest,
                run=run,
                validate=None if scored is None else _judge_of(scored, recipe, engine, order.workers),
                keep=_keep_in(run.best_path, recipe, learned, digest, scored),
                watch=curves,
                track=track,
            )
            progress = fit(ClassificationTrainStep(network, recipe, engine, state), setting, state)
        if engine.first:
            curves.draw()
        return progress


def _judge_of(
    scored: ClassFolders, recipe: Recipe, engine: Distributed, workers: int
) -> Callable[[Classifier, int], ValidationResult]:
    return lambda network, step: judge(network, scored, recipe, engine, workers)


def _begin(run: Run, order: PretrainConfig, learned: ClassFolders, scored: ClassFolders | None) -> None:
    beginning = RunInfo(order.recipe_name, order.overrides, [str(order.data)], fassd.__version__)
    pictures = (len(learned), 0 if scored is None else len(scored))
    page = pretraining_readme_of(run.folder, order.recipe, beginning, len(learned.classes), pictures, CONVENTIONS)
    run.begin(order.recipe, beginning, page)


def _keep_in(
    path: Path, recipe: Recipe, learned: ClassFolders, digest: str, scored: ClassFolders | None
) -> SaveBest[Classifier]:
    """Writes a classifier's encoder as the best checkpoint, with what was found about it in its header."""

    def keep(network: Classifier, step: int, verdict: ValidationResult | None) -> None:
        told = ""
        if verdict is not None and scored is not None:
            first, fifth = verdict.figures["top_1"], verdict.figures["top_5"]
            told = f": top-1 {first:.2%}, top-5 {fifth:.2%} of {len(scored)} val pictures ({CONVENTIONS})"
        header = Header(
            content="encoder",
            network=recipe.network,
            label_space=None,
            normalization=normalization_of(recipe),
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
