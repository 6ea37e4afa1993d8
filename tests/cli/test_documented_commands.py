"""The commands of `fassd train` and `fassd pretrain` in documents and recipes have options and recipes that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fassd.cli.pretrain import pretrain_command
from fassd.cli.train import train_command
from fassd.core.recipe import read_values, shipped_recipes

ROOT = Path(__file__).parents[2]
PAGES = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.sh"), *ROOT.glob("*.md"), *shipped_recipes().values()]
COMMANDS = {"train": train_command, "pretrain": pretrain_command}


def _documented() -> Iterator[str]:
    """Every such command that has a line of its own, joined where a backslash ends the line."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        start = r"^(?:# |    )?(?:(?:torchrun|accelerate) .*-m )?fassd "
        for command in re.findall(rf"{start}((?:pre)?train .*)$", text, re.MULTILINE):
            yield shlex.join(shlex.split(command, comments=True))


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without the documents")
@pytest.mark.parametrize("documented", sorted(set(_documented())))
def test_a_documented_command_is_understood(documented: str) -> None:
    name, *given = shlex.split(documented)
    if "--recipes" in given:
        return
    # Parsed, not run; an unknown option or a refused one is an error here.
    values = COMMANDS[name].make_context(name, given).params
    recipe = values["recipe"]
    assert (recipe is None) == values["resume"]
    if recipe is None or recipe == "RECIPE":
        return
    assert recipe in shipped_recipes()
    assert values["network"] or "network" in read_values(shipped_recipes()[recipe])


def test_there_are_documented_commands() -> None:
    if (ROOT / "docs").is_dir():
        assert len(set(_documented())) >= 15
