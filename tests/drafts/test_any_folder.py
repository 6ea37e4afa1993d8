"""Folders made at random: whatever lies there, a draft that is written can be read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.data.open_dataset import open_dataset
from fassd.tasks.init import init

WORDS = (
    "road",
    "void",
    "class 3",
    "ignore",
    "",
    '"q"',
    "a,b",
    "0",
    "255",
    "-1",
    "70000",
    "#ff0000",
    "\x07",
    "name",
    "r",
)
TABLES = ("classes.txt", "labels.csv", "class_dict.csv", "label_colors.txt", "train.txt", "val.txt")


def random_mask(random: np.random.Generator) -> Pillow.Image:
    codes = random.integers(0, random.choice([2, 4, 40, 256, 60_000]), int(random.integers(1, 9)))
    values = np.kron(codes[random.integers(0, len(codes), (4, 5))], np.ones((8, 8), np.int64))
    match random.integers(4):
        case 0:
            return Pillow.fromarray(values.astype(np.uint16))
        case 1:
            return Pillow.fromarray(np.stack([values, values, values * 7], -1).astype(np.uint8))
        case 2:
            picture = Pillow.fromarray(values.astype(np.uint8))
            picture.putpalette(random.integers(0, 256, 768, np.uint8).tobytes())
            return picture
        case _:
            return Pillow.fromarray(values.astype(np.uint8))


def random_text(random: np.random.Generator) -> str:
    lines = [random.choice(WORDS, int(random.integers(1, 6))) for _ in range(random.integers(1, 8))]
    return "\n".join(str(random.choice([",", " ", "\t", ";"])).join(line) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_whatever_lies_there_the_draft_can_be_read(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    for split in ("train", "val"):
        for part in ("img", "masks"):
            (tmp_path / split / part).mkdir(parents=True)
        for number in range(2):
            photo = Pillow.fromarray(random.integers(0, 256, (32, 40, 3), np.uint8))
            photo.save(tmp_path / split / "img" / f"{number}.png")
            random_mask(random).save(tmp_path / split / "masks" / f"{number}.png")
    for name in random.choice(TABLES, 2, replace=False):
        (tmp_path / name).write_text(random_text(random), encoding="utf-8")
    values = {str(random.choice(WORDS)): [0, -1, True, "x", [1, 2, 3], None, 70_000][random.integers(7)] for _ in "abc"}
    (tmp_path / "id2label.json").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "test.txt").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    init(tmp_path)
    for split in ("train", "val"):
        assert len(open_dataset(f"folder:{tmp_path}", split)) == 2
