"""The recipes that ship, against the numbers that the paper and the published code give."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fassd.core.errors import UsageError
from fassd.core.recipe import (
    Recipe,
    locate_recipe,
    read_recipe,
    read_values,
    recipe_as_toml,
    recipe_from,
    shipped_recipes,
)
from fassd.core.renamed import RECIPES, recipe_with_new_keys
from fassd.networks.specs import NETWORKS

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"

# What both runs on Cityscapes share. From the paper: crop, scale, flip, momentum, decay, power. From the code: the
# rest.
PUBLISHED = {
    "task": "segmentation",
    "compile": False,
    "alpha": 2,
    "accumulation_steps": 1,
    "seed": 1337,
    "channel_order": "bgr",
    "precision": "float32",
    "ema_decay": 0.0,
    "sync_batchnorm": False,
    "validate_every": 500,
    "augmentation.crop_size": [1024, 1024],
    "augmentation.scale": [0.5, 2.0],
    "augmentation.hflip": 0.5,
    "augmentation.color_jitter": 0.0,
    "loss.min_kept": 4096,
    "loss.threshold": 0.3,
    "loss.class_weights": "none",
    "loss.aux_weight": 0.0,
    "optimizer.momentum": 0.9,
    "optimizer.weight_decay": 0.0005,
    "optimizer.power": 0.9,
    "optimizer.warmup_iterations": 0,
    "optimizer.clip_grad_norm": 0.0,
    "optimizer.decay_norm_and_bias": True,
    "optimizer.encoder_lr_mult": 1.0,
}
FIRST_RUN = {"iterations": 90_000, "batch_size": 16, "optimizer.lr": 0.02}
SECOND_RUN = {"iterations": 30_000, "batch_size": 24, "optimizer.lr": 0.001}

# Mean IoU in the paper: after the first run (Table I), after the second (Tables III and IV); None where it has none.
PAPER = {
    "fassd-net": (0.782, 0.788),
    "fassd-net-l1": (None, 0.763),
    "fassd-net-l2": (None, 0.741),
    "fc-hardnet-70": (0.764, 0.774),
    "fc-hardnet-70-l1": (None, 0.748),
    "fc-hardnet-70-l2": (None, 0.721),
    "baseline": (0.752, None),
    "baseline+aspp": (0.758, None),
    "baseline+dapf": (0.777, None),
    "baseline+mda": (0.774, None),
    "baseline+aspp+mda": (0.768, None),
}


# The values of every recipe that version 0.1.0 shipped, under the keys of then.
EARLIER: dict[str, dict[str, Any]] = json.loads((TESTS / "data_before/recipes.json").read_text(encoding="utf-8"))


def _shipped(name: str, network: str = "") -> Recipe:
    """A shipped recipe with its own network, or with the one given."""
    path = shipped_recipes()[name]
    return read_recipe(path, {"network": network or read_values(path).get("network", "fassd-net")})


def _flat(recipe: Recipe) -> dict[str, object]:
    """Every value by its full name."""
    flat: dict[str, object] = {}
    for name, value in msgspec.to_builtins(recipe).items():
        inside: Iterable[tuple[str, object]] = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{name}.{key}".rstrip("."): list(one) if isinstance(one, tuple) else one for key, one in inside}
    return flat


@pytest.mark.parametrize("network", PAPER)
@pytest.mark.parametrize(
    ("name", "run"), [("cityscapes", FIRST_RUN), ("cityscapes-finetune", SECOND_RUN)], ids=["first", "second"]
)
def test_the_papers_runs_on_cityscapes_have_the_published_values(
    network: str, name: str, run: dict[str, object]
) -> None:
    values = _flat(_shipped(name, network))
    expected = {"network": network, **PUBLISHED, **run}
    assert {key: values[key] for key in expected} == expected
    # How often a state is saved decides nothing; every other value is in the table above.
    assert values.keys() - expected.keys() == {"save_every", "keep_every"}


@pytest.mark.skipif(not DOCS.is_dir(), reason="installed without the documents")
@pytest.mark.parametrize("network", PAPER)
def test_the_scores_in_the_documents_are_the_papers(network: str) -> None:
    rows = [line for line in (DOCS / "training.md").read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    (row,) = (row for row in rows if row.startswith(f"| `{network}` |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")[1:]]
    for cell, score in zip(cells, PAPER[network], strict=True):
        assert cell.partition(" ")[0] == (f"{score:.3f}" if score else "none")


@pytest.mark.parametrize("name", ["cityscapes", "cityscapes-finetune"])
def test_a_recipe_of_the_paper_says_where_its_scores_are_and_that_we_have_none(name: str) -> None:
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    said = next(line for line in text.splitlines() if "mean IoU" in line)
    assert "docs/training.md" in said
    assert "not measured" in said


def test_every_network_of_the_paper_has_both_runs() -> None:
    assert PAPER.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_is_one_complete_page(name: str) -> None:
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    values = {"network": "fassd-net", **tomllib.loads(text)}
    assert values == tomllib.loads(recipe_as_toml(_shipped(name))), "a value is left to its default"
    assert len(text.splitlines()) <= 50
    assert all(len(line) <= 120 for line in text.splitlines())


def test_three_recipes_are_for_any_network() -> None:
    without = {name for name, path in shipped_recipes().items() if "network" not in read_values(path)}
    assert without == {"cityscapes", "cityscapes-finetune", "camvid-published"}


@pytest.mark.parametrize("name", EARLIER)
def test_what_an_earlier_recipe_became_has_its_values(name: str) -> None:
    current, _, network = RECIPES.get(name, name).partition(" --network ")
    earlier = recipe_from(recipe_with_new_keys(EARLIER[name]), name)
    # Only camvid-published had a network and lost it.
    assert earlier == _shipped(current, network or ("fassd-net-l2" if current == "camvid-published" else ""))


def test_every_earlier_recipe_is_known() -> None:
    assert len(EARLIER) == 31
    assert EARLIER.keys() == RECIPES.keys() | (shipped_recipes().keys() - {"cityscapes", "cityscapes-finetune"})


@pytest.mark.parametrize(("name", "current"), RECIPES.items())
def test_an_earlier_recipe_is_refused_with_the_current_command(name: str, current: str) -> None:
    with pytest.raises(UsageError, match=re.escape(f"fassd train {current} ")) as refusal:
        locate_recipe(name)
    assert str(refusal.value).startswith(f"the recipe {name} is now {current.partition(' ')[0]} with --network ")


def test_pre_training_has_hardnets_published_values() -> None:
    values = _flat(_shipped("imagenet"))
    hardnet = {"batch_size": 256, "optimizer.lr": 0.05, "optimizer.weight_decay": 6e-5, "optimizer.momentum": 0.9}
    assert {name: values[name] for name in hardnet} == hardnet
    recipe = recipe_from(msgspec.to_builtins(_shipped("imagenet")), "imagenet")
    assert 149 < recipe.iterations * recipe.batch_size / 1_281_167 < 151


def test_what_pre_training_makes_fits_the_papers_recipes() -> None:
    encoder = _shipped("imagenet")
    stages = NETWORKS[encoder.network].stages
    for name in PAPER:
        recipe = _shipped("cityscapes", name)
        assert recipe.channel_order == encoder.channel_order
        assert NETWORKS[name].stages == stages[: len(NETWORKS[name].stages)]
