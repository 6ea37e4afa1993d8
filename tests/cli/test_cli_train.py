"""`fassd train` as its users call it: looking ahead, and going on."""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from fassd.core.processes import blocked_signals
from fassd.core.recipe import read_values, recipe_from, shipped_recipes

Fassd = Callable[..., tuple[int, str, str]]


@pytest.fixture
def begin(world: Path) -> list[object]:
    """The command that begins a training, but for its folder."""
    return ["train", world / "recipe.toml", "--data", f"camvid:{world / 'camvid'}", "--workers", 0, "--track", "none"]


def test_a_dry_run_prints_the_effective_recipe_and_what_it_takes(fassd: Fassd, begin: list[object]) -> None:
    before = set(Path().iterdir())
    code, printed, said = fassd(*begin, "--batch-size", 4, "--set", "optimizer.lr=0.5", "--dry-run")
    assert (code, said) == (0, "")
    page, _, table = printed.partition("\nnetwork  ")
    recipe = recipe_from(tomllib.loads(page), "printed")
    assert (recipe.batch_size, recipe.optimizer.lr, recipe.iterations) == (4, 0.5, 2)
    for word in ("parameters", "for training", "epochs", "memory", "one iteration", "one validation", "training "):
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
    [
        (("--batch-size", 4), "batch_size 4 instead of 2"),
        (("--set", "loss.min_kept=99"), "loss.min_kept 99 instead of 512"),
    ],
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


def test_the_recipes_that_ship_are_listed_by_the_verb_that_takes_them(fassd: Fassd) -> None:
    listed = []
    for verb, task in (("train", "segmentation"), ("pretrain", "classification")):
        code, printed, said = fassd(verb, "--recipes")
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
def test_a_recipe_given_to_the_wrong_verb_is_refused_with_the_right_command(
    fassd: Fassd, given: list[str], said: str, tmp_path: Path
) -> None:
    code, _, error = fassd(*given, "--out", tmp_path / "run")
    assert code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_where_no_terminal_shows_a_bar_lines_tell_of_the_updates(
    fassd: Fassd, begin: list[object], tmp_path: Path
) -> None:
    code, _, said = fassd(*begin, "--out", tmp_path / "run")
    assert code == 0
    told = [line for line in said.splitlines() if re.match(r"update \d of 2: loss ", line)]
    assert [line.split()[1] for line in told] == ["1", "2"]
    assert re.fullmatch(r"update 2 of 2: loss [\d.]+, rate [\d.e-]+, [\d.]+ images/s, 0:00:00 left", told[-1])
    assert "━" not in said


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows holds no signals back")
def test_a_signal_while_packages_load_comes_afterwards() -> None:
    """In the middle of PyTorch's import it came out as a bug of ours, or aborted the process."""
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt), blocked_signals(signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(signal.SIGINT)
        seen.append("loaded")
    assert seen == ["loaded"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
