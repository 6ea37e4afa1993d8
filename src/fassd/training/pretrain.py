"""The loop of ImageNet pre-training: the encoder learns to name whole pictures. States, signals, rate as in `fit`."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from fassd.core.errors import FassdError, FileError
from fassd.core.recipe import Recipe
from fassd.core.types import Event, Watch
from fassd.data.batches import Batch
from fassd.data.class_batches import ClassBatch, views_to_judge, views_to_learn
from fassd.data.class_folders import ClassFolders
from fassd.networks.classifier import Classifier
from fassd.networks.inference import normalise
from fassd.training.classifier_update import ClassifierUpdate
from fassd.training.engine import Engine
from fassd.training.inspection import keep_for_inspection
from fassd.training.run import Run
from fassd.training.state import Progress, State
from fassd.training.stop import StopSignals
from fassd.training.update import Outcome, pixels_of

_VALIDATIONS, _LOG = "validations.csv", "log.jsonl"


@dataclass(frozen=True)
class Accuracy:
    """Shares of the pictures whose class is the network's first guess, or among its first five: 0..1."""

    top_1: float
    top_5: float
    images: int


@dataclass(frozen=True)
class Pretraining:
    """What a pre-training is made of, beside its network.

    Attributes:
        recipe: the values.
        learned: the pictures of `train`.
        scored: those of `val`; None where there are none.
        data: digest of the files of `learned`.
        run: its folder.
        engine: processes and device.
        keep: writes the encoder as the best, in the first process alone; gets the updates it has seen.
        workers: processes that prepare batches for each of those that train.
        watch: gets "begun", "step", "validated" and "saved", in the first process alone.
    """

    recipe: Recipe
    learned: ClassFolders
    scored: ClassFolders | None
    data: str
    run: Run
    engine: Engine
    keep: Callable[[Classifier, int, Accuracy | None], None]
    workers: int
    watch: Watch


def pretrain_encoder(network: Classifier, setting: Pretraining, state: State | None = None) -> Progress:
    """Trains a classifier in place, from the start or from a state to the recipe's last iteration.

    Returns:
        Where the run ended; `best_mean_iou` is the best top-1 accuracy.

    Raises:
        FassdError: the loss is no longer finite, the disk is full, or what reading pictures raises.
        PartnerLost: another process of the training ended.
    """
    return _Sitting(network, setting, state).go()


def hits(logits: Tensor, targets: Tensor, guesses: int) -> int:
    """How many pictures have their class among the network's first guesses.

    Args:
        logits: (N, classes).
        targets: (N,) int64.
        guesses: that count; of fewer classes all.
    """
    first = logits.topk(min(guesses, logits.shape[1]), 1).indices
    return int((first == targets[:, None]).any(1).sum())


def judge(network: Classifier, pictures: ClassFolders, recipe: Recipe, engine: Engine, workers: int) -> Accuracy:
    """Scores a classifier on the middle of every picture, once, in float32, shared out over all processes."""
    top_1 = top_5 = 0
    pixels, was_training = pixels_of(recipe), network.training
    network.eval()
    with torch.inference_mode():
        for batch in views_to_judge(pictures, recipe, workers, (engine.rank, engine.processes)):
            targets = batch.targets.to(engine.device)
            logits = network(normalise(batch.images.to(engine.device), pixels))
            top_1 += hits(logits, targets, 1)
            top_5 += hits(logits, targets, 5)
    network.train(was_training)
    first, fifth = engine.total([top_1, top_5])
    return Accuracy(first / len(pictures), fifth / len(pictures), len(pictures))


