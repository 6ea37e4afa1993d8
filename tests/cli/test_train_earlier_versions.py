"""A run that version 0.1.0 began is resumed, and what it wrote is read (tests/data_before)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save

from fassd.core.catalog import WEIGHTS
from fassd.core.checkpoint import STATE_KEY, read_checkpoint, read_header
from fassd.core.digest import NO_DIGEST, with_digest
from fassd.core.recipe import read_recipe, recipe_from
from fassd.training.curves import draw_curves
from fassd.training.resume import continue_run
from fassd.training.run import Run

Fassd = Callable[..., tuple[int, str, str]]

BEFORE = Path(__file__).parents[1] / "data_before"
DATA = f"camvid:{BEFORE / 'camvid'}"
QUIET = ("--workers", 0, "--track", "none")
RECIPE = """
network = "baseline"
iterations = 3
batch_size = 2
precision = "float32"
ema_decay = 0.5
save_every = 1
validate_every = 3
[augmentation]
crop_size = [96, 128]
color_jitter = 0.2
[loss]
min_kept = 512
class_weights = "inverse-log"
aux_weight = 0.4
[optimizer]
lr = 0.02
warmup_iterations = 1
"""
TYPES = {"F32": torch.float32, "I64": torch.int64, "U8": torch.uint8}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[..., Path]) -> Run:
    """The run of tests/data_before, by this version."""
    from fassd.cli.main import run

    root = tmp_path_factory.mktemp("now")
    (root / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    begin = make_checkpoint(root / "begin.safetensors", network="baseline", seed=3)
    given = ["train", root / "recipe.toml", "--data", DATA, "--out", root / "run", "--init-weights", begin, *QUIET]
    assert run([str(one) for one in given]) == 0
    return Run(root / "run")


@pytest.fixture
def earlier(uninterrupted: Run, tmp_path: Path) -> Run:
    """The run of version 0.1.0, killed after iteration 2; the tensors of its state are computed by this version."""
    folder = tmp_path / "run"
    shutil.copytree(BEFORE / "run", folder)
    tensors = load_file(uninterrupted.states.paths()[1])
    note = json.loads((BEFORE / "state.json").read_text(encoding="utf-8"))["note"]
    states = folder / "states"
    states.mkdir()
    content = with_digest(save(tensors, {"fassd-sha256": NO_DIGEST, STATE_KEY: note}))
    (states / "state-00000002.safetensors").write_bytes(content)
    return Run(folder)


def test_a_state_has_the_tensors_that_it_had(uninterrupted: Run) -> None:
    before = json.loads((BEFORE / "state.json").read_text(encoding="utf-8"))["tensors"]
    now = load_file(uninterrupted.states.paths()[1])
    assert {name: (TYPES[kind], tuple(shape)) for name, (kind, shape) in before.items()} == {
        name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in now.items()
    }


def test_an_earlier_run_is_read_as_it_was_begun(earlier: Run) -> None:
    assert earlier.recipe() == read_recipe(BEFORE / "run/recipe.toml", earlier=True)
    info = earlier.info()
    assert info.overrides == {"batch_size": 2, "optimizer.lr": 0.02, "loss.aux_weight": 0.4}
    assert (info.init_weights, info.encoder_weights) == ("begin.safetensors", None)


def _log_keys(run: Run) -> list[tuple[str, list[str]]]:
    lines = map(json.loads, (run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [(line["event"], list(line)) for line in lines]


def test_an_earlier_run_is_resumed_and_ends_like_an_uninterrupted_one(
    fassd: Fassd, earlier: Run, uninterrupted: Run
) -> None:
    code, _, said = fassd("train", "--resume", "--out", earlier.folder, "--data", DATA, *QUIET)
    assert code == 0, said
    assert earlier.states.load().progress.iteration == 3
    ours, theirs = (load_file(run.states.paths()[0]) for run in (earlier, uninterrupted))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert [row["iteration"] for row in earlier.iterations()] == [1, 2, 3]
    assert [row.keys() for row in earlier.iterations()] == [row.keys() for row in uninterrupted.iterations()]
    assert [row.keys() for row in earlier.validations()] == [row.keys() for row in uninterrupted.validations()]
    assert _log_keys(earlier) == _log_keys(uninterrupted)
    best = read_header(earlier.best_path)
    assert best.origin == "trained by fassd from begin, after iteration 3"
    assert best.recipe is not None
    assert recipe_from(best.recipe, "header") == earlier.recipe()


def test_the_curves_of_an_earlier_run_are_drawn_from_its_own_columns(earlier: Run) -> None:
    pytest.importorskip("matplotlib")
    before = [line.split(",") for line in (earlier.folder / "updates.csv").read_text().splitlines()]
    assert before[0][:4] == ["step", "loss", "gradient", "rate"]
    assert [row["lr"] for row in earlier.iterations()] == [float(row[3]) for row in before[1:]]
    assert draw_curves(earlier).is_file()


def test_an_earlier_run_may_be_told_again_how_it_was_begun(earlier: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    without = RECIPE.replace('network = "baseline"', "").replace("lr = 0.02", "").replace("aux_weight = 0.4", "")
    recipe.write_text(without, encoding="utf-8")
    # Its overrides, noted under their earlier keys, apply to the recipe first. That has no network: the run's is kept.
    continued = continue_run(earlier.folder, str(recipe), {"batch_size": 2}, [], ("begin.safetensors", None))
    assert continued.recipe == earlier.recipe()


def test_the_recipe_of_an_earlier_run_is_no_recipe_of_a_new_one(fassd: Fassd, tmp_path: Path) -> None:
    code, _, said = fassd("train", BEFORE / "run/recipe.toml", "--data", DATA, "--out", tmp_path / "run")
    assert code == 2
    assert said.count("\n") == 1
    assert "batch is now batch_size" in said
    assert "optimiser.rate is now optimizer.lr" in said


def test_the_header_of_an_earlier_checkpoint_is_read(uninterrupted: Run, tmp_path: Path) -> None:
    written: dict[str, Any] = json.loads((BEFORE / "header.json").read_text(encoding="utf-8"))
    header = json.dumps(written).replace(written["sha256"], NO_DIGEST)
    path = tmp_path / "best.safetensors"
    path.write_bytes(with_digest(save(load_file(uninterrupted.best_path), {"fassd": header})))
    read = read_checkpoint(path).header
    assert read.recipe is not None
    assert recipe_from(read.recipe, "header") == read_recipe(BEFORE / "run/recipe.toml", earlier=True)
    assert read.normalization.std == tuple(written["pixels"]["deviation"])
    assert read.label_space is not None
    assert read.label_space.classes[0].color == tuple(written["label_space"]["classes"][0]["colour"])


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_recipes_in_the_headers_of_shipped_weights_are_read(name: str) -> None:
    recipe = read_header(WEIGHTS[name].path).recipe
    assert recipe is not None
    assert recipe_from(recipe, name).network == "fassd-net-l2"
