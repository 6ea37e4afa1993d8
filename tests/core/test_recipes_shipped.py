"""The recipes that ship, against the numbers that the paper and the published code give."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable

import msgspec
import pytest

from fassd.core.recipe import Recipe, read_recipe, recipe_as_toml, recipe_from, shipped_recipes
from fassd.networks.specs import NETWORKS

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


def _flat(recipe: Recipe) -> dict[str, object]:
    """Every value by its full name."""
    flat: dict[str, object] = {}
    for name, value in msgspec.to_builtins(recipe).items():
        inside: Iterable[tuple[str, object]] = value.items() if isinstance(value, dict) else [("", value)]
        flat |= {f"{name}.{key}".rstrip("."): list(one) if isinstance(one, tuple) else one for key, one in inside}
    return flat


@pytest.mark.parametrize("network", PAPER)
@pytest.mark.parametrize(("suffix", "run"), [("", FIRST_RUN), ("-finetune", SECOND_RUN)], ids=["first", "second"])
def test_the_papers_runs_on_cityscapes_have_the_published_values(
    network: str, suffix: str, run: dict[str, object]
) -> None:
    values = _flat(read_recipe(shipped_recipes()[f"cityscapes-{network}{suffix}"]))
    expected = {"network": network, **PUBLISHED, **run}
    assert {name: values[name] for name in expected} == expected
    # How often a state is saved decides nothing; every other value is in the table above.
    assert values.keys() - expected.keys() == {"save_every", "keep_every"}


@pytest.mark.parametrize("network", PAPER)
@pytest.mark.parametrize(("suffix", "place"), [("", 0), ("-finetune", 1)], ids=["first", "second"])
def test_the_score_that_a_recipe_names_is_the_papers(network: str, suffix: str, place: int) -> None:
    text = shipped_recipes()[f"cityscapes-{network}{suffix}"].read_text(encoding="utf-8")
    said = next(line for line in text.splitlines() if "mean IoU" in line)
    score = PAPER[network][place]
    assert (f"{score:.3f} in the paper" if score else "the paper gives none") in said
    assert "not measured" in said


def test_every_network_of_the_paper_has_both_runs() -> None:
    assert PAPER.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", shipped_recipes())
def test_a_recipe_is_one_complete_page(name: str) -> None:
    text = shipped_recipes()[name].read_text(encoding="utf-8")
    recipe = read_recipe(shipped_recipes()[name])
    assert tomllib.loads(text) == tomllib.loads(recipe_as_toml(recipe)), "a value is left to its default"
    assert len(text.splitlines()) <= 50
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("name", ["camvid-fassd-net", "camvid-fassd-net-l1"])
def test_the_published_recipe_at_camvids_size_differs_in_the_network_alone(name: str) -> None:
    light, own = (read_recipe(shipped_recipes()[one]) for one in ("camvid-published", name))
    assert own == msgspec.structs.replace(light, network=name.removeprefix("camvid-"))


def test_pre_training_has_hardnets_published_values() -> None:
    values = _flat(read_recipe(shipped_recipes()["imagenet"]))
    hardnet = {"batch_size": 256, "optimizer.lr": 0.05, "optimizer.weight_decay": 6e-5, "optimizer.momentum": 0.9}
    assert {name: values[name] for name in hardnet} == hardnet
    recipe = recipe_from(msgspec.to_builtins(read_recipe(shipped_recipes()["imagenet"])), "imagenet")
    assert 149 < recipe.iterations * recipe.batch_size / 1_281_167 < 151


def test_what_pre_training_makes_fits_the_papers_recipes() -> None:
    encoder = read_recipe(shipped_recipes()["imagenet"])
    stages = NETWORKS[encoder.network].stages
    for name in PAPER:
        recipe = read_recipe(shipped_recipes()[f"cityscapes-{name}"])
        assert recipe.channel_order == encoder.channel_order
        assert NETWORKS[name].stages == stages[: len(NETWORKS[name].stages)]
