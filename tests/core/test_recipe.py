from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fassd.core.errors import FileError, UnknownName, UsageError
from fassd.core.recipe import (
    Recipe,
    locate_recipe,
    override_recipe,
    read_recipe,
    read_values,
    recipe_from,
    shipped_recipes,
)
from fassd.core.renamed import RECIPE_KEYS, recipe_with_new_keys
from fassd.networks.specs import NETWORKS, check_alpha, network_by_name

SHIPPED = pytest.mark.parametrize("path", shipped_recipes().values(), ids=shipped_recipes().keys())
SMALLEST = {"network": "baseline", "iterations": 10, "batch_size": 2, "augmentation": {"crop_size": [96, 128]}}


def _with(**changes: Any) -> dict[str, Any]:
    return {**SMALLEST, **changes}


@SHIPPED
def test_every_shipped_recipe_parses_and_fits_its_network(path: Path) -> None:
    own = read_values(path).get("network")
    for network in [own] if own else NETWORKS:
        recipe = read_recipe(path, {"network": network})
        spec = network_by_name(recipe.network)
        check_alpha(spec, recipe.alpha)
        assert min(recipe.augmentation.crop_size) >= spec.minimum_side


@SHIPPED
def test_every_shipped_recipe_opens_with_its_command(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith(
        (f"# fassd train {path.stem} ", f"# fassd pretrain {path.stem} ")
    )


def test_what_a_recipe_leaves_out_is_as_published() -> None:
    recipe = recipe_from(SMALLEST, "made")
    assert (recipe.loss.min_kept, recipe.loss.threshold, recipe.loss.class_weights) == (4096, 0.3, "none")
    assert msgspec.structs.astuple(recipe.optimizer) == (0.02, 0.9, 5e-4, 0.9, 0, 0.0, True, 1.0)
    assert (recipe.augmentation.scale, recipe.augmentation.hflip, recipe.augmentation.color_jitter) == (
        (0.5, 2.0),
        0.5,
        0.0,
    )
    assert recipe.alpha == 2


def test_a_recipe_comes_back_from_its_own_values() -> None:
    recipe = recipe_from(_with(seed=7, loss={"min_kept": 5, "class_weights": "inverse-log"}), "made")
    assert recipe_from(msgspec.to_builtins(recipe), "made") == recipe


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (_with(iteratoins=3), "a recipe has no key 'iteratoins'; did you mean 'iterations'"),
        (_with(optimizer={"momentm": 0.9}), r"\[optimizer\] has no key 'momentm'; did you mean 'momentum'"),
        (_with(qqqq=1), "known: .*alpha.*batch_size"),
        (_with(batch_size="2"), r"batch_size: expected .* got `str`"),
        (_with(batch_size=2.5), r"batch_size: expected .* got `float`"),
        (_with(batch_size=True), r"batch_size: expected .* got `bool`"),
        (_with(batch_size=0), r"batch_size: .*>= 1"),
        (_with(alpha=0), r"alpha: .*>= 1"),
        (_with(seed=-1), r"seed: .*>= 0"),
        (_with(precision="float8"), r"mine\.toml: precision: "),
        (_with(channel_order="grb"), r"mine\.toml: channel_order: "),
        (_with(augmentation={}), "missing required field `crop_size`"),
        (_with(augmentation={"crop_size": [96]}), r"augmentation\.crop_size: .*length 2"),
        (_with(augmentation={"crop_size": [96, 128], "hflip": 1.5}), r"augmentation\.hflip: .*<= 1"),
        (_with(augmentation={"crop_size": [96, 128], "scale": [0, 1]}), r"augmentation\.scale\[0\]: .*> 0"),
        (_with(loss={"min_kept": 0}), r"mine\.toml: loss\.min_kept: "),
        (_with(loss={"threshold": -0.1}), r"mine\.toml: loss\.threshold: "),
        (_with(optimizer={"lr": 0.0}), r"mine\.toml: optimizer\.lr: "),
        (_with(optimizer={"weight_decay": -1e-9}), r"mine\.toml: optimizer\.weight_decay: "),
        (_with(optimizer={"lr": float("nan")}), r"mine\.toml: optimizer\.lr: "),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as refusal:
        recipe_from(values, "mine.toml")
    assert str(refusal.value).startswith("mine.toml: ")


@pytest.mark.parametrize("name", ["network", "iterations", "batch_size", "augmentation"])
def test_what_every_recipe_needs_may_not_be_left_out(name: str) -> None:
    with pytest.raises(UsageError, match=f"missing required field `{name}`"):
        recipe_from({key: value for key, value in SMALLEST.items() if key != name}, "mine.toml")


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (_with(augmentation={"crop_size": [96, 128], "scale": [2.0, 0.5]}), "from 2.0 to 0.5; give the smaller"),
        (_with(augmentation={"crop_size": [64, 64]}), "min_kept is 4096 but a crop of 64x64 has 4096"),
    ],
)
def test_values_that_contradict_each_other_are_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        recipe_from(values, "mine.toml")


def test_values_at_the_edge_of_a_contradiction_pass() -> None:
    edge = {"crop_size": [64, 64], "scale": [1.0, 1.0]}
    assert recipe_from(_with(augmentation=edge, loss={"min_kept": 4095}), "made").loss.min_kept == 4095


