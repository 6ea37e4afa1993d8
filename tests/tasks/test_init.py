"""Drafts on disk: written whole, never over somebody's work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fassd.checks.check import check_dataset
from fassd.core.errors import DataError, FileError
from fassd.tasks.init import init

Make = Callable[..., None]


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_a_drafted_set_passes_its_check(tmp_path: Path, make_pairs: Make) -> None:
    for split in ("train", "val"):
        make_pairs(tmp_path / split, tmp_path / f"{split}_labels", [f"{split}_0", f"{split}_1"], 4)
    init(tmp_path)
    names = {one.kind.name for one in check_dataset(f"folder:{tmp_path}").findings}
    assert not names & {"missing-mask", "extra-mask", "unknown-values", "unreadable-mask", "size-differs"}


@pytest.mark.parametrize("place", ["dataset.toml", "pairs/all.csv"])
def test_nothing_is_replaced_and_nothing_left_half_done(tmp_path: Path, make_pairs: Make, place: str) -> None:
    make_pairs(tmp_path / "[x]", tmp_path / "ann", ["a", "b"], 4)
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(FileError, match=f"{path.name}: already exists"):
        init(tmp_path)
    assert everything(tmp_path) == before
    init(tmp_path, force=True)
    assert path.read_text() != "mine"


def test_force_keeps_the_description_of_a_folder_that_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "dataset.toml").write_text("mine")
    with pytest.raises(DataError):
        init(tmp_path, force=True)
    assert (tmp_path / "dataset.toml").read_text() == "mine"
