"""CamVid's layouts on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import IGNORE, Labels
from fassd.core.errors import DataError, UsageError
from fassd.core.labels import CAMVID, CAMVID_32, CITYSCAPES
from fassd.data.open_dataset import open_dataset, splits_of

Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(("split", "count"), [("train", 4), ("val", 2)])
def test_each_split_has_its_own_frames(camvid_root: Path, split: str, count: int) -> None:
    dataset = open_dataset(f"camvid:{camvid_root}", split)
    assert [sample.name for sample in dataset] == [f"{split}/{split}_{number:03}" for number in range(count)]
    assert dataset.label_space == CAMVID


def test_value_11_is_ignored_and_the_other_values_are_kept(camvid_root: Path, blocks: Callable[..., Labels]) -> None:
    sample = open_dataset(f"camvid:{camvid_root}", "train")[1]
    assert (sample.labels[:8] == IGNORE).all()
    assert np.array_equal(sample.labels[8:], blocks(1)[8:])


def test_every_class_of_every_frame_was_annotated(camvid_root: Path) -> None:
    assert all(sample.annotated is None for sample in open_dataset(f"camvid:{camvid_root}", "train"))


def test_another_label_space_is_refused_for_want_of_a_table(camvid_root: Path) -> None:
    with pytest.raises(UsageError, match="no table into 'cityscapes'"):
        open_dataset(f"camvid:{camvid_root}", "val", CITYSCAPES)


def test_its_own_label_space_needs_no_table(camvid_root: Path) -> None:
    assert len(open_dataset(f"camvid:{camvid_root}", "val", CAMVID)) == 2


def test_a_missing_split_is_refused_and_those_on_disk_are_offered(camvid_root: Path) -> None:
    with pytest.raises(DataError, match="no split 'test'") as caught:
        open_dataset(f"camvid:{camvid_root}", "test")
    assert str(caught.value).endswith("there are: train, val")


def test_the_folder_of_labels_is_no_split(camvid_root: Path) -> None:
    with pytest.raises(DataError, match="trainannot"):
        open_dataset(f"camvid:{camvid_root}", "trainannot")


def test_the_terms_of_the_owners_travel_with_the_data(camvid_root: Path) -> None:
    assert "not commercial" in open_dataset(f"camvid:{camvid_root}", "train").terms


def _frame(images: Path, masks: Path, stem: str, mask: Array, ending: str) -> None:
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.zeros((*mask.shape[:2], 3), np.uint8)).save(images / f"{stem}.png")
    Pillow.fromarray(mask).save(masks / f"{stem}{ending}.png")


COLORED = np.array([[color for _, color, _ in CAMVID_32]] * 2, np.uint8)
MEANT = [IGNORE if merged == "ignore" else CAMVID.index(merged) for _, _, merged in CAMVID_32]


def test_camvids_32_colors_become_11_classes_where_splits_are_folders(tmp_path: Path) -> None:
    for split, stem in (("train", "0016E5_00390"), ("val", "0016E5_07961")):
        _frame(tmp_path / split, tmp_path / f"{split}_labels", stem, COLORED, "_L")
    assert splits_of(f"camvid:{tmp_path}") == ["train", "val"]
    dataset = open_dataset(f"camvid:{tmp_path}", "val")
    assert dataset[0].labels.tolist() == [MEANT] * 2
    assert set(MEANT) == {*range(11), IGNORE}


# Frames at the borders of the published split: the last of one, the first of the next.
OWNERS = {
    "train": ["0001TP_006690", "0001TP_008520", "0006R0_f00930", "0006R0_f03930", "0016E5_07950", "0016E5_08190"],
    "val": ["0016E5_07959", "0016E5_08159"],
    "test": ["0001TP_008550", "Seq05VD_f00000", "Seq05VD_f05100"],
}


def test_the_owners_files_are_split_by_frame(tmp_path: Path) -> None:
    for stems in OWNERS.values():
        for stem in stems:
            _frame(tmp_path / "701_StillsRaw_full", tmp_path / "LabeledApproved_full", stem, COLORED, "_L")
    for split, stems in OWNERS.items():
        dataset = open_dataset(f"camvid:{tmp_path}", split)
        assert [pair.image.stem for pair in dataset.pairs] == sorted(stems)
        assert dataset[0].labels.tolist() == [MEANT] * 2


def test_the_resized_camvid_holds_values(tmp_path: Path) -> None:
    values = np.array([[*range(12), 255]], np.uint8)
    _frame(tmp_path / "train", tmp_path / "trainannot", "0001TP_006690", values, "")
    labels = open_dataset(f"camvid:{tmp_path}", "train")[0].labels
    assert labels.tolist() == [[*range(11), IGNORE, IGNORE]]


def test_a_color_that_camvid_does_not_have_is_refused(tmp_path: Path) -> None:
    mask = COLORED.copy()
    mask[0, 0] = 1, 2, 3
    _frame(tmp_path / "train", tmp_path / "train_labels", "0001TP_006690", mask, "_L")
    with pytest.raises(DataError, match=r"0001TP_006690_L\.png: holds the color 1,2,3; allowed are "):
        open_dataset(f"camvid:{tmp_path}", "train")[0]
