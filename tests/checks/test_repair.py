"""The corrected copy: what it fixes is gone, the originals stay, and nothing half-written is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.checks.scenes import COLORS, MAKERS, TO_TRAIN

from fassd.checks.check import CheckResult, check_dataset
from fassd.checks.repair import RepairResult, repair
from fassd.core.errors import UsageError
from fassd.data.open_dataset import open_dataset


@pytest.fixture
def town(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a healthy set of a form."""

    def make(form: str = "values") -> Path:
        MAKERS[form](tmp_path / "town")
        return tmp_path / "town"

    return make


def _contents(root: Path) -> dict[str, str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file())
    return {path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def _repaired(root: Path, kind: str = "folder") -> tuple[CheckResult, RepairResult, CheckResult]:
    """The check before, the copy, and the check of the copy; the originals must not change."""
    before, contents = check_dataset(f"{kind}:{root}"), _contents(root)
    copy = repair(before, root.with_name("copy"))
    assert _contents(root) == contents
    return before, copy, check_dataset(copy.spec)


def _faults(checked: CheckResult) -> set[str]:
    return {one.kind.name for one in checked.errors}


@pytest.mark.parametrize("form", MAKERS)
def test_a_healthy_set_is_copied_byte_by_byte(town: Callable[[str], Path], form: str) -> None:
    root = town(form)
    kind = form if form in ("camvid", "cityscapes") else "folder"
    _, copy, after = _repaired(root, kind)
    assert (copy.fixed, copy.remaining, after.errors) == ((), (), ())
    original, copied = _contents(root), _contents(root.with_name("copy"))
    listed = {name for name in copied if name.endswith(".csv")}
    assert {name: copied[name] for name in copied if name not in listed}.items() <= original.items()
    assert {name for name in original if name not in copied and "_color" not in name} == set()


def test_the_copy_holds_the_right_labels(town: Callable[[str], Path]) -> None:
    root = town("trainids")
    truth = [sample.labels for sample in open_dataset(f"folder:{root}", "train")]
    for path in root.glob("masks/*/*.png"):
        values = np.array(Pillow.open(path))
        Pillow.fromarray(np.where(values == 255, values, values + 1).astype(np.uint8)).save(path)
    # 14 is train id 13 + 1: nothing here is out of range, only the streets tell.
    before, copy, after = _repaired(root)
    assert _faults(before) == {"off-by-one"}
    assert after.errors == ()
    for labels, sample in zip(truth, open_dataset(copy.spec, "train"), strict=True):
        assert np.array_equal(labels, sample.labels)
    assert TO_TRAIN[8] == 13


@pytest.mark.parametrize(
    ("side", "orientation"),
    [("images", 2), ("images", 3), ("images", 5), ("images", 6), ("masks", 4), ("masks", 7), ("masks", 6)],
)
def test_a_turn_by_exif_alone_is_taken_into_the_mask(town: Callable[[str], Path], side: str, orientation: int) -> None:
    root = town("values")
    path = sorted(root.glob(f"{side}/train/*"))[2]
    block = Pillow.Exif()
    block[0x0112] = orientation
    Pillow.open(path).save(path, exif=block)
    before, copy, after = _repaired(root)
    assert _faults(before) == {"turned-by-exif"}
    assert after.errors == ()
    assert len(copy.fixed) == 1


def test_a_copy_across_splits_leaves_the_training_split(town: Callable[[str], Path]) -> None:
    root = town("values")
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        shutil.copy(root / f"{folder}/train/train_0.{suffix}", root / f"{folder}/val/other.{suffix}")
    _, _, after = _repaired(root)
    assert after.errors == ()
    copy = root.with_name("copy")
    assert not (copy / "images/train/train_0.jpg").exists()
    assert not (copy / "masks/train/train_0.png").exists()
    assert (copy / "images/val/other.jpg").exists()


def test_pairs_that_cannot_be_read_are_left_out_and_told(town: Callable[[str], Path]) -> None:
    root = town("list")
    (root / "masks/train/train_1.png").write_bytes(b"")
    (root / "images/train/train_2.jpg").write_bytes(b"\xff\xd8\xff\xe0nothing")
    (root / "masks/val/val_0.png").unlink()
    _, copy, after = _repaired(root)
    assert after.errors == ()
    assert {one.finding.kind.name for one in copy.fixed} == {"empty-file", "unreadable-image", "missing-mask"}
    assert [one.images for one in after.splits] == [6, 3]
    assert all("omitted" in one.done for one in copy.fixed)


def test_what_has_no_certain_fix_remains_and_is_reported(town: Callable[[str], Path]) -> None:
    root = town("values")
    path = sorted(root.glob("masks/train/*"))[0]
    Pillow.fromarray(np.array(Pillow.open(path))[::2]).save(path)
    _, copy, after = _repaired(root)
    assert [one.kind.name for one in copy.remaining] == ["size-differs"]
    assert _faults(after) == {"size-differs"}


@pytest.mark.parametrize("every", [True, False])
def test_what_the_copy_still_has_is_not_called_fixed(town: Callable[[str], Path], every: bool) -> None:
    root = town("values")
    masks = sorted(root.glob("masks/*/*" if every else "masks/train/*0.png"))
    for path in masks:
        values = np.array(Pillow.open(path))
        Pillow.fromarray(np.where(values == 255, values, values + 1).astype(np.uint8)).save(path)
    before = check_dataset(f"folder:{root}")
    useless = tuple(replace(one, table={code: code for code in one.table}) for one in before.findings)
    copy = repair(replace(before, findings=useless), root.with_name("copy"))
    assert copy.fixed == ()
    assert {file for one in copy.remaining for file in one.files} == set(masks)
    assert not any("--fix" in one.fix for one in copy.remaining)


def test_palettes_numbered_anew_in_each_file_are_one_finding_and_mended(town: Callable[[str], Path]) -> None:
    root = town("values")
    truth = [sample.labels for sample in open_dataset(f"folder:{root}", "train")]
    masks = sorted(root.glob("masks/train/*"))
    for seed, path in enumerate(masks):
        order = np.random.default_rng(seed).permutation(len(COLORS) + 1).astype(np.uint8)
        numbers = np.array(Pillow.open(path))
        picture = Pillow.fromarray(order[np.minimum(numbers, len(COLORS))])
        palette = np.zeros((len(COLORS) + 1, 3), np.uint8)
        palette[order[:-1]] = COLORS
        picture.putpalette(palette.tobytes())
        picture.save(path)
    before, copy, after = _repaired(root)
    assert [(one.kind.name, one.files) for one in before.errors] == [("colors-for-values", tuple(masks))]
    assert after.errors == ()
    assert all(
        np.array_equal(one.labels, two) for one, two in zip(open_dataset(copy.spec, "train"), truth, strict=True)
    )


@pytest.mark.parametrize("place", ["town", "town/copy", ".", "full"])
def test_a_place_that_would_spoil_something_is_refused(town: Callable[[str], Path], place: str) -> None:
    root = town("values")
    out = root.parent / place
    if place == "full":
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    contents = _contents(root.parent)
    with pytest.raises(UsageError, match="--fix"):
        repair(check_dataset(f"folder:{root}"), out)
    assert _contents(root.parent) == contents


def test_an_interrupted_copy_leaves_nothing(town: Callable[[str], Path]) -> None:
    root = town("values")

    def interrupt(event: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repair(check_dataset(f"folder:{root}"), root.with_name("copy"), watch=interrupt)
    assert [path.name for path in root.parent.iterdir()] == ["town"]


def test_instances_come_along(town: Callable[[str], Path]) -> None:
    root = town("cityscapes")
    _repaired(root, "cityscapes")
    instances = sorted(path.relative_to(root) for path in root.rglob("*_instanceIds.png"))
    assert instances
    assert all((root.with_name("copy") / path).is_file() for path in instances)
