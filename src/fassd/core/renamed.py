"""Earlier names of keys and recipes: files on disk are read under both names, users are told the new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADER_KEYS = {"colour": "color", "pixels": "normalization", "deviation": "std", "raw_id": "label_id"}
"""Of checkpoint headers and label spaces, at any depth."""

RECIPE_KEYS = {
    "trains": "task",
    "batch": "batch_size",
    "accumulate": "accumulation_steps",
    "average": "ema_decay",
    "sync_norms": "sync_batchnorm",
    "augmentation.crop": "augmentation.crop_size",
    "augmentation.flip": "augmentation.hflip",
    "augmentation.jitter": "augmentation.color_jitter",
    "loss.kept": "loss.min_kept",
    "loss.auxiliary": "loss.aux_weight",
    "optimiser": "optimizer",
    "optimizer.rate": "optimizer.lr",
    "optimizer.decay": "optimizer.weight_decay",
    "optimizer.clip": "optimizer.clip_grad_norm",
    "optimizer.decay_all": "optimizer.decay_norm_and_bias",
    "optimizer.encoder_rate": "optimizer.encoder_lr_mult",
    "optimizer.warmup": "optimizer.warmup_iterations",
}
"""Of recipes, "section.key" inside a section."""

TRAINER_STATE_KEYS = {"step": "iteration", "best_step": "best_iteration"}
"""Of the note in a training state."""

LOG_KEYS = {"step": "iteration", "gradient": "grad_norm", "rate": "lr"}
"""Columns of `updates.csv` and `validations.csv`, and keys of `log.jsonl`."""

LOG_EVENTS = {"step": "iteration"}
"""Values of "event" in `log.jsonl`."""

TASKS = {"network": "segmentation", "encoder": "classification"}
"""Values of a recipe's `trains`, and what `task` calls them."""

RUN_KEYS = {"start": "init_weights", "encoder": "encoder_weights"}
"""Of a run's run.json."""

_CITYSCAPES_NETWORKS = (
    *("fassd-net", "fassd-net-l1", "fassd-net-l2", "fc-hardnet-70", "fc-hardnet-70-l1", "fc-hardnet-70-l2"),
    *("baseline", "baseline+aspp", "baseline+dapf", "baseline+mda", "baseline+aspp+mda"),
)
RECIPES = {
    f"cityscapes-{network}{run}": f"cityscapes{run} --network {network}"
    for network in _CITYSCAPES_NETWORKS
    for run in ("", "-finetune")
} | {f"camvid-{network}": f"camvid-published --network {network}" for network in ("fassd-net", "fassd-net-l1")}
"""Recipes that were one for each network, and what `fassd train` takes instead."""

DESCRIPTION_KEYS = {
    "coding": "mask_encoding",
    "codes": "mask_values",
    "partial": "partially_annotated",
    "partially_annotated.marked": "partially_annotated.annotated",
    "classes.colour": "classes.color",
}
"""Of `dataset.toml`, "table.key" inside an array of tables."""


def with_new_keys(value: Any, names: Mapping[str, str]) -> Any:
    """JSON or TOML values with keys replaced at every depth; other values are unchanged."""
    if isinstance(value, dict):
        return {names.get(key, key): with_new_keys(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [with_new_keys(one, names) for one in value]
    return value


def recipe_with_new_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a recipe that an earlier version wrote, under the current keys; nested or "section.key"."""
    renamed = dict[str, Any]()
    for key, value in values.items():
        new = current_key(key)
        if isinstance(value, dict):
            inside = {current_key(f"{key}.{name}").removeprefix(f"{new}."): one for name, one in value.items()}
            renamed[new] = inside
        else:
            renamed[new] = TASKS.get(value, value) if new == "task" and isinstance(value, str) else value
    return renamed


def run_info_with_new_keys(values: Any) -> Any:
    """The values of a run.json that an earlier version wrote, under the current keys."""
    if not isinstance(values, dict):
        return values
    renamed = {RUN_KEYS.get(key, key): value for key, value in values.items()}
    if isinstance(overrides := renamed.get("overrides"), dict):
        renamed["overrides"] = recipe_with_new_keys(overrides)
    return renamed


def current_key(key: str) -> str:
    """The current name of a recipe's key, "section.key" inside a section."""
    section, dot, name = key.rpartition(".")
    renamed = f"{RECIPE_KEYS.get(section, section)}{dot}{name}"
    return RECIPE_KEYS.get(renamed, renamed)


def description_with_new_keys(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a `dataset.toml` under the current keys; an old key beside its new one stays, and is unknown."""
    renamed = _renamed(values, "")
    for table, rows in renamed.items():
        if isinstance(rows, list):
            renamed[table] = [_renamed(row, f"{table}.") if isinstance(row, dict) else row for row in rows]
    if renamed.get("mask_encoding") == "colours":
        renamed["mask_encoding"] = "colors"
    return renamed


def _renamed(values: dict[str, Any], table: str) -> dict[str, Any]:
    current = {key: DESCRIPTION_KEYS.get(f"{table}{key}", f"{table}{key}").removeprefix(table) for key in values}
    return {key if current[key] in values else current[key]: value for key, value in values.items()}
