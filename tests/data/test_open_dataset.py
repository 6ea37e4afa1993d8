"""How kind:PATH becomes a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fassd.core.errors import DataError, FassdError, UnknownName, UsageError
from fassd.core.labels import CAMVID
from fassd.data.open_dataset import open_dataset, open_together


@pytest.mark.parametrize("spec", ["", "camvid", "camvid:", "/data/camvid", "folder"])
def test_a_spec_without_kind_or_path_is_refused_and_the_kinds_are_named(spec: str) -> None:
    with pytest.raises(UsageError, match=r"kind:PATH.*camvid, folder"):
        open_dataset(spec, "train")


def test_a_path_alone_is_refused_with_an_example() -> None:
    with pytest.raises(UsageError, match=r"such as folder:data/mine$"):
        open_dataset("data/mine", "train")


def test_an_unknown_kind_is_refused_and_the_nearest_is_offered() -> None:
    with pytest.raises(UnknownName, match="did you mean camvid"):
        open_dataset("camvit:somewhere", "train")


@pytest.mark.parametrize("kind", ["camvid", "folder"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(FassdError, match=str(tmp_path / "missing")):
        open_dataset(f"{kind}:{tmp_path / 'missing'}", "train")


def test_the_path_may_begin_with_the_home_folder(camvid_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(camvid_root.parent))
    assert len(open_dataset(f"camvid:~/{camvid_root.name}", "val")) == 2


def test_a_path_may_hold_a_colon(tmp_path: Path, make_camvid: Callable[..., Path]) -> None:
    root = make_camvid(tmp_path / "a:b", {"train": 1})
    assert len(open_dataset(f"camvid:{root}", "train")) == 1


def test_several_sets_take_the_label_space_of_the_first(
    tmp_path: Path, camvid_root: Path, make_folder: Callable[..., Path]
) -> None:
    classes = '[[classes]]\nname = "way"\ncolor = [1, 2, 3]\n[to.camvid]\nway = "Road"\n'
    root = make_folder(tmp_path, classes, {"train": ["a"]}, values=1)
    opened = open_together([f"camvid:{camvid_root}", f"folder:{root}"], "train")
    assert [dataset.label_space for dataset in opened] == [CAMVID, CAMVID]
    assert [len(dataset) for dataset in opened] == [4, 1]
    with pytest.raises(UsageError, match="no table"):
        open_together([f"folder:{root}", f"camvid:{camvid_root}"], "train")


def test_a_split_that_one_of_several_sets_lacks_is_refused(
    tmp_path: Path, camvid_root: Path, make_camvid: Callable[..., Path]
) -> None:
    other = make_camvid(tmp_path, {"train": 1})
    with pytest.raises(DataError, match="no split 'val'"):
        open_together([f"camvid:{camvid_root}", f"camvid:{other}"], "val")
