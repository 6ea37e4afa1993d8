from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from fassd.core.errors import CheckpointError, FileError, UsageError
from fassd.core.recipe import Recipe
from fassd.networks.build import fresh_network
from fassd.networks.network import SegmentationNetwork
from fassd.networks.table import network_by_name
from fassd.training.run import Progress, Run


def _network(seed: int, steps: int = 0) -> tuple[SegmentationNetwork, torch.optim.Optimizer]:
    network = fresh_network(network_by_name("baseline"), 3, seed=seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.SGD(network.parameters(), 0.01, 0.9)
    for _ in range(steps):
        network.train()(torch.randn(2, 3, 32, 32)).square().mean().backward()
        optimiser.step()
    return network, optimiser


@pytest.fixture
def progress(recipe: Recipe) -> Progress:
    return Progress(2, 0.25, 1, 12.5, recipe, 4)


def test_what_is_saved_is_restored_to_the_bit(tmp_path: Path, progress: Progress) -> None:
    run = Run(tmp_path)
    network, optimiser = _network(0, steps=2)
    run.save_state(network, optimiser, progress)
    other, fresh = _network(1)
    run.restore(other, fresh)
    assert run.read_progress() == progress
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in network.state_dict().items())
    momenta = [[state["momentum_buffer"] for state in one.state.values()] for one in (optimiser, fresh)]
    assert len(momenta[0]) == len(list(network.parameters()))
    assert all(torch.equal(first, second) for first, second in zip(*momenta, strict=True))
    assert all(first.stride() == second.stride() for first, second in zip(*momenta, strict=True))


def test_a_state_saved_before_the_first_update_has_no_momentum(tmp_path: Path, progress: Progress) -> None:
    run = Run(tmp_path)
    run.save_state(*_network(0), progress)
    network, optimiser = _network(1)
    run.restore(network, optimiser)
    assert not optimiser.state


def test_the_folder_opens_with_the_recipe_in_effect(tmp_path: Path, recipe: Recipe) -> None:
    Run(tmp_path / "deep" / "run").begin(recipe)
    written = (tmp_path / "deep" / "run" / "recipe.json").read_bytes()
    assert msgspec.json.decode(written, type=Recipe) == recipe


@pytest.mark.parametrize("name", ["state.safetensors", "best.safetensors"])
def test_a_folder_that_holds_a_run_is_not_begun_again(tmp_path: Path, recipe: Recipe, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="holds a run already: add --resume"):
        Run(tmp_path).begin(recipe)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_where_a_run_stopped_before_its_first_state_may_be_begun(tmp_path: Path, recipe: Recipe) -> None:
    Run(tmp_path).begin(recipe)
    Run(tmp_path).begin(recipe)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(FileError, match="cannot be written"):
        Run(tmp_path / "run").begin(recipe)


def test_the_log_grows_by_a_line_of_json_each_time(tmp_path: Path) -> None:
    Run(tmp_path).log("step", step=1, loss=0.5)
    Run(tmp_path).log("validated", step=1, mean_iou=0.25)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [
        {"event": "step", "step": 1, "loss": 0.5},
        {"event": "validated", "step": 1, "mean_iou": 0.25},
    ]


def test_a_run_without_a_state_has_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no training state to resume"):
        Run(tmp_path).read_progress()


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_truncated_state_is_refused_by_name(tmp_path: Path, progress: Progress, length: int) -> None:
    run = Run(tmp_path)
    run.save_state(*_network(0), progress)
    run.state_path.write_bytes(run.state_path.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"state\.safetensors: is damaged or no training state"):
        run.read_progress()


@pytest.mark.parametrize(
    "metadata", [None, {"other": "{}"}, {"fassd-training-state": "{"}, {"fassd-training-state": '{"step": 1}'}]
)
def test_a_file_that_is_no_training_state_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    run = Run(tmp_path)
    save_file({"a": torch.ones(2)}, run.state_path, metadata)
    with pytest.raises(CheckpointError, match="is damaged or no training state"):
        run.read_progress()


def test_the_state_of_a_network_with_other_classes_is_refused(tmp_path: Path, progress: Progress) -> None:
    """As when a run is resumed on other data with equally many samples."""
    run = Run(tmp_path)
    run.save_state(*_network(0), progress)
    other = fresh_network(network_by_name("baseline"), 5)
    with pytest.raises(CheckpointError, match=r"state\.safetensors"):
        run.restore(other, torch.optim.SGD(other.parameters(), 0.01))
