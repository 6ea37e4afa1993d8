"""The layouts that people have: every pair is found, with the split that it is in."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.drafts.laying import SIZE, Blocks, pairs_of

from fassd.data.open_dataset import open_dataset, splits_of
from fassd.tasks.init import init


@dataclass(frozen=True)
class Layout:
    """Where files lie, and the description that is expected."""

    image: str
    mask: str
    expected: dict[str, Any]
    splits: tuple[str, ...] = ("train", "val")
    texts: dict[str, str] = field(default_factory=dict)


def by_pattern(images: str, masks: str, splits: tuple[str, ...] | dict[str, str] = ("train", "val")) -> dict[str, Any]:
    named = splits if isinstance(splits, dict) else list(splits)
    return {"images": images, "masks": masks, **({"splits": named} if splits else {})}


def by_list(*splits: str) -> dict[str, Any]:
    return {"pairs": "pairs/{split}.csv", **({"splits": list(splits)} if splits else {})}


STEMS = {split: "\n".join(f"{split}{n}_07" for n in range(3)) for split in ("train", "val")}
LAYOUTS = {
    "images/train + masks/train": Layout(
        "images/{split}/{n}.jpg",
        "masks/{split}/{n}.png",
        by_pattern("images/{split}/*.jpg", "masks/{split}/{stem}.png"),
    ),
    "train/images + train/masks": Layout(
        "{split}/images/{n}.png",
        "{split}/masks/{n}.png",
        by_pattern("{split}/images/*.png", "{split}/masks/{stem}.png"),
    ),
    "train + trainannot": Layout(
        "{split}/{n}.png", "{split}annot/{n}.png", by_pattern("{split}/*.png", "{split}annot/{stem}.png")
    ),
    "train + train_labels, _L": Layout(
        "{split}/{n}.png", "{split}_labels/{n}_L.png", by_pattern("{split}/*.png", "{split}_labels/{stem}_L.png")
    ),
    "train_images + train_masks": Layout(
        "{split}_images/{n}.jpg",
        "{split}_masks/{n}.png",
        by_pattern("{split}_images/*.jpg", "{split}_masks/{stem}.png"),
    ),
    "training + validation": Layout(
        "images/{split}/{n}.jpg",
        "annotations/{split}/{n}.png",
        by_pattern(
            "images/{split}/*.jpg",
            "annotations/{split}/{stem}.png",
            {"train": "training", "val": "validation"},
        ),
        ("training", "validation"),
    ),
    "images beside a folder of labels in each split": Layout(
        "{split}/{n}.jpg", "{split}/labels/{n}.png", by_pattern("{split}/*.jpg", "{split}/labels/{stem}.png")
    ),
    "img + ann, no splits": Layout("img/{n}.jpg", "ann/{n}.png", by_pattern("img/*.jpg", "ann/{stem}.png", ()), ("a",)),
    "_gt": Layout("img/{n}.jpg", "gt/{n}_gt.tif", by_pattern("img/*.jpg", "gt/{stem}_gt.tif", ()), ("a",)),
    "mask_ in front": Layout("img/{n}.jpg", "m/mask_{n}.png", by_pattern("img/*.jpg", "m/mask_{stem}.png", ()), ("a",)),
    "an ending of their own": Layout(
        "x/{n}.jpg", "y/{n}_final.png", by_pattern("x/*.jpg", "y/{stem}_final.png", ()), ("a",)
    ),
    "flat, two suffixes": Layout("{n}.jpg", "{n}_mask.png", by_pattern("*.jpg", "{stem}_mask.png", ()), ("a",)),
    "flat, one stem": Layout("{n}.jpg", "{n}.png", by_pattern("*.jpg", "{stem}.png", ()), ("a",)),
    "a folder for each pair": Layout("{n}/img.png", "{n}/label.png", by_list(), ("a",)),
    "flat, one suffix": Layout("{n}.png", "{n}_mask.png", by_list(), ("a",)),
    "both with endings": Layout("x/{n}_image.png", "y/{n}_label.png", by_list(), ("a",)),
    "nested": Layout(
        "images/{split}/c1/{n}.jpg",
        "masks/{split}/c1/{n}.png",
        by_pattern("images/{split}/c1/*.jpg", "masks/{split}/c1/{stem}.png"),
    ),
    "brackets in a folder": Layout("img [1]/{n}.jpg", "ann/{n}.png", by_list(), ("a",)),
    "Roboflow": Layout(
        "{split}/{n}_jpg.rf.{n}.jpg",
        "{split}/{n}_jpg.rf.{n}_mask.png",
        by_pattern("{split}/*.jpg", "{split}/{stem}_mask.png", {"train": "train", "val": "valid"}),
        ("train", "valid"),
        {"train/_classes.csv": "Pixel Value, Class\n0, a\n1, b\n2, c\n3, d\n"},
    ),
    "Mapillary": Layout(
        "{split}/images/{n}.jpg",
        "{split}/v1.2/labels/{n}.png",
        by_pattern(
            "{split}/images/*.jpg", "{split}/v1.2/labels/{stem}.png", {"train": "training", "val": "validation"}
        ),
        ("training", "validation"),
    ),
    "KITTI": Layout(
        "{split}/image_2/{n}.png",
        "{split}/semantic/{n}.png",
        by_pattern("{split}/image_2/*.png", "{split}/semantic/{stem}.png", {"train": "training"}),
        ("training",),
    ),
    "in capitals": Layout(
        "Images/{split}/{n}.JPG",
        "Masks/{split}/{n}.PNG",
        by_pattern("Images/{split}/*.JPG", "Masks/{split}/{stem}.PNG", {"train": "Train", "val": "Val"}),
        ("Train", "Val"),
    ),
    "valid beside val": Layout(
        "images/{split}/{n}.jpg",
        "masks/{split}/{n}.png",
        by_pattern("images/{split}/*.jpg", "masks/{split}/{stem}.png", ("val", "valid")),
        ("val", "valid"),
    ),
    "lists in place of other names": Layout(
        "{split}/{n}.png", "{split}/{n}_label.png", by_list("train", "val"), ("training", "validation")
    ),
    "VOC": Layout(
        "JPEGImages/{n}.jpg",
        "SegmentationClass/{n}.png",
        by_list("train", "val"),
        texts={
            **{f"ImageSets/Segmentation/{split}.txt": stems for split, stems in STEMS.items()},
            "ImageSets/Segmentation/trainval.txt": "\n".join(STEMS.values()),
        },
    ),
    "lists with spaces": Layout(
        "a/{n}.jpg",
        "b/{n}.png",
        by_list("train", "val"),
        texts={f"{s}.txt": "\n".join(f"a/{s}{n}_07.jpg b/{s}{n}_07.png" for n in range(3)) for s in ("train", "val")},
    ),
    "lists as they are taken": Layout(
        "a/{n}.jpg",
        "b/{n}.png",
        {"pairs": "{split}.csv", "splits": ["train", "val"]},
        texts={f"{s}.csv": "\n".join(f"a/{s}{n}_07.jpg,b/{s}{n}_07.png" for n in range(3)) for s in ("train", "val")},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_is_found_and_read(lay: Callable[..., Path], layout: Layout, blocks: Blocks) -> None:
    pairs = pairs_of(layout.image, layout.mask, layout.splits)
    root = lay(pairs, texts=layout.texts)
    init(root)
    written = tomllib.loads((root / "dataset.toml").read_text(encoding="utf-8"))
    keys = ("images", "masks", "pairs", "splits")
    assert {key: written[key] for key in keys if key in written} == layout.expected
    found = [sample for split in splits_of(f"folder:{root}") for sample in open_dataset(f"folder:{root}", split)]
    assert len(found) == len(pairs)
    for seed, image in enumerate(pairs):
        number = image.replace("/img.png", "").rpartition("/")[2].partition(".")[0]
        (sample,) = (sample for sample in found if number in sample.name)
        assert np.array_equal(sample.labels, blocks(seed, 4, SIZE))
