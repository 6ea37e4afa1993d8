"""Cityscapes' layout on disk."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import IGNORE, Labels
from fassd.core.errors import DataError, MissingSplit, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES, CITYSCAPES_CLASSES, CITYSCAPES_TO_CAMVID, LabelClass, LabelSpace
from fassd.data.cityscapes import instance_map_of
from fassd.data.open_dataset import open_dataset, splits_of
from fassd.media.masks import read_values

RAW = np.arange(34, dtype=np.uint8).repeat(4).reshape(8, 17)
TRAIN = np.append(np.arange(19), IGNORE).astype(np.uint8).repeat(4).reshape(8, 10)
TABLE = [row.train_id if not row.ignored else IGNORE for row in CITYSCAPES_CLASSES if row.label_id >= 0]

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes one frame; its name is city/stem."""

    def make(split: str, name: str, mask: Labels | None = RAW, masks: str = "gtFine", ending: str = "labelIds") -> Path:
        image = tmp_path / "leftImg8bit" / split / f"{name}_leftImg8bit.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        shape = (8, 17) if mask is None else mask.shape
        Pillow.fromarray(np.zeros((*shape, 3), np.uint8)).save(image)
        folder = (tmp_path / masks / split / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        if mask is not None:
            Pillow.fromarray(mask).save(tmp_path / masks / split / f"{name}_{masks}_{ending}.png")
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("split", "annotation"), [("train", "gtFine"), ("train_extra", "gtCoarse"), ("val_coarse", "gtCoarse")]
)
def test_every_label_id_becomes_its_train_id_whoever_annotated(write: Write, split: str, annotation: str) -> None:
    rows = [row for row in CITYSCAPES_CLASSES if row.label_id >= 0]
    mask = np.array([[row.label_id for row in rows]], np.uint8)
    root = write(split.removesuffix("_coarse"), "ulm/ulm_000000_000019", mask, annotation)
    assert split in splits_of(f"cityscapes:{root}")
    labels = open_dataset(f"cityscapes:{root}", split)[0].labels
    assert labels.tolist() == [[row.train_id for row in rows]]
    assert sorted(set(labels.ravel().tolist())) == [*range(len(CITYSCAPES)), IGNORE]


def test_label_ids_become_train_ids_and_the_rest_is_ignored(write: Write) -> None:
    dataset = open_dataset(f"cityscapes:{write('train', 'ulm/ulm_0_0')}", "train")
    assert dataset.label_space == CITYSCAPES
    assert dataset[0].labels.ravel()[::4].tolist() == TABLE
    assert dataset[0].annotated is None
    assert "not commercial" in dataset.terms


def test_where_label_ids_are_missing_train_ids_are_read(write: Write) -> None:
    sample = open_dataset(f"cityscapes:{write('val', 'ulm/ulm_0_0', TRAIN, ending='labelTrainIds')}", "val")[0]
    assert np.array_equal(sample.labels, TRAIN)


def test_label_ids_are_preferred_where_both_are_there(write: Write) -> None:
    write("val", "ulm/ulm_0_0", TRAIN, ending="labelTrainIds")
    dataset = open_dataset(f"cityscapes:{write('val', 'ulm/ulm_0_0', RAW)}", "val")
    assert dataset[0].labels.ravel()[::4].tolist() == TABLE


def test_a_split_of_which_some_frames_lack_label_ids_is_refused(write: Write) -> None:
    write("val", "ulm/ulm_0_0")
    root = write("val", "ulm/ulm_0_1", TRAIN, ending="labelTrainIds")
    with pytest.raises(DataError, match=r"ulm_0_1_leftImg8bit.png: has no mask: .*ulm_0_1_gtFine_labelIds.png"):
        open_dataset(f"cityscapes:{root}", "val")


@pytest.mark.parametrize(
    ("value", "ending", "allowed"), [(34, "labelIds", "0-33"), (255, "labelIds", "0-33"), (19, "labelTrainIds", "0-18")]
)
def test_a_value_outside_the_table_is_refused(write: Write, value: int, ending: str, allowed: str) -> None:
    root = write("train", "ulm/ulm_0_0", np.full((8, 8), value, np.uint8), ending=ending)
    with pytest.raises(DataError, match=f"holds the value {value}; allowed are {allowed}"):
        open_dataset(f"cityscapes:{root}", "train")[0]


def test_names_are_city_and_stem_in_order_even_where_cities_share_a_beginning(write: Write) -> None:
    for name in ("ulm-2/ulm_0_0", "ulm/ulm_0_0_1", "ulm/ulm_0_0", "bonn/ulm_0_0"):
        root = write("train", name)
    names = [pair.name for pair in open_dataset(f"cityscapes:{root}", "train").pairs]
    assert names == sorted(["ulm-2/ulm_0_0", "ulm/ulm_0_0_1", "ulm/ulm_0_0", "bonn/ulm_0_0"])


def test_what_is_not_an_image_is_skipped(write: Write) -> None:
    root = write("train", "ulm/ulm_0_0")
    city = root / "leftImg8bit" / "train" / "ulm"
    (city / "._ulm_0_0_leftImg8bit.png").write_bytes(b"macOS")
    (city / "ulm_0_0_rightImg8bit.png").write_bytes(b"the other camera")
    assert len(open_dataset(f"cityscapes:{root}", "train")) == 1


