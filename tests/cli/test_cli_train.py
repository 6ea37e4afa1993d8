"""`fassd train` as its users call it: looking ahead, and going on."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from fassd.core.recipe import recipe_from

Fassd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def begin(world: Path) -> list[object]:
    """The command that begins a training, but for its folder."""
    return ["train", world / "recipe.toml", "--data", f"camvid:{world / 'camvid'}", "--workers", 0, "--track", "none"]


def test_a_dry_run_prints_the_effective_recipe_and_what_it_takes(fassd: Fassd, begin: list[object]) -> None:
    before = set(Path().iterdir())
    code, printed, said = fassd(*begin, "--batch", 4, "--set", "optimiser.rate=0.5", "--dry-run")
    assert (code, said) == (0, "")
    page, _, table = printed.partition("\nnetwork  ")
    recipe = recipe_from(tomllib.loads(page), "printed")
    assert (recipe.batch, recipe.optimiser.rate, recipe.iterations) == (4, 0.5, 2)
    for word in ("parameters", "to learn from", "passes", "memory", "an update", "a validation", "the whole run"):
        assert word in table
    assert set(Path().iterdir()) == before


def test_a_run_goes_on_with_its_folder_alone(fassd: Fassd, begin: list[object], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert fassd(*begin, "--out", out, "--set", "save_every=1")[0] == 0
    newest = max((out / "states").iterdir())
    newest.unlink()
    (out / "best.safetensors").unlink()
    code, printed, said = fassd("train", "--resume", "--out", out, "--workers", 0, "--track", "none")
    assert code == 0
    assert "going on from" in said
    assert newest.exists()
    assert f"--weights {out / 'best.safetensors'}" in printed.replace("\n", "")


@pytest.mark.parametrize(
    ("given", "named"),
    [(("--batch", 4), "batch 4 instead of 2"), (("--set", "loss.kept=99"), "loss.kept 99 instead of 512")],
)
def test_going_on_with_other_values_is_refused_by_their_names(
    fassd: Fassd, begin: list[object], tmp_path: Path, given: tuple[object, ...], named: str
) -> None:
    out = tmp_path / "run"
    assert fassd(*begin, "--out", out)[0] == 0
    code, _, said = fassd("train", "--resume", "--out", out, *given)
    assert code == 2
    assert named in said
    assert said.count("\n") == 1
