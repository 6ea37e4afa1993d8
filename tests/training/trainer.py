"""A run on a handful of made pictures, for the tests of the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from fassd.core.recipe import Recipe
from fassd.core.types import Event
from fassd.data.batches import Samples, training_batches
from fassd.networks.build import init_network
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import network_by_name
from fassd.training.distributed import Distributed
from fassd.training.fit import Trainer, TrainerConfig
from fassd.training.run import Run, RunInfo
from fassd.training.state import State, TrainerState
from fassd.training.train_step import SegmentationTrainStep
from fassd.training.validation import ValidationResult


class Interrupted(Exception):
    """Stands for Ctrl-C."""


@dataclass
class TrainerRun:
    """A run from its start or a state: collects what happens, and can stop it or meddle at an event."""

    recipe: Recipe
    samples: Samples
    folder: Path
    scores: Callable[[int], float] | None = None
    at: Callable[[Event, SegmentationNetwork], None] = lambda event, network: None
    network_seed: int = 0
    events: list[Event] = field(default_factory=list)
    best: list[tuple[int, float | None]] = field(default_factory=list)
    validated: list[SegmentationNetwork] = field(default_factory=list)
    tracked: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = init_network(network_by_name(self.recipe.network), 11, seed=self.network_seed)

    def go(self, resume: bool = False) -> TrainerState:
        """Trains to the end, or as far as `at` lets it."""

        def watch(event: Event) -> None:
            self.events.append(event)
            self.at(event, self.network)

        def validate(network: SegmentationNetwork, step: int) -> ValidationResult:
            assert self.scores is not None
            self.validated.append(network)
            return ValidationResult({"mean_iou": self.scores(step)}, {"Sky": self.scores(step), "Car": None})

        run = Run(self.folder)
        config = TrainerConfig(
            batches=lambda first: training_batches(self.samples, self.recipe, first, 0),
            samples=len(self.samples),
            data="digest",
            run=run,
            validate=None if self.scores is None else validate,
            save_best=lambda _, step, result: self.best.append((step, None if result is None else result.score)),
            watch=watch,
            track=lambda values, step: self.tracked.append((step, values)),
        )
        if resume:
            state = run.states.load()
            run.truncate_logs(state.progress.iteration, state.progress.validated)
            return Trainer(self._train_step(state), config, state).fit()
        run.start(self.recipe, RunInfo("test", {}, [], "0"), "a test")
        return Trainer(self._train_step(None), config).fit()

    def _train_step(self, state: State | None) -> SegmentationTrainStep:
        return SegmentationTrainStep(self.network, self.recipe, self.samples, Distributed(torch.device("cpu")), state)

    def seen(self, kind: str, name: str) -> list[Any]:
        """One value of all events of a kind."""
        return [event.values[name] for event in self.events if event.kind == kind]


def stop_after(step: int) -> Callable[[Event, SegmentationNetwork], None]:
    def at(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "iteration" and event.values["iteration"] == step:
            raise Interrupted

    return at