def test_an_image_without_its_mask_is_refused_and_the_file_is_named(write: Write) -> None:
    root = write("train", "ulm/ulm_0_0", None)
    with pytest.raises(DataError, match="has no mask") as caught:
        open_dataset(f"cityscapes:{root}", "train")
    assert str(root / "gtFine" / "train" / "ulm" / "ulm_0_0_gtFine_labelIds.png") in str(caught.value)


@pytest.mark.parametrize("split", ["train_extra", "train_coarse"])
def test_coarse_masks_are_a_split_of_their_own(write: Write, split: str) -> None:
    folder = split.removesuffix("_coarse")
    root = write(folder, "ulm/ulm_0_0", masks="gtCoarse")
    dataset = open_dataset(f"cityscapes:{root}", split)
    assert dataset.split == split
    assert dataset.pairs[0].mask == root / "gtCoarse" / folder / "ulm" / "ulm_0_0_gtCoarse_labelIds.png"


def test_fine_splits_are_never_filled_from_coarse_masks(write: Write) -> None:
    root = write("train", "ulm/ulm_0_0", masks="gtCoarse")
    with pytest.raises(MissingSplit, match=r"no split 'train'.*_gtFine_labelIds.png; there are: train_coarse$"):
        open_dataset(f"cityscapes:{root}", "train")


@pytest.mark.parametrize("split", ["val", "val_coarse", "", "../train", "/nowhere"])
def test_a_missing_split_is_refused_and_those_on_disk_are_offered(write: Write, split: str) -> None:
    write("train", "ulm/ulm_0_0")
    write("train_extra", "ulm/ulm_0_1", masks="gtCoarse")
    root = write("train", "ulm/ulm_0_0", masks="gtCoarse")
    with pytest.raises(MissingSplit, match=f"no split '{split}'.*there are: train, train_extra, train_coarse$"):
        open_dataset(f"cityscapes:{root}", split)


def test_a_folder_without_images_names_what_is_expected(write: Write) -> None:
    root = write("train", "ulm/ulm_0_0")
    with pytest.raises(DataError, match="has no folder leftImg8bit"):
        open_dataset(f"cityscapes:{root / 'leftImg8bit'}", "train")


def test_another_label_space_is_refused_for_want_of_a_table(write: Write) -> None:
    root = write("train", "ulm/ulm_0_0")
    assert len(open_dataset(f"cityscapes:{root}", "train", CITYSCAPES)) == 1
    rooms = LabelSpace("rooms", (LabelClass("floor", (0, 0, 0), 0),))
    with pytest.raises(UsageError, match="no table into 'rooms'"):
        open_dataset(f"cityscapes:{root}", "train", rooms)


def test_in_camvids_classes_each_pixel_is_what_camvid_calls_it(write: Write) -> None:
    root = write("val", "ulm/ulm_0_0", TRAIN, ending="labelTrainIds")
    dataset = open_dataset(f"cityscapes:{root}", "val", CAMVID)
    assert dataset.label_space == CAMVID
    found = dict(zip(TRAIN.ravel().tolist(), dataset[0].labels.ravel().tolist(), strict=True))
    named = {name: CAMVID.names[found[CITYSCAPES.index(name)]] for name in ("road", "wall", "rider", "bus", "terrain")}
    assert named == {"road": "Road", "wall": "Building", "rider": "Bicyclist", "bus": "Car", "terrain": "Tree"}
    assert found[CITYSCAPES.index("motorcycle")] == found[IGNORE] == IGNORE


def test_the_table_into_camvid_is_that_of_street19(data_root: Path) -> None:
    described = tomllib.loads((data_root / "street19" / "dataset.toml").read_text(encoding="utf-8"))
    assert described["to"]["camvid"] == CITYSCAPES_TO_CAMVID


@pytest.mark.parametrize("ending", ["labelIds", "labelTrainIds"])
def test_the_instance_map_lies_beside_its_mask(ending: str) -> None:
    mask = Path("gtFine/val/ulm") / f"ulm_0_0_gtFine_{ending}.png"
    assert instance_map_of(mask) == Path("gtFine/val/ulm/ulm_0_0_gtFine_instanceIds.png")


def test_the_real_frames_are_read_at_full_size(data_root: Path) -> None:
    root = data_root / "cityscapes_mini"
    if not root.is_dir():
        pytest.skip("FASSD_DATA has no folder cityscapes_mini")
    dataset = open_dataset(f"cityscapes:{root}", "train")
    assert [pair.name for pair in dataset.pairs] == ["aachen/aachen_000000_000019", "aachen/aachen_000004_000019"]
    assert all(instance_map_of(pair.mask).is_file() for pair in dataset.pairs)
    for sample, pair in zip(dataset, dataset.pairs, strict=True):
        assert sample.image.shape == (1024, 2048, 3)
        assert np.array_equal(sample.labels, np.array([*TABLE, *[IGNORE] * 222], np.uint8)[read_values(pair.mask)])
    with pytest.raises(DataError, match=r"there are: train$"):
        open_dataset(f"cityscapes:{root}", "val")
