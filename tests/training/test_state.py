from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from fassd.core.errors import CheckpointError, UsageError
from fassd.core.recipe import Recipe
from fassd.training.state import States, TrainerState

TENSORS = {
    "weights": torch.arange(24.0).reshape(2, 3, 4),
    "laid out": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "reduced": torch.randn(5).bfloat16(),
    "count": torch.tensor(7),
    "bytes": torch.arange(9, dtype=torch.uint8),
    "none": torch.zeros(0),
}


@pytest.fixture
def states(tmp_path: Path) -> States:
    return States(tmp_path / "states")


@pytest.fixture
def progress(recipe: Recipe) -> TrainerState:
    return TrainerState(2, 2, 0.25, 1, 12.5, recipe, "digest", 4, {"scale": 65536.0, "_growth_tracker": 3})


def _at(progress: TrainerState, step: int, keep_every: int = 0) -> TrainerState:
    recipe = msgspec.structs.replace(progress.recipe, keep_every=keep_every)
    return msgspec.structs.replace(progress, iteration=step, recipe=recipe)


def _steps(states: States) -> list[int]:
    return [int(path.stem.rpartition("-")[2]) for path in states.paths()]


def test_what_is_saved_is_loaded_bit_exactly(states: States, progress: TrainerState) -> None:
    states.save(TENSORS, progress)
    state = states.load()
    assert (state.progress, state.broken) == (progress, ())
    assert state.tensors.keys() == TENSORS.keys()
    assert all(torch.equal(value, TENSORS[name]) for name, value in state.tensors.items())
    assert all(value.dtype == TENSORS[name].dtype for name, value in state.tensors.items())


def test_a_state_is_safetensors_and_no_pickle(states: States, progress: TrainerState) -> None:
    assert load_file(states.save(TENSORS, progress)).keys() == TENSORS.keys()


@pytest.mark.parametrize(("keep_every", "left"), [(0, [50, 40]), (20, [50, 40, 20]), (30, [50, 40, 30]), (7, [50, 40])])
def test_the_last_two_and_every_so_many_are_kept(
    states: States, progress: TrainerState, keep_every: int, left: list[int]
) -> None:
    for step in (0, 10, 20, 30, 40, 50):
        states.save({}, _at(progress, step, keep_every))
    assert _steps(states) == left


@pytest.mark.parametrize("where", [0, 8, 0.3, 0.5, 0.99, -1], ids=str)
def test_a_flipped_bit_anywhere_is_noticed_and_the_state_before_used(
    states: States, progress: TrainerState, where: float
) -> None:
    states.save(TENSORS, _at(progress, 1))
    path = states.save(TENSORS, _at(progress, 2))
    content = bytearray(path.read_bytes())
    content[where if isinstance(where, int) else int(where * len(content))] ^= 4
    path.write_bytes(content)
    state = states.load()
    assert state.progress.iteration == 1
    assert len(state.broken) == 1
    assert state.broken[0].startswith(f"{path}: is damaged")
    assert sorted(path.name for path in states.folder.iterdir()) == [
        "state-00000001.safetensors",
        "state-00000002.broken",
    ]


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_a_truncated_state_is_never_taken_for_an_intact_one(
    tmp_path_factory: pytest.TempPathFactory, progress_of: TrainerState, data: st.DataObject
) -> None:
    states = States(tmp_path_factory.mktemp("cut"))
    path = states.save(TENSORS, progress_of)
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(CheckpointError, match="no earlier state is intact"):
        states.load()


@pytest.fixture(scope="module")
def progress_of(recipe: Recipe) -> TrainerState:
    return TrainerState(1, 0, -1.0, 0, 0.5, recipe, "digest", 4)


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_file_that_is_no_training_state_is_refused(states: States, content: bytes | None) -> None:
    states.folder.mkdir()
    path = states.folder / "state-00000007.safetensors"
    if content is None:
        save_file({"a": torch.ones(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state-00000007\.safetensors: is damaged or no training state"):
        states.load()
    assert path.exists()


def test_without_a_state_there_is_nothing_to_resume(states: States) -> None:
    with pytest.raises(UsageError, match="no training state to resume"):
        states.load()


def test_a_state_written_again_replaces_the_first(states: States, progress: TrainerState) -> None:
    states.save(TENSORS, progress)
    later = msgspec.structs.replace(progress, validated=2, best_score=0.5)
    states.save(TENSORS, later)
    assert states.load().progress == later
    assert len(states.paths()) == 1


def test_debris_of_a_killed_process_is_no_state(states: States, progress: TrainerState) -> None:
    path = states.save(TENSORS, progress)
    debris = states.folder / ".state-00000009-0a1b2c3d.safetensors"
    debris.write_bytes(path.read_bytes()[:100])
    assert states.load().path == path
