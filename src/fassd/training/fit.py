"""The training loop: updates, validations, states, signals, of whatever is learned."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

import msgspec
from torch import nn

from fassd.core.errors import DataError, FassdError, ImageError
from fassd.core.types import Event, Watch
from fassd.data.batches import Batch
from fassd.training.inspection import keep_for_inspection
from fassd.training.run import Run
from fassd.training.signals import StopSignals
from fassd.training.state import State, TrainerState
from fassd.training.train_step import StepResult, TrainStep

N = TypeVar("N", bound=nn.Module)
_NAMED = 8


@dataclass(frozen=True)
class ValidationResult:
    """What a validation found.

    Attributes:
        figures: fractions 0..1 by name ("mean_iou"); the first decides which network is the best.
        iou: of each class, 0..1, None for a class that did not occur; empty where there is none.
    """

    figures: dict[str, float]
    iou: dict[str, float | None] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The figure that decides."""
        return next(iter(self.figures.values()))


SaveBest: TypeAlias = Callable[[N, int, ValidationResult | None], None]
"""Writes a network as the best checkpoint, in the first process alone, told of the updates it has seen and what its
validation found."""


class Track(Protocol):
    """Whatever else wants a run's figures; never waits."""

    def __call__(self, values: dict[str, float], step: int) -> None:
        """Called in the first process alone."""


@dataclass(frozen=True)
class TrainerConfig(Generic[N]):
    """What a run is made of, beside what is learned.

    Attributes:
        batches: this process's share of the batches, from an update on.
        samples: how many there are to learn from.
        data: digest of their files.
        run: its folder.
        validate: scores the network as it stands, in all processes together, and may draw it; gets the number of
            updates. None where there is nothing to validate on.
        keep: writes the network as the best checkpoint.
        watch: gets "begun", "step", "validated" and "saved", in the first process alone.
        track: gets the figures of each update and validation.
    """

    batches: Callable[[int], Iterator[Batch]]
    samples: int
    data: str
    run: Run
    validate: Callable[[N, int], ValidationResult] | None
    keep: SaveBest[N]
    watch: Watch
    track: Track


def fit(update: TrainStep[N], setting: TrainerConfig[N], state: State | None = None) -> TrainerState:
    """Trains from where an update stands, at the start or as a state left it, to its recipe's last iteration.

    Ctrl-C and SIGTERM are granted after the update at hand: the state is saved, then the signal takes its usual way.

    Args:
        update: made with the same state.
        setting: what else the run is made of.
        state: to go on from; None begins.

    Returns:
        Where the run ended.

    Raises:
        FassdError: the loss is no longer finite, the disk is full, or what reading samples raises.
        PartnerLost: another process of the training ended.
    """
    return Trainer(update, setting, state).go()


