"""The real CamVid and street19, where FASSD_DATA names them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.data.dataset import Dataset
from fassd.data.open_dataset import open_dataset

ANNOTATED_ON_LMF = {"Sky", "Building", "Road", "Pavement", "Tree", "Car"}


def _open(root: Path, kind: str, name: str, split: str) -> Dataset:
    if not (root / name).is_dir():
        pytest.skip(f"FASSD_DATA has no folder {name}")
    return open_dataset(f"{kind}:{root / name}", split, CAMVID)


@pytest.mark.parametrize(
    ("kind", "name", "split", "count"),
    [
        ("camvid", "camvid", "train", 367),
        ("camvid", "camvid", "val", 101),
        ("folder", "street19", "train", 219),
        ("folder", "street19", "val", 33),
    ],
)
def test_the_splits_have_the_counts_of_their_readme(
    data_root: Path, kind: str, name: str, split: str, count: int
) -> None:
    dataset = _open(data_root, kind, name, split)
    assert len(dataset) == count
    assert len({pair.name for pair in dataset.pairs}) == count


@pytest.mark.parametrize(("split", "partly"), [("train", 211), ("val", 31)])
def test_lmf_frames_of_street19_are_annotated_with_six_classes(data_root: Path, split: str, partly: int) -> None:
    dataset = _open(data_root, "folder", "street19", split)
    found = [index for index in range(len(dataset)) if dataset.annotated(index) is not None]
    assert len(found) == partly
    for index in found:
        annotated = dataset.annotated(index)
        assert annotated is not None
        assert {CAMVID.names[label] for label in np.flatnonzero(annotated)} == ANNOTATED_ON_LMF
        assert "/lmf_" in dataset.pairs[index].name


def test_street19_keeps_the_classes_of_cityscapes_when_not_asked_for_others(data_root: Path) -> None:
    if not (data_root / "street19").is_dir():
        pytest.skip("FASSD_DATA has no folder street19")
    assert open_dataset(f"folder:{data_root / 'street19'}", "val").label_space == CITYSCAPES


def test_the_share_of_road_in_camvid_val_is_that_of_its_readme(data_root: Path) -> None:
    dataset = _open(data_root, "camvid", "camvid", "val")
    counts = np.sum([np.bincount(sample.labels.ravel(), minlength=256) for sample in dataset], 0)
    assert 100 * counts[CAMVID.index("Road")] / counts.sum() == pytest.approx(28.95, abs=0.01)
    assert 100 * counts[IGNORE] / counts.sum() == pytest.approx(1.70, abs=0.01)
