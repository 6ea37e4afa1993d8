"""The training loop, the same for every task: iterations, logs, validations, training states, signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

import msgspec
import PIL.Image
from safetensors.torch import save
from torch import nn

from fassd.core.errors import DataError, FassdError, ImageError
from fassd.core.files import written_whole
from fassd.core.types import Event, Watch
from fassd.data.batches import Batch
from fassd.training.run import Run
from fassd.training.signals import StopSignals
from fassd.training.state import State, TrainerState
from fassd.training.train_step import StepResult, TrainStep
from fassd.training.validation import ValidationResult

N = TypeVar("N", bound=nn.Module)

_NAMED_IMAGES = 8
"""Images that an error message names."""

SaveBest: TypeAlias = Callable[[N, int, ValidationResult | None], None]
"""Writes a network as the best checkpoint, in the main process; takes the iterations done and the validation's result,
None where there is no validation."""


class Track(Protocol):
    """Receives the figures of iterations and validations, for trackers; never blocks."""

    def __call__(self, values: dict[str, float], iteration: int) -> None:
        """Called in the main process only."""


@dataclass(frozen=True)
class TrainerConfig(Generic[N]):
    """What a run needs beside its train step.

    Attributes:
        batches: this process's share of the batches, from an iteration on, counted from 0.
        samples: number of training images.
        data: digest of their files.
        run: its folder.
        validate: scores the network, in all processes together; takes the iterations done. None: nothing to validate
            on.
        save_best: writes the network as the best checkpoint.
        watch: gets "started", "iteration", "validated" and "saved".
        track: gets the figures of iterations and validations.
    """

    batches: Callable[[int], Iterator[Batch]]
    samples: int
    data: str
    run: Run
    validate: Callable[[N, int], ValidationResult] | None
    save_best: SaveBest[N]
    watch: Watch
    track: Track


class Trainer(Generic[N]):
    """Trains from the start, or from a training state, to the recipe's last iteration.

    Args:
        train_step: made with the same state.
        config: what else the run needs.
        state: to resume from; None starts.
    """

    def __init__(self, train_step: TrainStep[N], config: TrainerConfig[N], state: State | None = None) -> None:
        self.train_step, self.config = train_step, config
        self.recipe, self.distributed = train_step.recipe, train_step.distributed
        self.progress, self.saved = TrainerState(0, 0, -1.0, 0, 0.0, self.recipe, config.data, config.samples), -1
        if state is not None:
            self.progress, self.saved = state.progress, state.progress.iteration

    def fit(self) -> TrainerState:
        """Trains to the end.

        Ctrl-C and SIGTERM wait for the end of the iteration. Its state is saved, then the signal is raised again.

        Returns:
            The progress at the end.

        Raises:
            FassdError: loss or gradient are not finite, the disk is full, or reading samples failed.
            PartnerLost: another process of the training ended.
        """
        config, recipe, first, total = self.config, self.recipe, self.progress.iteration, self.recipe.iterations
        self._notify(
            "started",
            iteration=first,
            total=total,
            validated=config.validate is not None,
            precision=str(self.train_step.precision).removeprefix("torch."),
            processes=self.distributed.processes,
            kept_in_float32=self.train_step.unsafe_bf16_convs,
        )
        clock = _TrainingClock(self.progress.seconds, recipe.batch_size)
        batches = config.batches(first)
        with StopSignals() as stop:
            for iteration in range(first, total + 1):
                # `iteration` iterations are done: validate when due (also if a run died while it did), save when due.
                with clock.paused():
                    validation_is_due = iteration and (iteration % recipe.validate_every == 0 or iteration == total)
                    if validation_is_due and self.progress.validated < iteration:
                        # Nothing is lost if the validation fails or is stopped; signals need not wait for its end.
                        self._save_state()
                        with stop.lifted():
                            self._validate()
                        self._save_state()
                    elif iteration % recipe.save_every == 0 and self.saved != iteration:
                        self._save_state()
                if iteration == total:
                    break

                with self._explaining_data_errors():
                    batch = next(batches)
                result = self.train_step(batch, iteration, lambda: stop.noted is not None)
                if not result.is_finite:
                    raise self._not_finite(result, batch)
                clock.count_iteration()
                self.progress = msgspec.structs.replace(
                    self.progress, iteration=iteration + 1, seconds=clock.seconds, scaler=self.train_step.scaler
                )

                figures = {"loss": result.loss, "grad_norm": result.grad_norm, "lr": result.lr}
                figures["images_per_second"] = clock.images_per_second
                if self.distributed.is_main_process:
                    config.run.log_iteration(iteration + 1, **figures)
                    config.track(figures, iteration + 1)
                self._notify("iteration", iteration=iteration + 1, **figures)

                if result.stop_requested:
                    self._save_state()
                    # If another process got the signal, this one ends as if it had got it too.
                    stop.noted = stop.noted or signal.SIGTERM
                    stop.pass_on()
            stop.pass_on()
        return self.progress

    def _validate(self) -> None:
        """Scores the network and saves it if it is the best so far; without validation data it is always saved."""
        config, iteration, network = self.config, self.progress.iteration, self.train_step.eval_model
        is_main_process, best_before = self.distributed.is_main_process, self.progress.best_score
        self.progress = msgspec.structs.replace(self.progress, validated=iteration)
        if config.validate is None:
            if is_main_process:
                config.save_best(network, iteration, None)
            return
        with self._explaining_data_errors():
            result = config.validate(network, iteration)
        if result.score > best_before:
            self.progress = msgspec.structs.replace(self.progress, best_score=result.score, best_iteration=iteration)
            if is_main_process:
                config.save_best(network, iteration, result)
        best = self.progress.best_score
        if is_main_process:
            config.run.log_validation(iteration, result.figures, best, result.iou)
            config.track({**result.figures, "best": best}, iteration)
        self._notify("validated", iteration=iteration, best=best, figures=result.figures, iou=result.iou)

    def _save_state(self) -> None:
        if self.distributed.is_main_process:
            path = self.config.run.states.save(self.train_step.tensors(), self.progress)
            self._notify("saved", iteration=self.progress.iteration, path=str(path))
        self.saved = self.progress.iteration

    def _notify(self, kind: str, **values: object) -> None:
        if self.distributed.is_main_process:
            self.config.watch(Event(kind, values))

    @contextmanager
    def _explaining_data_errors(self) -> Iterator[None]:
        """Adds to an error about a missing or damaged file how to resume the run."""
        try:
            yield
        except (ImageError, DataError) as error:
            problem = (
                f"{error.problem}; the training state of iteration {self.saved} is intact: restore the original data, "
                "then use --resume"
            )
            raise type(error)(error.path, problem) from None

    def _not_finite(self, result: StepResult, batch: Batch) -> FassdError:
        """The error for a loss or gradient that is not finite. The batch is kept in the run's folder."""
        iteration = self.progress.iteration + 1
        what = f"the loss of iteration {iteration} is {result.loss}"
        if result.own_loss_is_finite:
            # The gradient is not finite, or the loss of another process.
            what = f"{what} and its gradient norm {result.grad_norm}"
        path = keep_for_inspection(self.config.run.folder, batch, iteration, self.distributed.rank, what)
        more = f" and {len(batch.names) - _NAMED_IMAGES} more" if len(batch.names) > _NAMED_IMAGES else ""
        return FassdError(
            f"{what} (images {', '.join(batch.names[:_NAMED_IMAGES])}{more}; kept in {path}); the training state of "
            f"iteration {self.saved} is intact: check these images and their labels, or start a new run (a resumed run "
            "keeps its recipe) with a lower optimizer.lr, more optimizer.warmup_iterations, optimizer.clip_grad_norm, "
            "or precision float32"
        )