class _Sitting:
    """A sitting of a run."""

    def __init__(self, network: Classifier, setting: Pretraining, state: State | None) -> None:
        self.network, self.setting, self.stop = network, setting, StopSignals()
        self.update = ClassifierUpdate(network, setting.recipe, setting.engine, state)
        self.progress = Progress(0, 0, -1.0, 0, 0.0, setting.recipe, setting.data, len(setting.learned))
        if state is not None:
            self.progress = state.progress
        self.saved = self.progress.step if state is not None else -1

    def go(self) -> Progress:
        setting, update = self.setting, self.update
        engine, first, total = setting.engine, self.progress.step, setting.recipe.iterations
        facts = {"precision": str(update.precision).removeprefix("torch."), "processes": engine.processes}
        where = {"step": first, "total": total, "validated": setting.scored is not None}
        self._tell("begun", **where, **facts, kept_in_float32=update.distrusted)
        share = (engine.rank, engine.processes)
        batches = views_to_learn(setting.learned, setting.recipe, first, setting.workers, share)
        with self.stop:
            self._pause()
            while self.progress.step < total:
                self._advance(batches)
                self._pause()
            self.stop.pass_on()
        return self.progress

    def _advance(self, batches: Iterator[ClassBatch]) -> None:
        """One update, and an end here if one was asked for."""
        since, step, recipe = time.monotonic(), self.progress.step, self.setting.recipe
        batch = next(batches)
        outcome = self.update(batch, step, self.stop.noted is not None)
        if not outcome.sound:
            raise self._not_finite(outcome, batch)
        seconds = self.progress.seconds + time.monotonic() - since
        self.progress = msgspec.structs.replace(
            self.progress, step=step + 1, seconds=seconds, scaler=self.update.scaler
        )
        speed = recipe.batch * (step + 1) / max(seconds, 1e-9)
        values = {"loss": outcome.loss, "gradient": outcome.gradient, "rate": outcome.rate}
        if self.setting.engine.first:
            self.setting.run.log_update(step + 1, **values, speed=speed)
        self._tell("step", step=step + 1, **values, images_per_second=speed)
        if outcome.stop:
            self._save()
            # Where a single process of several got the signal, the others end as if they had.
            self.stop.noted = self.stop.noted or signal.SIGTERM
            self.stop.pass_on()

    def _pause(self) -> None:
        """What is due between two updates: validation, state."""
        progress, recipe = self.progress, self.setting.recipe
        due = progress.step and (progress.step % recipe.validate_every == 0 or progress.step == recipe.iterations)
        if due and progress.validated < progress.step:
            self._save()
            with self.stop.lifted():
                self._validate()
            self._save()
        elif progress.step % recipe.save_every == 0 and self.saved != progress.step:
            self._save()

    def _validate(self) -> None:
        """Scores the classifier and keeps its encoder if it is the best."""
        setting, step = self.setting, self.progress.step
        self.progress = msgspec.structs.replace(self.progress, validated=step)
        if setting.scored is None:
            if setting.engine.first:
                setting.keep(self.network, step, None)
            return
        found = judge(self.network, setting.scored, setting.recipe, setting.engine, setting.workers)
        if found.top_1 > self.progress.best_mean_iou:
            self.progress = msgspec.structs.replace(self.progress, best_mean_iou=found.top_1, best_step=step)
            if setting.engine.first:
                setting.keep(self.network, step, found)
        row = {"step": step, "top_1": found.top_1, "top_5": found.top_5, "best": self.progress.best_mean_iou}
        if setting.engine.first:
            _log_validation(setting.run.folder, row)
        self._tell("validated", **row)

    def _save(self) -> None:
        if self.setting.engine.first:
            path = self.setting.run.states.save(self.update.tensors(), self.progress)
            self._tell("saved", step=self.progress.step, path=str(path))
        self.saved = self.progress.step

    def _not_finite(self, outcome: Outcome, batch: ClassBatch) -> FassdError:
        step, engine = self.progress.step + 1, self.setting.engine
        what = f"the loss of update {step} is {outcome.loss} and the length of its gradient {outcome.gradient}"
        kept = Batch(batch.images, batch.targets, None, batch.names)
        path = keep_for_inspection(self.setting.run.folder, kept, step, engine.rank, what)
        return FassdError(
            f"{what} (images in {path}); the training state of update {self.saved} is sound: lower optimiser.rate, "
            "add optimiser.warmup or optimiser.clip, or set precision to float32"
        )

    def _tell(self, kind: str, **values: object) -> None:
        if self.setting.engine.first:
            self.setting.watch(Event(kind, values))


def _log_validation(folder: Path, row: dict[str, float]) -> None:
    """Adds a validation to the run's logs, in the form in which `Run.go_back_to` takes it out again."""
    table = folder / _VALIDATIONS
    try:
        begun = table.is_file() and table.stat().st_size > 0
        with table.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            if not begun:
                writer.writerow(row)
            writer.writerow(row.values())
        with (folder / _LOG).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": "validated", **row}) + "\n")
    except OSError as error:
        raise FileError(table, f"cannot be written ({error.strerror}); make room and go on with --resume") from None
