"""CamVid's layout on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fassd.core.arrays import IGNORE, Labels
from fassd.core.errors import DataError, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.data.kinds import open_dataset


@pytest.mark.parametrize(("split", "count"), [("train", 4), ("val", 2)])
def test_each_split_has_its_own_frames(camvid_root: Path, split: str, count: int) -> None:
    dataset = open_dataset(f"camvid:{camvid_root}", split)
    assert [sample.name for sample in dataset] == [f"{split}/{split}_{number:03}" for number in range(count)]
    assert dataset.label_space == CAMVID


def test_value_11_is_ignored_and_the_other_values_are_kept(camvid_root: Path, blocks: Callable[..., Labels]) -> None:
    sample = open_dataset(f"camvid:{camvid_root}", "train")[1]
    assert (sample.labels[:8] == IGNORE).all()
    assert np.array_equal(sample.labels[8:], blocks(1)[8:])


def test_every_class_of_every_frame_was_marked(camvid_root: Path) -> None:
    assert all(sample.marked is None for sample in open_dataset(f"camvid:{camvid_root}", "train"))


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