def test_pre_training_takes_small_crops_for_it_has_no_loss_of_pixels() -> None:
    small = _with(augmentation={"crop_size": [64, 64]}, task="classification")
    assert recipe_from(small, "made").augmentation.crop_size == (64, 64)


def test_a_page_of_toml_is_read(tmp_path: Path) -> None:
    page = tmp_path / "mine.toml"
    page.write_text(
        'network = "baseline"\niterations = 10\nbatch_size = 2\n[augmentation]\ncrop_size = [96, 128]\n',
        encoding="utf-8",
    )
    assert read_recipe(page) == recipe_from(SMALLEST, "made")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"network = ", "not valid TOML"), (b'network = "\xff"', "not valid TOML"), (None, "cannot be read")],
)
def test_a_page_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    page = tmp_path / "mine.toml"
    if content is not None:
        page.write_bytes(content)
    with pytest.raises(FileError, match=complaint) as refusal:
        read_recipe(page)
    assert refusal.value.path == page


def test_recipes_are_found_by_name_or_file(tmp_path: Path) -> None:
    name, path = next(iter(shipped_recipes().items()))
    assert locate_recipe(name) == path
    assert locate_recipe(str(tmp_path / "mine.toml")) == tmp_path / "mine.toml"
    with pytest.raises(UnknownName, match=f"did you mean {name}"):
        locate_recipe(name[:-1])


def _smallest() -> Recipe:
    return recipe_from(SMALLEST, "made")


def test_an_override_replaces_what_is_given_and_no_more() -> None:
    changed = override_recipe(_smallest(), {"batch_size": 3, "seed": None})
    assert changed == msgspec.structs.replace(_smallest(), batch_size=3)


def test_an_override_is_checked_like_a_recipe() -> None:
    with pytest.raises(UsageError, match="options: batch_size: expected"):
        override_recipe(_smallest(), {"batch_size": 0})


def test_a_file_without_a_network_takes_that_of_an_option(tmp_path: Path) -> None:
    page = tmp_path / "mine.toml"
    page.write_text("iterations = 10\nbatch_size = 2\n[augmentation]\ncrop_size = [96, 128]\n", encoding="utf-8")
    assert read_recipe(page, {"network": "baseline"}) == recipe_from(SMALLEST, "made")
    with pytest.raises(UsageError, match=r"mine\.toml: .*missing required field `network`"):
        read_recipe(page)


def _earlier(key: str) -> dict[str, Any]:
    """A recipe with one key under its earlier name, which may stand in a section."""
    section, _, name = key.rpartition(".")
    return _with(**{section: {name: 1}}) if section else _with(**{key: 1})


@pytest.mark.parametrize(("earlier", "current"), RECIPE_KEYS.items())
def test_an_earlier_key_is_refused_with_its_current_name(tmp_path: Path, earlier: str, current: str) -> None:
    with pytest.raises(UsageError, match=rf"mine\.toml: {re.escape(earlier)} is now {re.escape(current)}"):
        recipe_from(_earlier(earlier), "mine.toml")
    with pytest.raises(UsageError, match=rf"options: {re.escape(earlier)} is now {re.escape(current)}"):
        override_recipe(_smallest(), {earlier: 1})


def test_all_earlier_keys_are_told_in_one_sentence() -> None:
    values = _with(trains="encoder", optimiser={"rate": 0.1, "momentum": 0.5})
    with pytest.raises(UsageError) as refusal:
        recipe_from(values, "mine.toml")
    assert str(refusal.value) == (
        "mine.toml: trains is now task (segmentation or classification), optimiser is now optimizer, optimiser.rate is "
        "now optimizer.lr"
    )


def test_an_earlier_section_is_refused_in_an_option() -> None:
    for earlier, current in (("optimiser.rate", "optimizer.lr"), ("optimiser.momentum", "optimizer.momentum")):
        with pytest.raises(UsageError, match=f"options: {earlier} is now {current}"):
            override_recipe(_smallest(), {earlier: 0.5})


def test_values_of_an_earlier_version_are_read_under_the_current_keys() -> None:
    earlier = {
        **{"trains": "encoder", "network": "baseline", "batch": 4, "accumulate": 2, "average": 0.5},
        **{"sync_norms": False, "augmentation": {"crop": [1, 2], "flip": 0.1, "jitter": 0.2}},
        **{"loss": {"kept": 3, "auxiliary": 0.3, "threshold": 1.0}},
        "optimiser": {"rate": 1, "decay": 2, "clip": 3, "decay_all": False, "encoder_rate": 4, "warmup": 5, "power": 6},
    }
    current = {
        **{"task": "classification", "network": "baseline", "batch_size": 4, "accumulation_steps": 2},
        **{"ema_decay": 0.5, "sync_batchnorm": False},
        "augmentation": {"crop_size": [1, 2], "hflip": 0.1, "color_jitter": 0.2},
        "loss": {"min_kept": 3, "aux_weight": 0.3, "threshold": 1.0},
        "optimizer": {
            **{"lr": 1, "weight_decay": 2, "clip_grad_norm": 3, "decay_norm_and_bias": False},
            **{"encoder_lr_mult": 4, "warmup_iterations": 5, "power": 6},
        },
    }
    assert recipe_with_new_keys(earlier) == current
    assert recipe_with_new_keys(current) == current
    assert recipe_with_new_keys({"batch": 4, "optimiser.rate": 0.5}) == {"batch_size": 4, "optimizer.lr": 0.5}
