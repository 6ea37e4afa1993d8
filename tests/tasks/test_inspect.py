from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from safetensors.numpy import save_file

from fassd.core.checkpoint import METADATA_KEY, Header, read_checkpoint, read_digest
from fassd.core.errors import CheckpointError
from fassd.core.recipe import locate_recipe, read_recipe
from fassd.runtimes.exported import EXPORT_KINDS, ExportSpec
from fassd.tasks.inspect import NO_CHECKSUM, inspect
from fassd.training.state import States, TrainerState


def test_a_checkpoint_says_its_header_and_that_it_is_whole(tiny_weights: Path) -> None:
    found = inspect(tiny_weights)
    assert found.metadata == read_checkpoint(tiny_weights).header
    assert (found.kind, found.size) == ("checkpoint", tiny_weights.stat().st_size)
    assert f"sha-256 {(read_digest(tiny_weights) or '')[:16]}" in found.condition


def test_a_checkpoint_without_digest_is_told_from_one_with_it(tiny_weights: Path, tmp_path: Path) -> None:
    checkpoint, path = read_checkpoint(tiny_weights), tmp_path / "early.safetensors"
    save_file(checkpoint.arrays, path, {METADATA_KEY: msgspec.json.encode(checkpoint.header).decode()})
    assert (inspect(path).metadata, inspect(path).condition) == (checkpoint.header, NO_CHECKSUM)


@pytest.mark.parametrize("kind", ["openvino", "onnx"])
def test_an_exported_file_says_its_header(tiny_weights: Path, tmp_path: Path, kind: str) -> None:
    checkpoint, row = read_checkpoint(tiny_weights), EXPORT_KINDS[kind]
    path = tmp_path / f"net{row.suffixes[0]}"
    row.write(ExportSpec(checkpoint, "logits", "float32"), path)
    found = inspect(path)
    assert (found.metadata, found.kind.partition(",")[0]) == (checkpoint.header, f"exported to {kind}")
    assert found.size == sum(file.stat().st_size for file in tmp_path.iterdir())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    recipe = read_recipe(locate_recipe("camvid"))
    return States(tmp_path).save({}, TrainerState(40, 40, 0.5, 20, 90.0, recipe, "0123456789abcdef", 367))


def test_a_training_state_says_where_its_run_stands(state: Path) -> None:
    found = inspect(state)
    assert found.kind == "training state"
    assert not isinstance(found.metadata, Header)
    assert (found.metadata.iteration, found.metadata.best_score) == (40, 0.5)


def test_a_training_state_is_no_checkpoint(state: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a training state.* name best\.safetensors"):
        read_checkpoint(state)


@pytest.mark.parametrize("suffix", [".safetensors", ".xml", ".onnx", ".pt2"])
def test_a_missing_file_is_told(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        inspect(tmp_path / f"missing{suffix}")


def test_a_damaged_state_is_told(state: Path) -> None:
    content = bytearray(state.read_bytes())
    content[300] ^= 1
    state.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        inspect(state)
