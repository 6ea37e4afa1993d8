"""The laws of the Dataset seam, over every kind of data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fassd.core.arrays import IGNORE
from fassd.core.errors import MissingSplit
from fassd.core.labels import CAMVID
from fassd.data.dataset import Dataset
from fassd.data.open_dataset import KINDS, open_dataset

CITY = """
label_space = "cityscapes"
[[partially_annotated]]
frames = "p_*"
annotated = ["road", "building", "sky"]
[to.camvid]
road = "Road"
sidewalk = "Pavement"
building = "Building"
wall = "Building"
fence = "Fence"
pole = "Pole"
"traffic light" = "SignSymbol"
"traffic sign" = "SignSymbol"
vegetation = "Tree"
terrain = "Tree"
sky = "Sky"
person = "Pedestrian"
rider = "Bicyclist"
car = "Car"
truck = "Car"
bus = "Car"
train = "Car"
motorcycle = "ignore"
bicycle = "Bicyclist"
"""
OPENED = ["camvid", "cityscapes", "folder", "folder into camvid"]


@pytest.fixture(params=OPENED)
def reopen(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    camvid_root: Path,
    make_folder: Callable[..., Path],
    make_pairs: Callable[..., None],
) -> Callable[..., Dataset]:
    """Opens the same data set anew at every call."""
    kind, _, into = str(request.param).partition(" into ")
    root = camvid_root
    if kind == "folder":
        root = make_folder(tmp_path, CITY, {"train": ["b", "a", "p_1"]}, values=19)
    if kind == "cityscapes":
        root = tmp_path
        images, masks = root / "leftImg8bit" / "train" / "ulm", root / "gtFine" / "train" / "ulm"
        make_pairs(images, masks, ["b", "a", "a_1"], 34)
        for name in ("b", "a", "a_1"):
            (images / f"{name}.png").rename(images / f"{name}_leftImg8bit.png")
            (masks / f"{name}.png").rename(masks / f"{name}_gtFine_labelIds.png")
    return lambda split="train": open_dataset(f"{kind}:{root}", split, CAMVID if into else None)


def test_every_kind_is_under_these_laws() -> None:
    assert {name.split()[0] for name in OPENED} == set(KINDS)


def test_image_and_labels_have_one_size_and_their_types(reopen: Callable[[], Dataset]) -> None:
    for sample in reopen():
        assert sample.image.dtype == sample.labels.dtype == np.uint8
        assert sample.image.shape == (*sample.labels.shape, 3)


def test_labels_are_classes_or_ignored(reopen: Callable[[], Dataset]) -> None:
    dataset = reopen()
    for sample in dataset:
        found = set(np.unique(sample.labels).tolist())
        assert found <= {*range(len(dataset.label_space)), IGNORE}


def test_on_partially_annotated_frames_only_annotated_classes_occur(reopen: Callable[[], Dataset]) -> None:
    dataset = reopen()
    for index, sample in enumerate(dataset):
        annotated = dataset.annotated(index)
        assert (annotated is None) == (sample.annotated is None)
        if annotated is not None:
            assert annotated.shape == (len(dataset.label_space),)
            assert set(np.unique(sample.labels).tolist()) <= {*np.flatnonzero(annotated).tolist(), IGNORE}


def test_names_are_unique_and_the_order_is_stable(reopen: Callable[[], Dataset]) -> None:
    names = [sample.name for sample in reopen()]
    assert len(set(names)) == len(names)
    assert names == sorted(names) == [pair.name for pair in reopen().pairs]


def test_length_index_and_iteration_agree(reopen: Callable[[], Dataset]) -> None:
    dataset = reopen()
    iterated = list(dataset)
    assert len(iterated) == len(dataset)
    for index, sample in enumerate(iterated):
        again = dataset[index]
        assert again.name == sample.name
        assert np.array_equal(again.image, sample.image)
        assert np.array_equal(again.labels, sample.labels)


def test_a_split_that_is_not_there_differs_from_a_faulty_one(reopen: Callable[..., Dataset]) -> None:
    with pytest.raises(MissingSplit, match=r"no split 'night'.*there are: train\b"):
        reopen("night")
