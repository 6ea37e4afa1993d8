from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file

from fassd.core.checkpoint import BGR_PIXELS, RGB_PIXELS
from fassd.core.errors import FassdError, FileError
from fassd.core.labels import CAMVID
from fassd.core.recipe import Augmentation, Loss, Optimiser, Recipe
from fassd.core.types import Event
from fassd.data.batches import Samples, training_batches
from fassd.data.kinds import open_dataset
from fassd.networks.build import fresh_network
from fassd.networks.inference import normalise
from fassd.networks.network import SegmentationNetwork
from fassd.networks.table import network_by_name
from fassd.training.engine import Engine
from fassd.training.fit import Setting, Verdict, fit
from fassd.training.loss import bootstrapped_cross_entropy
from fassd.training.run import Beginning, Run
from fassd.training.state import Progress
from fassd.training.update import pixels_of


class Interrupted(Exception):
    """Stands for Ctrl-C."""


@dataclass
class Sitting:
    """One sitting of a run: collects what happens, and can stop it or meddle at an event."""

    recipe: Recipe
    samples: Samples
    folder: Path
    scores: Callable[[int], float] | None = None
    at: Callable[[Event, SegmentationNetwork], None] = lambda event, network: None
    network_seed: int = 0
    events: list[Event] = field(default_factory=list)
    best: list[tuple[int, float | None]] = field(default_factory=list)
    judged: list[SegmentationNetwork] = field(default_factory=list)
    tracked: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.network = fresh_network(network_by_name(self.recipe.network), 11, seed=self.network_seed)

    def go(self, resume: bool = False) -> Progress:
        """Trains to the end, or as far as `at` lets it."""

        def watch(event: Event) -> None:
            self.events.append(event)
            self.at(event, self.network)

        def validate(network: SegmentationNetwork, step: int) -> Verdict:
            assert self.scores is not None
            self.judged.append(network)
            return Verdict(self.scores(step), {"Sky": self.scores(step), "Car": None})

        run = Run(self.folder)
        setting = Setting(
            recipe=self.recipe,
            samples=self.samples,
            data="digest",
            run=run,
            engine=Engine(torch.device("cpu")),
            validate=None if self.scores is None else validate,
            keep=lambda _, step, verdict: self.best.append((step, verdict and verdict.mean_iou)),
            workers=0,
            watch=watch,
            track=lambda values, step: self.tracked.append((step, values)),
        )
        if resume:
            state = run.states.load()
            run.go_back_to(state.progress.step, state.progress.validated)
            return fit(self.network, setting, state)
        run.begin(self.recipe, Beginning("test", {}, [], "0"), "a test")
        return fit(self.network, setting)

    def seen(self, kind: str, name: str) -> list[Any]:
        """One value of all events of a kind."""
        return [event.values[name] for event in self.events if event.kind == kind]


