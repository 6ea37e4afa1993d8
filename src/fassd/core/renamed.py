"""Keys of files on disk that were renamed, so that files written before are still read."""

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

TASKS = {"network": "segmentation", "encoder": "classification"}
"""Values of a recipe's `trains`, and what `task` calls them."""

DESCRIPTION_KEYS = {
    "coding": "mask_encoding",
    "codes": "mask_values",
    "partial": "partially_annotated",
    "partially_annotated.marked": "partially_annotated.annotated",
    "classes.colour": "classes.color",
}
"""Of `dataset.toml`, "table.key" inside an array of tables."""


def with_new_keys(value: Any, names: Mapping[str, str]) -> Any:
    """JSON or TOML values with keys replaced at every depth; anything else stays as it is."""
    if isinstance(value, dict):
        return {names.get(key, key): with_new_keys(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [with_new_keys(one, names) for one in value]
    return value


def recipe_with_new_keys(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a recipe that an earlier version wrote, under today's keys."""
    renamed = {RECIPE_KEYS.get(key, key): value for key, value in values.items()}
    for section, inside in renamed.items():
        if isinstance(inside, dict):
            new = {RECIPE_KEYS.get(f"{section}.{key}", f"{section}.{key}"): value for key, value in inside.items()}
            renamed[section] = {key.removeprefix(f"{section}."): value for key, value in new.items()}
    if isinstance(task := renamed.get("task"), str):
        renamed["task"] = TASKS.get(task, task)
    return renamed


def key_of_today(key: str) -> str:
    """A recipe's key, "section.key" inside a section, as it is called today."""
    section, dot, name = key.rpartition(".")
    today = f"{RECIPE_KEYS.get(section, section)}{dot}{name}"
    return RECIPE_KEYS.get(today, today)


def description_with_new_keys(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a `dataset.toml` under today's keys; an old key beside its new one stays, and is unknown."""
    renamed = _renamed(values, "")
    for table, rows in renamed.items():
        if isinstance(rows, list):
            renamed[table] = [_renamed(row, f"{table}.") if isinstance(row, dict) else row for row in rows]
    return renamed


def _renamed(values: dict[str, Any], table: str) -> dict[str, Any]:
    today = {key: DESCRIPTION_KEYS.get(f"{table}{key}", f"{table}{key}").removeprefix(table) for key in values}
    return {key if today[key] in values else today[key]: value for key, value in values.items()}
