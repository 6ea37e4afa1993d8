"""`fassd train` as users call it: dry runs, resuming, recipes, refusals."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from fassd.core.recipe import read_values, recipe_from, shipped_recipes
from fassd.core.renamed import RECIPE_KEYS
from fassd.networks.specs import NETWORKS

Fassd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def begin(world: Path) -> list[object]:
    """The command that starts a training, without --out."""
    return ["train", world / "recipe.toml", "--data", f"camvid:{world / 'camvid'}", "--workers", 0, "--track", "none"]


def test_a_dry_run_prints_the_effective_recipe_and_its_cost(fassd: Fassd, begin: list[object]) -> None:
    before = set(Path().iterdir())
    code, printed, said = fassd(*begin, "--batch-size", 4, "--set", "optimizer.lr=0.5", "--dry-run")
    assert (code, said) == (0, "")
    page, _, table = printed.partition("\nnetwork  ")
    recipe = recipe_from(tomllib.loads(page), "printed")
    assert (recipe.batch_size, recipe.optimizer.lr, recipe.iterations) == (4, 0.5, 2)
    for word in ("parameters", "for training", "epochs", "memory", "one iteration", "one validation", "training "):
        assert word in table
    assert set(Path().iterdir()) == before


def test_a_run_resumes_with_its_folder_only(fassd: Fassd, begin: list[object], tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert fassd(*begin, "--out", out, "--set", "save_every=1")[0] == 0
    newest = max((out / "states").iterdir())
    newest.unlink()
    (out / "best.safetensors").unlink()
    code, printed, said = fassd("train", "--resume", "--out", out, "--workers", 0, "--track", "none")
    assert code == 0
    assert "resuming from" in said
    assert newest.exists()
    assert f"--weights {out / 'best.safetensors'}" in printed.replace("\n", "")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--batch-size", 4), "batch_size 2, not 4"),
        (("--set", "loss.min_kept=99"), "loss.min_kept 512, not 99"),
    ],
)
def test_resuming_with_other_values_is_refused_by_their_names(
    fassd: Fassd, begin: list[object], tmp_path: Path, given: tuple[object, ...], named: str
) -> None:
    out = tmp_path / "run"
    assert fassd(*begin, "--out", out)[0] == 0
    code, _, said = fassd("train", "--resume", "--out", out, *given)
    assert code == 2
    assert named in said
    assert said.count("\n") == 1


def test_shipped_recipes_are_listed_by_the_command_that_takes_them(fassd: Fassd) -> None:
    listed = []
    for command, task in (("train", "segmentation"), ("pretrain", "classification")):
        code, printed, said = fassd(command, "--recipes")
        assert (code, said) == (0, "")
        names = [line.split()[0] for line in printed.splitlines()[1:]]
        assert {read_values(shipped_recipes()[name])["task"] for name in names} == {task}
        listed += names
    assert sorted(listed) == list(shipped_recipes())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["train", "imagenet"], "use fassd pretrain imagenet --data FOLDER --out FOLDER"),
        (["pretrain", "camvid"], "use fassd train camvid --data KIND:PATH --out FOLDER"),
        (["train", "imagenet", "--data", "camvid:nowhere"], "use fassd pretrain imagenet"),
        (["pretrain", "camvid", "--data", "nowhere"], "use fassd train camvid"),
    ],
)
def test_a_recipe_given_to_the_wrong_command_is_refused_with_the_right_one(
    fassd: Fassd, given: list[str], said: str, tmp_path: Path
) -> None:
    code, _, error = fassd(*given, "--out", tmp_path / "run")
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("earlier", "current"), RECIPE_KEYS.items())
def test_an_earlier_key_is_refused_in_a_file_and_in_an_option(
    fassd: Fassd, begin: list[object], tmp_path: Path, earlier: str, current: str
) -> None:
    section, _, key = earlier.rpartition(".")
    page = tmp_path / "mine.toml"
    page.write_text(f'network = "baseline"\n[{section}]\n{key} = 1\n' if section else f"{key} = 1\n", encoding="utf-8")
    in_file = ["train", page, *begin[2:], "--network", "baseline", "--out", tmp_path / "run"]
    in_option = [*begin, "--out", tmp_path / "run", "--set", f"{earlier}=1"]
    for given in (in_file, in_option):
        code, _, said = fassd(*given)
        assert code == 2
        assert f"{earlier} is now {current}" in said
        assert said.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["cityscapes", "cityscapes-finetune", "camvid-published"])
def test_a_recipe_without_a_network_asks_for_one_of_the_papers(fassd: Fassd, tmp_path: Path, name: str) -> None:
    code, _, said = fassd("train", name, "--data", f"camvid:{tmp_path}", "--out", tmp_path / "run")
    assert code == 2
    assert said == f"fassd: the recipe {name} needs --network, one of {', '.join(NETWORKS)}\n"


def test_where_no_terminal_shows_a_bar_lines_tell_of_the_iterations(
    fassd: Fassd, begin: list[object], tmp_path: Path
) -> None:
    code, _, said = fassd(*begin, "--out", tmp_path / "run")
    assert code == 0
    told = [line for line in said.splitlines() if re.match(r"iteration \d of 2: loss ", line)]
    assert [line.split()[1] for line in told] == ["1", "2"]
    assert re.fullmatch(r"iteration 2 of 2: loss [\d.]+, lr [\d.e-]+, [\d.]+ images/s, 0:00:00 left", told[-1])
    assert "━" not in said