class _TrainingClock:
    """Measures the time of training, without validations and saving of states."""

    def __init__(self, seconds_before: float, batch_size: int) -> None:
        self._seconds_before, self._batch_size, self._iterations = seconds_before, batch_size, 0
        self._started = time.monotonic()
        self._trained = 0.0

    def count_iteration(self) -> None:
        self._iterations += 1
        self._trained = time.monotonic() - self._started

    @property
    def seconds(self) -> float:
        """Training time of the run so far, earlier processes included."""
        return self._seconds_before + self._trained

    @property
    def images_per_second(self) -> float:
        """Mean since this process started."""
        return self._batch_size * self._iterations / max(self._trained, 1e-9)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time inside does not count."""
        since = time.monotonic()
        yield
        self._started += time.monotonic() - since


def keep_for_inspection(folder: Path, batch: Batch, iteration: int, rank: int, found: str) -> Path:
    """Writes a batch that made the loss not finite: exact values in a safetensors file, each image as a PNG.

    Args:
        folder: of the run.
        batch: crops and labels.
        iteration: from 1.
        rank: of this process.
        found: what was wrong, for the file's metadata.

    Returns:
        The folder that was written.
    """
    place = folder / "failed" / f"iteration-{iteration:08}-process-{rank}"
    tensors = {"images": batch.images.contiguous(), "labels": batch.labels.contiguous()}
    if batch.annotated is not None:
        tensors["annotated"] = batch.annotated.contiguous()
    with written_whole(place / "batch.safetensors") as path:
        path.write_bytes(save(tensors, {"names": "\n".join(batch.names), "found": found}))
    for number, image in enumerate(batch.images):
        with written_whole(place / f"image-{number}.png") as path:
            PIL.Image.fromarray(image.numpy()).save(path, "PNG")
    return place