def _stop_after(step: int) -> Callable[[Event, SegmentationNetwork], None]:
    def at(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "step" and event.values["step"] == step:
            raise Interrupted

    return at


@pytest.fixture(scope="module")
def whole(recipe: Recipe, samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> Sitting:
    """A run of six updates from beginning to end."""
    sitting = Sitting(recipe, samples, tmp_path_factory.mktemp("whole"), lambda step: step / 10)
    sitting.go()
    return sitting


@pytest.mark.parametrize("stop", [4, 5])
def test_an_interrupted_run_ends_where_the_uninterrupted_one_does_to_the_bit(
    whole: Sitting, recipe: Recipe, samples: Samples, tmp_path: Path, stop: int
) -> None:
    first = Sitting(recipe, samples, tmp_path, lambda step: step / 10, _stop_after(stop))
    with pytest.raises(Interrupted):
        first.go()
    second = Sitting(recipe, samples, tmp_path, lambda step: step / 10, network_seed=9)
    progress = second.go(resume=True)
    expected, found = whole.network.state_dict(), second.network.state_dict()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert second.seen("step", "loss") == whole.seen("step", "loss")[3:]
    assert (progress.step, progress.best_mean_iou, progress.best_step) == (6, 0.6, 6)


def test_a_finished_run_resumes_into_nothing(whole: Sitting, recipe: Recipe, samples: Samples) -> None:
    again = Sitting(recipe, samples, whole.folder, lambda step: 1.0, network_seed=9)
    assert again.go(resume=True).step == 6
    assert again.seen("step", "step") == []
    assert all(
        torch.equal(value, again.network.state_dict()[name]) for name, value in whole.network.state_dict().items()
    )


def test_the_watcher_sees_every_update_and_every_validation(whole: Sitting) -> None:
    assert [(event.kind, event.values["step"]) for event in whole.events] == [
        ("begun", 0),
        ("saved", 0),
        *(("step", step) for step in (1, 2, 3)),
        *(("saved", 3), ("validated", 3), ("saved", 3)),
        *(("step", step) for step in (4, 5, 6)),
        *(("saved", 6), ("validated", 6), ("saved", 6)),
    ]
    assert whole.events[0].values["total"] == 6
    assert whole.events[0].values["precision"] == "float32"


def test_the_logs_tell_every_update_and_every_validation(whole: Sitting) -> None:
    run, losses = Run(whole.folder), whole.seen("step", "loss")
    lines = [json.loads(line) for line in (whole.folder / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in run.updates()] == list(enumerate(losses, 1))
    assert [(one["step"], one["loss"]) for one in lines if one["event"] == "step"] == list(enumerate(losses, 1))
    assert run.validations() == [
        {"step": 3, "mean_iou": 0.3, "best": 0.3, "Sky": 0.3},
        {"step": 6, "mean_iou": 0.6, "best": 0.6, "Sky": 0.6},
    ]
    assert [one["iou"] for one in lines if one["event"] == "validated"] == [
        {"Sky": 0.3, "Car": None},
        {"Sky": 0.6, "Car": None},
    ]


def test_trackers_get_the_same_figures(whole: Sitting) -> None:
    losses = [(step, values["loss"]) for step, values in whole.tracked if "loss" in values]
    assert losses == list(enumerate(whole.seen("step", "loss"), 1))
    assert [(step, values["mean_iou"]) for step, values in whole.tracked if "mean_iou" in values] == [
        (3, 0.3),
        (6, 0.6),
    ]


def test_only_a_better_score_becomes_the_best(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    often = msgspec.structs.replace(recipe, iterations=4, validate_every=1)
    sitting = Sitting(often, samples, tmp_path, lambda step: [0.2, 0.5, 0.5, 0.4][step - 1])
    progress = sitting.go()
    assert sitting.best == [(1, 0.2), (2, 0.5)]
    assert (progress.best_step, progress.best_mean_iou) == (2, 0.5)
    assert Run(tmp_path).states.progress() == progress


def test_without_validation_the_latest_is_kept(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    sitting = Sitting(recipe, samples, tmp_path)
    sitting.go()
    assert sitting.best == [(3, None), (6, None)]
    assert sitting.seen("validated", "step") == []


def test_the_last_update_is_validated_whatever_the_interval(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    sitting = Sitting(msgspec.structs.replace(recipe, validate_every=4), samples, tmp_path, lambda step: 0.1)
    sitting.go()
    assert sitting.seen("validated", "step") == [4, 6]


def test_the_loss_falls(recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    longer = msgspec.structs.replace(recipe, iterations=24, batch=4, validate_every=24)
    sitting = Sitting(longer, samples, tmp_path)
    sitting.go()
    losses = sitting.seen("step", "loss")
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_updates_are_those_of_momentum_and_decay_at_the_scheduled_rate(
    recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    """Every parameter, norms, slopes and bias included: v = 0.8 v + gradient + 0.1 weight; weight - rate v."""
    values = Optimiser(rate=0.01, momentum=0.8, decay=0.1, power=2.0)
    weights: dict[str, torch.Tensor] = {}
    velocities: dict[str, torch.Tensor] = {}

    def at(event: Event, network: SegmentationNetwork) -> None:
        for name, parameter in network.named_parameters():
            weight = parameter.detach().clone()
            if event.kind == "step":
                assert parameter.grad is not None
                velocities[name] = 0.8 * velocities.get(name, 0) + parameter.grad + 0.1 * weights[name]
                rate = 0.01 * (1 - (event.values["step"] - 1) / 4) ** 2
                torch.testing.assert_close(weight, weights[name] - rate * velocities[name])
            weights[name] = weight

    short = msgspec.structs.replace(recipe, network="fassd-net-l2", iterations=4, validate_every=4, optimiser=values)
    sitting = Sitting(short, samples, tmp_path, at=at)
    sitting.go()
    assert velocities.keys() == dict(sitting.network.named_parameters()).keys()


@pytest.mark.parametrize("values", [Loss(kept=10, threshold=2.0), Loss(kept=700, threshold=50.0)])
def test_the_loss_is_the_recipe_s_on_the_first_batch(
    recipe: Recipe, samples: Samples, tmp_path: Path, values: Loss
) -> None:
    once = msgspec.structs.replace(recipe, iterations=1, loss=values)
    sitting = Sitting(once, samples, tmp_path)
    sitting.go()
    batch = next(training_batches(samples, once, 0, 0))
    logits = fresh_network(network_by_name(once.network), 11).train()(normalise(batch.images, RGB_PIXELS))
    expected = bootstrapped_cross_entropy(logits, batch.labels, kept=values.kept, threshold=values.threshold)
    assert sitting.seen("step", "loss") == [pytest.approx(float(expected.detach()), rel=1e-5)]


def test_classes_that_were_not_marked_are_not_learned(
    recipe: Recipe, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    text = 'label_space = "camvid"\n[[partial]]\nframes = "*"\nmarked = ["Sky", "Road"]\n'
    root = make_folder(tmp_path / "data", text, {"train": ["a", "b"]}, values=11)
    gradients: list[torch.Tensor] = []

    def at(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "step":
            assert network.classifier.bias is not None
            assert network.classifier.bias.grad is not None
            gradients.append(network.classifier.bias.grad.clone())

    once = msgspec.structs.replace(recipe, iterations=1)
    Sitting(once, Samples([open_dataset(f"folder:{root}", "train")]), tmp_path / "run", at=at).go()
    marked = [CAMVID.index("Sky"), CAMVID.index("Road")]
    assert torch.nonzero(gradients[0]).flatten().tolist() == marked


def _states(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Run(folder).states.paths()}


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_state_and_the_batch(
    recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    kept: dict[str, bytes] = {}

    def spoil(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "step" and event.values["step"] == 4:
            kept.update(_states(tmp_path))
            network.classifier.weight.data.fill_(float("nan"))

    sitting = Sitting(recipe, samples, tmp_path, lambda step: 0.1, spoil)
    said = r"loss of update 5 is nan \(images train/train_00\d, train/train_00\d; .* state of update 3 is sound.*rate"
    with pytest.raises(FassdError, match=said):
        sitting.go()
    assert _states(tmp_path) == kept
    assert Run(tmp_path).states.progress().step == 3
    place = tmp_path / "failed/update-00000005-process-0"
    batch = next(training_batches(samples, recipe, 4, 0))
    assert torch.equal(load_file(place / "batch.safetensors")["images"], batch.images)
    assert torch.equal(load_file(place / "batch.safetensors")["labels"], batch.labels)
    assert np.array_equal(np.asarray(Pillow.open(place / "image-1.png")), batch.images[1].numpy())


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_touches_the_weights(
    recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    """As wrong kernels for bfloat16 gave: the loss is finite, the gradient is not."""
    sitting = Sitting(recipe, samples, tmp_path)
    bias = sitting.network.classifier.bias
    assert bias is not None
    bias.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    before = {name: value.clone() for name, value in sitting.network.named_parameters()}
    with pytest.raises(FassdError, match=r"loss of update 1 is \d.* and the length of its gradient (inf|nan)"):
        sitting.go()
    assert all(torch.equal(value, before[name]) for name, value in sitting.network.named_parameters())


def test_a_full_disk_is_said_and_costs_no_state(
    recipe: Recipe, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, bytes] = {}
    write = Path.write_bytes

    def fill(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "step" and event.values["step"] == 4:
            kept.update(_states(tmp_path))
            monkeypatch.setattr(Path, "write_bytes", _full_after(1000, write))

    often = msgspec.structs.replace(recipe, save_every=1)
    with pytest.raises(FileError, match=r"state-00000004\.safetensors: cannot be written \(No space left on device\)"):
        Sitting(often, samples, tmp_path, lambda step: 0.1, fill).go()
    monkeypatch.undo()
    assert len(kept) == 2
    assert _states(tmp_path) == kept
    assert not list(tmp_path.rglob(".*"))


def _full_after(room: int, write: Callable[[Path, bytes], int]) -> Callable[[Path, bytes], int]:
    def fails(path: Path, content: bytes) -> int:
        write(path, content[:room])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fails


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_granted_after_the_update_with_its_state_saved(
    whole: Sitting, recipe: Recipe, samples: Samples, tmp_path: Path, number: signal.Signals
) -> None:
    def ask(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "step" and event.values["step"] == 1:
            signal.raise_signal(number)

    def handle(*_: object) -> None:
        raise Interrupted

    before = signal.signal(number, handle)
    try:
        with pytest.raises(Interrupted):
            Sitting(recipe, samples, tmp_path, lambda step: step / 10, ask).go()
        assert signal.getsignal(number) is handle
    finally:
        signal.signal(number, before)
    assert Run(tmp_path).states.progress().step == 2
    second = Sitting(recipe, samples, tmp_path, lambda step: step / 10, network_seed=9)
    second.go(resume=True)
    expected = whole.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.network.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"average": 0.9},
        {"accumulate": 2},
        {"loss": Loss(kept=512, auxiliary=0.4, class_weights="inverse-log")},
        {"optimiser": Optimiser(warmup=2, clip=0.5, decay_all=False, encoder_rate=0.1)},
        {"optimiser": Optimiser(encoder_rate=0.0)},
        {"precision": "float16"},
    ],
    ids=", ".join,
)
def test_with_every_option_an_interrupted_run_ends_to_the_bit_where_the_uninterrupted_one_does(
    recipe: Recipe, samples: Samples, tmp_path: Path, changes: dict[str, Any]
) -> None:
    crops = Augmentation((64, 128))
    light = {"network": "fassd-net-l2", "iterations": 3, "save_every": 1, "validate_every": 3, "augmentation": crops}
    optional = msgspec.structs.replace(recipe, **light, **changes)
    straight = Sitting(optional, samples, tmp_path / "straight", lambda step: 0.1)
    straight.go()
    with pytest.raises(Interrupted):
        Sitting(optional, samples, tmp_path / "run", lambda step: 0.1, _stop_after(2)).go()
    resumed = Sitting(optional, samples, tmp_path / "run", lambda step: 0.1, network_seed=9)
    resumed.go(resume=True)
    expected, found = (Run(one.folder).states.load().tensors for one in (straight, resumed))
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert expected.keys() == found.keys()


def test_a_run_that_died_while_it_was_scored_is_scored_again(
    whole: Sitting, recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    def die(step: int) -> float:
        raise Interrupted

    with pytest.raises(Interrupted):
        Sitting(recipe, samples, tmp_path, die).go()
    second = Sitting(recipe, samples, tmp_path, lambda step: step / 10)
    second.go(resume=True)
    assert [event.kind for event in second.events[:3]] == ["begun", "saved", "validated"]
    assert second.best == whole.best


def test_training_moves_every_weight(whole: Sitting) -> None:
    fresh = fresh_network(network_by_name("baseline"), 11)
    before, after = dict(fresh.named_parameters()), dict(whole.network.named_parameters())
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_class_weights_change_what_is_learned(whole: Sitting, recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    weighted = msgspec.structs.replace(
        recipe, iterations=1, loss=msgspec.structs.replace(recipe.loss, class_weights="inverse-log")
    )
    sitting = Sitting(weighted, samples, tmp_path)
    sitting.go()
    first = whole.seen("step", "loss")[0]
    assert sitting.seen("step", "loss") != [first]
    assert sitting.seen("step", "loss") == [pytest.approx(first, rel=0.3)]


def test_bfloat16_goes_nearly_the_same_way(whole: Sitting, recipe: Recipe, samples: Samples, tmp_path: Path) -> None:
    reduced = msgspec.structs.replace(recipe, iterations=1, precision="bfloat16")
    sitting = Sitting(reduced, samples, tmp_path)
    sitting.go()
    first = whole.seen("step", "loss")[0]
    assert sitting.events[0].values["precision"] == "bfloat16"
    assert sitting.seen("step", "loss") != [first]
    assert sitting.seen("step", "loss") == [pytest.approx(first, rel=0.05)]


@pytest.mark.parametrize(("order", "pixels"), [("rgb", RGB_PIXELS), ("bgr", BGR_PIXELS)])
def test_the_recipe_s_channel_order_decides_the_pixels(recipe: Recipe, order: str, pixels: object) -> None:
    assert pixels_of(msgspec.structs.replace(recipe, channel_order=order)) == pixels
