"""What one update of any training does where something is amiss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from fassd.core.errors import CheckpointError, UsageError
from fassd.core.recipe import Augmentation, Recipe
from fassd.data.batches import Samples, training_batches
from fassd.networks.build import init_network
from fassd.networks.specs import network_by_name
from fassd.training.distributed import Distributed
from fassd.training.setup import check_compiler
from fassd.training.state import State, TrainerState
from fassd.training.train_step import SegmentationTrainStep

CPU = torch.device("cpu")


@pytest.fixture
def light(recipe: Recipe) -> Recipe:
    """A small network on small crops."""
    return msgspec.structs.replace(recipe, network="fassd-net-l2", augmentation=Augmentation((64, 64)))


def _train_step(recipe: Recipe, samples: Samples, state: State | None = None) -> SegmentationTrainStep:
    return SegmentationTrainStep(
        init_network(network_by_name(recipe.network), 11), recipe, samples, Distributed(CPU), state
    )


def _state(recipe: Recipe, samples: Samples) -> State:
    tensors = _train_step(recipe, samples).tensors()
    return State(Path("state"), TrainerState(0, 0, -1.0, 0, 0.0, recipe, "digest", 4), tensors)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:132] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_is_explained_with_what_to_change(
    light: Recipe, samples: Samples, monkeypatch: pytest.MonkeyPatch, error: RuntimeError
) -> None:
    def fail(*_: object) -> None:
        raise error

    train_step = _train_step(light, samples)
    monkeypatch.setattr(train_step, "_loss", fail)
    with pytest.raises(
        UsageError, match=r"of cpu is too small for an iteration of 2 crops of 64x64 .* raise accumulation_st"
    ):
        train_step(next(training_batches(samples, light, 0, 0)), 0)


def test_an_error_that_is_not_out_of_memory_is_not_hidden(
    light: Recipe, samples: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes differ")

    train_step = _train_step(light, samples)
    monkeypatch.setattr(train_step, "_loss", fail)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train_step(next(training_batches(samples, light, 0, 0)), 0)


def test_a_state_of_another_network_is_refused_by_what_does_not_fit(light: Recipe, samples: Samples) -> None:
    other = msgspec.structs.replace(light, network="baseline", augmentation=Augmentation((64, 64)))
    with pytest.raises(CheckpointError, match=r"state: does not fit the network \(network\."):
        _train_step(light, samples, _state(other, samples))


def test_a_state_resumes_where_its_random_states_are_of_another_device(light: Recipe, samples: Samples) -> None:
    state = _state(light, samples)
    moved = replace(state, tensors=state.tensors | {"random.cuda": torch.zeros(16, dtype=torch.uint8)})
    assert _train_step(light, samples, moved).tensors().keys() == state.tensors.keys()


def test_where_pytorch_cannot_compile_the_error_says_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(function: object, dynamic: bool) -> object:
        raise RuntimeError("\nNo working C++ compiler found\nlong story")

    monkeypatch.setattr(torch, "compile", fail)
    said = r"cannot compile for cpu here \(No working C\+\+ compiler found\): .*install that, or set compile to false"
    with pytest.raises(UsageError, match=said):
        check_compiler(CPU)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's compiler warns of parts of PyTorch
def test_a_compiled_network_learns_what_a_plain_one_does(light: Recipe, samples: Samples) -> None:
    check_compiler(CPU)
    losses = []
    for compiled in (False, True):
        recipe = msgspec.structs.replace(light, compile=compiled)
        train_step = _train_step(recipe, samples)
        losses.append(train_step(next(training_batches(samples, recipe, 0, 0)), 0).loss)
        assert not any("_orig_mod" in name for name in train_step.tensors())
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