class Trainer(Generic[N]):
    """A sitting of a run."""

    def __init__(self, update: TrainStep[N], setting: TrainerConfig[N], state: State | None) -> None:
        self.update, self.setting, self.stop = update, setting, StopSignals()
        self.recipe, self.engine = update.recipe, update.engine
        self.progress = TrainerState(0, 0, -1.0, 0, 0.0, self.recipe, setting.data, setting.samples)
        self.saved = -1
        if state is not None:
            self.progress, self.saved = state.progress, state.progress.step
        self.speed = _Speed(self.progress.seconds, self.recipe.batch_size)

    def go(self) -> TrainerState:
        """Trains to the end."""
        first, total = self.progress.step, self.recipe.iterations
        facts = {"precision": str(self.update.precision).removeprefix("torch."), "processes": self.engine.processes}
        where = {"step": first, "total": total, "validated": self.setting.validate is not None}
        self._tell("begun", **where, **facts, kept_in_float32=self.update.distrusted)
        batches = self.setting.batches(first)
        with self.stop:
            self._pause()
            while self.progress.step < total:
                self._advance(batches)
                self._pause()
            self.stop.pass_on()
        return self.progress

    def _advance(self, batches: Iterator[Batch]) -> None:
        """One update, and an end here if one was asked for."""
        step = self.progress.step
        with self._reading():
            batch = next(batches)
        outcome = self.update(batch, step, lambda: self.stop.noted is not None)
        if not outcome.sound:
            raise self._not_finite(outcome, batch)
        self.speed.count()
        self.progress = msgspec.structs.replace(
            self.progress, step=step + 1, seconds=self.speed.seconds, scaler=self.update.scaler
        )
        self._note(outcome)
        if outcome.stop:
            self._save()
            # Where a single process of several got the signal, the others end as if they had.
            self.stop.noted = self.stop.noted or signal.SIGTERM
            self.stop.pass_on()

    def _note(self, outcome: StepResult) -> None:
        step, speed = self.progress.step, self.speed.images_per_second
        values = {"loss": outcome.loss, "gradient": outcome.gradient, "rate": outcome.rate}
        if self.engine.first:
            self.setting.run.log_update(step, **values, speed=speed)
            self.setting.track({**values, "images_per_second": speed}, step)
        self._tell("step", step=step, **values, images_per_second=speed)

    def _pause(self) -> None:
        """What is due between two updates: validation, state."""
        progress, recipe = self.progress, self.recipe
        with self.speed.paused():
            last = progress.step == recipe.iterations
            due = progress.step and (progress.step % recipe.validate_every == 0 or last)
            if due and progress.validated < progress.step:
                # Whatever happens while it is scored, and however long that takes: this much is safe.
                self._save()
                with self.stop.lifted():
                    self._validate()
                self._save()
            elif progress.step % recipe.save_every == 0 and self.saved != progress.step:
                self._save()

    def _validate(self) -> None:
        """Scores the network and keeps it if it is the best."""
        setting, progress = self.setting, self.progress
        step, network = progress.step, self.update.judged
        self.progress = msgspec.structs.replace(progress, validated=step)
        if setting.validate is None:
            if self.engine.first:
                setting.keep(network, step, None)
            return
        with self._reading():
            verdict = setting.validate(network, step)
        if verdict.score > progress.best_score:
            self.progress = msgspec.structs.replace(self.progress, best_score=verdict.score, best_step=step)
            if self.engine.first:
                setting.keep(network, step, verdict)
        best = self.progress.best_score
        if self.engine.first:
            setting.run.log_validation(step, verdict.figures, best, verdict.iou)
            setting.track({**verdict.figures, "best": best}, step)
        self._tell("validated", step=step, best=best, figures=verdict.figures, iou=verdict.iou)

    def _save(self) -> None:
        if self.engine.first:
            path = self.setting.run.states.save(self.update.tensors(), self.progress)
            self._tell("saved", step=self.progress.step, path=str(path))
        self.saved = self.progress.step

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Says of a file that is missing or damaged all of a sudden what becomes of the run."""
        try:
            yield
        except (ImageError, DataError) as error:
            problem = (
                f"{error.problem}; the training state of update {self.saved} is sound: once the data are again what "
                "they were at the beginning, --resume goes on from it"
            )
            raise type(error)(error.path, problem) from None

    def _not_finite(self, outcome: StepResult, batch: Batch) -> FassdError:
        step = self.progress.step + 1
        what = f"the loss of update {step} is {outcome.loss}"
        if outcome.own_sound:
            # The loss is finite, or it is another process's that is not.
            what = f"{what} and the length of its gradient {outcome.gradient}"
        path = keep_for_inspection(self.setting.run.folder, batch, step, self.engine.rank, what)
        more = f" and {len(batch.names) - _NAMED} more" if len(batch.names) > _NAMED else ""
        return FassdError(
            f"{what} (images {', '.join(batch.names[:_NAMED])}{more}; kept in {path}); the training state of update "
            f"{self.saved} is sound: look at these images and their labels; or start a new run (a run "
            "keeps its recipe) with a lower optimizer.lr, optimizer.warmup_iterations, optimizer.clip_grad_norm, or "
            "precision float32"
        )

    def _tell(self, kind: str, **values: object) -> None:
        if self.engine.first:
            self.setting.watch(Event(kind, values))


class _Speed:
    """The clock of a sitting, which stands while the network is scored and saved."""

    def __init__(self, before: float, batch: int) -> None:
        self._before, self._batch, self._updates = before, batch, 0
        self._begun = time.monotonic()
        self._trained = 0.0

    def count(self) -> None:
        self._updates += 1
        self._trained = time.monotonic() - self._begun

    @property
    def seconds(self) -> float:
        """Of training so far, over all sittings."""
        return self._before + self._trained

    @property
    def images_per_second(self) -> float:
        """Of this sitting."""
        return self._batch * self._updates / max(self._trained, 1e-9)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is no training."""
        since = time.monotonic()
        yield
        self._begun += time.monotonic() - since
