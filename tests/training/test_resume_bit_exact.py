"""Runs that are stopped, fail or die, and what going on with them comes to."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.torch import load_file
from tests.training.trainer import Interrupted, TrainerRun, stop_after

from fassd.core.errors import FassdError, FileError
from fassd.core.recipe import Augmentation, Loss, Optimizer, Recipe
from fassd.core.types import Event
from fassd.data.batches import Samples, training_batches
from fassd.networks.network import SegmentationNetwork
from fassd.training.run import Run


@pytest.mark.parametrize("stop", [4, 5])
def test_an_interrupted_run_ends_bit_exactly_like_the_uninterrupted_one(
    whole: TrainerRun, recipe: Recipe, samples: Samples, tmp_path: Path, stop: int
) -> None:
    first = TrainerRun(recipe, samples, tmp_path, lambda step: step / 10, stop_after(stop))
    with pytest.raises(Interrupted):
        first.go()
    second = TrainerRun(recipe, samples, tmp_path, lambda step: step / 10, network_seed=9)
    progress = second.go(resume=True)
    expected, found = whole.network.state_dict(), second.network.state_dict()
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert second.seen("iteration", "loss") == whole.seen("iteration", "loss")[3:]
    assert (progress.iteration, progress.best_score, progress.best_iteration) == (6, 0.6, 6)


def test_a_finished_run_resumes_into_nothing(whole: TrainerRun, recipe: Recipe, samples: Samples) -> None:
    again = TrainerRun(recipe, samples, whole.folder, lambda step: 1.0, network_seed=9)
    assert again.go(resume=True).iteration == 6
    assert again.seen("iteration", "iteration") == []
    assert all(
        torch.equal(value, again.network.state_dict()[name]) for name, value in whole.network.state_dict().items()
    )


def _states(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Run(folder).states.paths()}


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_state_and_the_batch(
    recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    kept: dict[str, bytes] = {}

    def spoil(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "iteration" and event.values["iteration"] == 4:
            kept.update(_states(tmp_path))
            network.classifier.weight.data.fill_(float("nan"))

    training = TrainerRun(recipe, samples, tmp_path, lambda step: 0.1, spoil)
    images = r"\(images train/train_00\d, train/train_00\d; "
    said = rf"loss of iteration 5 is nan {images}.* state of iteration 3 is intact.*lower optimizer\.lr"
    with pytest.raises(FassdError, match=said):
        training.go()
    assert _states(tmp_path) == kept
    assert Run(tmp_path).states.load().progress.iteration == 3
    place = tmp_path / "failed/iteration-00000005-process-0"
    batch = next(training_batches(samples, recipe, 4, 0))
    assert torch.equal(load_file(place / "batch.safetensors")["images"], batch.images)
    assert torch.equal(load_file(place / "batch.safetensors")["labels"], batch.labels)
    assert np.array_equal(np.asarray(Pillow.open(place / "image-1.png")), batch.images[1].numpy())


def test_a_gradient_that_is_not_finite_stops_the_run_before_it_touches_the_weights(
    recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    """As wrong kernels for bfloat16 gave: the loss is finite, the gradient is not."""
    training = TrainerRun(recipe, samples, tmp_path)
    bias = training.network.classifier.bias
    assert bias is not None
    bias.register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[no-untyped-call]
    before = {name: value.clone() for name, value in training.network.named_parameters()}
    with pytest.raises(FassdError, match=r"loss of iteration 1 is \d.* and its gradient norm (inf|nan)"):
        training.go()
    assert all(torch.equal(value, before[name]) for name, value in training.network.named_parameters())


def test_a_full_disk_is_said_and_costs_no_state(
    recipe: Recipe, samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, bytes] = {}
    write = Path.write_bytes

    def fill(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "iteration" and event.values["iteration"] == 4:
            kept.update(_states(tmp_path))
            monkeypatch.setattr(Path, "write_bytes", _full_after(1000, write))

    often = msgspec.structs.replace(recipe, save_every=1)
    with pytest.raises(FileError, match=r"state-00000004\.safetensors: cannot be written \(No space left on device\)"):
        TrainerRun(often, samples, tmp_path, lambda step: 0.1, fill).go()
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
def test_a_signal_takes_effect_after_the_iteration_with_its_state_saved(
    whole: TrainerRun, recipe: Recipe, samples: Samples, tmp_path: Path, number: signal.Signals
) -> None:
    def ask(event: Event, network: SegmentationNetwork) -> None:
        if event.kind == "iteration" and event.values["iteration"] == 1:
            signal.raise_signal(number)

    def handle(*_: object) -> None:
        raise Interrupted

    before = signal.signal(number, handle)
    try:
        with pytest.raises(Interrupted):
            TrainerRun(recipe, samples, tmp_path, lambda step: step / 10, ask).go()
        assert signal.getsignal(number) is handle
    finally:
        signal.signal(number, before)
    assert Run(tmp_path).states.load().progress.iteration == 2
    second = TrainerRun(recipe, samples, tmp_path, lambda step: step / 10, network_seed=9)
    second.go(resume=True)
    expected = whole.network.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in second.network.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"ema_decay": 0.9},
        {"accumulation_steps": 2},
        {"loss": Loss(min_kept=512, aux_weight=0.4, class_weights="inverse-log")},
        {
            "optimizer": Optimizer(
                warmup_iterations=2, clip_grad_norm=0.5, decay_norm_and_bias=False, encoder_lr_mult=0.1
            )
        },
        {"optimizer": Optimizer(encoder_lr_mult=0.0)},
        {"precision": "float16"},
    ],
    ids=", ".join,
)
def test_with_every_option_an_interrupted_run_ends_bit_exactly_like_the_uninterrupted_one(
    recipe: Recipe, samples: Samples, tmp_path: Path, changes: dict[str, Any]
) -> None:
    crops = Augmentation((64, 128))
    light = {"network": "fassd-net-l2", "iterations": 3, "save_every": 1, "validate_every": 3, "augmentation": crops}
    optional = msgspec.structs.replace(recipe, **light, **changes)
    straight = TrainerRun(optional, samples, tmp_path / "straight", lambda step: 0.1)
    straight.go()
    with pytest.raises(Interrupted):
        TrainerRun(optional, samples, tmp_path / "run", lambda step: 0.1, stop_after(2)).go()
    resumed = TrainerRun(optional, samples, tmp_path / "run", lambda step: 0.1, network_seed=9)
    resumed.go(resume=True)
    expected, found = (Run(one.folder).states.load().tensors for one in (straight, resumed))
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert expected.keys() == found.keys()


def test_a_run_that_died_during_validation_validates_again(
    whole: TrainerRun, recipe: Recipe, samples: Samples, tmp_path: Path
) -> None:
    def die(step: int) -> float:
        raise Interrupted

    with pytest.raises(Interrupted):
        TrainerRun(recipe, samples, tmp_path, die).go()
    second = TrainerRun(recipe, samples, tmp_path, lambda step: step / 10)
    second.go(resume=True)
    assert [event.kind for event in second.events[:3]] == ["started", "saved", "validated"]
    assert second.best == whole.best
