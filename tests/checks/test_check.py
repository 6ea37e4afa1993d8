"""The check as a whole: clean sets stay clean, causes are told once, nothing depends on the number of processes."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL.Image import Transpose
from tests.checks.damages import DAMAGES
from tests.checks.scenes import make_cityscapes, make_values
from tests.checks.town import Town

from fassd.checks.alignment import Alignment
from fassd.checks.check import CheckResult, check_dataset
from fassd.checks.misaligned import misaligned_masks, usual_flip
from fassd.checks.pair_stats import PairStats
from fassd.checks.split_stats import SplitStats
from fassd.cli.main import run
from fassd.core.errors import DataError, FassdError, FileError, UsageError
from fassd.core.labels import CITYSCAPES, CITYSCAPES_CLASSES
from fassd.core.types import Event
from fassd.data.dataset import Dataset, Pair
from fassd.data.mask_encoding import by_value


def _kinds(checked: CheckResult) -> set[str]:
    return {one.kind.name for one in checked.findings}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("town")
    make_values(root)
    return root


@pytest.fixture
def own(town: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(town, tmp_path / "own"))


def test_counts_sizes_and_shares_are_told(town: Path) -> None:
    checked = check_dataset(f"folder:{town}")
    train, val = checked.splits
    assert (train.split, train.images, train.sizes) == ("train", 8, {(120, 160): 8})
    assert val.images == 4
    assert sum(train.shares.values()) == pytest.approx(1)
    masks = np.stack([np.array(Pillow.open(path)) for path in sorted(town.glob("masks/train/*.png"))])
    assert train.shares["car"] == pytest.approx((masks == 8).sum() / (masks < 255).sum())
    assert train.ignored == pytest.approx((masks == 255).mean())


def test_every_pair_is_watched(town: Path) -> None:
    events: list[Event] = []
    check_dataset(f"folder:{town}", watch=events.append)
    pairs = [one for one in events if one.kind == "pair"]
    assert pairs[-1].values["done"] == pairs[-1].values["total"] == 12
    assert [one.values["split"] for one in events if one.kind == "masks"] == ["train", "val"]


def test_pictures_that_are_compared_across_splits_are_watched(own: Path) -> None:
    with Pillow.open(own / "images/train/train_0.jpg") as picture:
        picture.save(own / "images/val/val_0.jpg", quality=50)
    events: list[Event] = []
    check_dataset(f"folder:{own}", watch=events.append)
    copies = [one for one in events if one.kind == "copies"]
    assert copies[-1].values["done"] == copies[-1].values["total"] >= 1


def test_only_the_splits_that_were_asked_for_are_read(own: Path) -> None:
    (own / "masks/val/val_0.png").unlink()
    assert check_dataset(f"folder:{own}", ["train"]).errors == ()
    assert check_dataset(f"folder:{own}", ["val"]).errors != ()


def test_processes_change_nothing(own: Path) -> None:
    for number in range(60):
        for folder, suffix in (("images", "jpg"), ("masks", "png")):
            shutil.copy(own / f"{folder}/train/train_0.{suffix}", own / f"{folder}/train/more_{number}.{suffix}")
    (own / "masks/train/more_7.png").write_bytes(b"")
    here, spread = (check_dataset(f"folder:{own}", processes=count) for count in (1, 2))
    assert here == spread
    assert "empty-file" in _kinds(here)


def _killed(dataset: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_told_in_a_sentence(
    town: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fassd.checks.check._check_pairs", _killed)
    monkeypatch.setattr("fassd.checks.check._FEW", 0)
    assert run(["data", "check", f"folder:{town}", "--workers", "2"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "was killed" in err
    assert "--workers 1" in err
    assert "Traceback" not in err


def test_masks_of_other_sizes_are_told_with_the_image_that_they_fit(own: Path) -> None:
    row = next(one for one in DAMAGES if one.name == "two masks of other sizes are exchanged")
    row.do(Town(own, "values"))
    told = {one.files[0].name: one.found for one in check_dataset(f"folder:{own}").errors}
    assert told == {
        "train_2.png": "140x110 and fits train_5.jpg, while train_2.jpg is 160x120",
        "train_5.png": "160x120 and fits train_2.jpg, while train_5.jpg is 140x110",
    }


def test_a_mask_that_fits_badly_is_turned_with_all_others() -> None:
    dataset = Dataset(
        "folder:x", "val", CITYSCAPES, by_value(CITYSCAPES), (Pair("a", Path("a.jpg"), Path("a.png")),) * 4
    )
    stats = SplitStats(dataset)
    for index, flips in enumerate([(9.0, 1.0, 1.0, -np.inf, -np.inf)] * 3 + [(3.2, 1.0, 1.0, 1.0, 1.0)]):
        stats.add(index, PairStats((), alignment=Alignment(2.0, flips, 9.0, (0.0, 0.0))))
    usual = usual_flip([stats])
    assert usual == Transpose.FLIP_LEFT_RIGHT
    for flip, count in ((None, 3), (usual, 4)):
        found = [one for one in misaligned_masks(stats, (), flip, lambda _: []) if one.turn is not None]
        assert len(found) == count


def test_how_many_doubtful_masks_were_compared_is_told(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fassd.checks.misaligned._MAX_SUSPECTS", 3)
    for number in range(5):
        path = own / f"masks/train/train_{number}.png"
        Pillow.fromarray(np.array(Pillow.open(path))[::2]).save(path)
    (note,) = [one for one in check_dataset(f"folder:{own}").findings if one.kind.name == "not-compared"]
    assert note.found == "5 masks that may be another image's, of which the first 3 were compared"


def test_how_many_like_pictures_were_compared_is_told(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fassd.checks.leaks._MAX_COMPARED", 1)
    for number in range(2):
        with Pillow.open(own / f"images/train/train_{number}.jpg") as picture:
            picture.save(own / f"images/val/val_{number}.jpg", quality=50)
    (note,) = [one for one in check_dataset(f"folder:{own}").findings if one.kind.name == "not-compared"]
    assert note.found == "2 pairs of similar images across splits, of which 1 were compared"


def test_pictures_that_are_like_too_many_others_are_told(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fassd.checks.leaks._MAX_GROUP", 1)
    with Pillow.open(own / "images/train/train_0.jpg") as picture:
        picture.save(own / "images/val/val_0.jpg", quality=97)
    found = [one.found for one in check_dataset(f"folder:{own}").findings if one.kind.name == "not-compared"]
    assert found == ["2 images similar to hundreds of others; near copies in other splits were not searched"]


def test_one_cause_in_all_masks_is_one_finding(own: Path) -> None:
    for path in own.glob("masks/train/*.png"):
        Pillow.fromarray(np.array(Pillow.open(path)) // np.uint8(255) * np.uint8(255)).save(path)
    (fault,) = check_dataset(f"folder:{own}", ["train"]).errors
    assert fault.kind.name == "black-and-white"
    assert len(fault.files) == 8


def test_hidden_files_and_texts_beside_the_pictures_do_not_matter(own: Path, town: Path) -> None:
    (own / "images/train/._train_0.jpg").write_bytes(b"\0\5\x16\7")
    (own / "masks/train/._train_0.png").write_bytes(b"\0\5\x16\7")
    (own / "images/train/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (own / "images/train/notes.txt").write_text("taken in May")
    assert [one.kind for one in check_dataset(f"folder:{own}").findings] == [
        one.kind for one in check_dataset(f"folder:{town}").findings
    ]


def test_a_picture_without_a_suffix_is_pointed_out(own: Path) -> None:
    shutil.copy(own / "images/train/train_0.jpg", own / "images/train/train_9")
    assert "skipped-file" in _kinds(check_dataset(f"folder:{own}"))


@pytest.mark.parametrize("spec", ["folder:{}/nowhere", "camvid:{}", "cityscapes:{}", "folder:{}"])
def test_no_data_set_at_all_is_an_error_and_no_finding(spec: str, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        check_dataset(spec.format(tmp_path))


def test_an_unknown_kind_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check_dataset(f"kitti:{tmp_path}")


def test_a_split_that_is_not_there_is_an_error(town: Path) -> None:
    with pytest.raises(DataError, match="no split 'test'"):
        check_dataset(f"folder:{town}", ["test"])


def test_a_wrong_description_is_an_error(own: Path) -> None:
    (own / "dataset.toml").write_text("label_space = 'moon'")
    with pytest.raises(FassdError):
        check_dataset(f"folder:{own}")


def test_the_labels_that_cityscapes_keeps_are_no_fault(tmp_path: Path) -> None:
    make_cityscapes(tmp_path)
    for place in ("leftImg8bit", "gtFine"):
        (tmp_path / place / "val").rename(tmp_path / place / "test")
    for path in tmp_path.glob("gtFine/test/*/*_labelIds.png"):
        Pillow.fromarray(np.zeros_like(np.array(Pillow.open(path)))).save(path)
    assert check_dataset(f"cityscapes:{tmp_path}").errors == ()


def test_backgrounds_alone_are_no_fault_where_they_are_common(own: Path) -> None:
    for path in sorted(own.glob("masks/train/*.png"))[:4]:
        Pillow.fromarray(np.zeros((120, 160), np.uint8)).save(path)
    assert "constant-mask" not in _kinds(check_dataset(f"folder:{own}", ["train"]))


@pytest.mark.parametrize("size", [(1, 1), (1, 600), (900, 1), (3, 5), (17, 16)])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_pictures_of_any_size_and_few_classes(tmp_path: Path, size: tuple[int, int], classes: int) -> None:
    random = np.random.default_rng(0)
    for number in range(3):
        for folder, pixels in (
            ("images", random.integers(0, 256, (*size, 3), dtype=np.uint8)),
            ("masks", random.integers(0, classes, size, dtype=np.uint8)),
        ):
            (tmp_path / folder / "train").mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(pixels).save(tmp_path / f"{folder}/train/{number}.png")
    rows = "".join(f'[[classes]]\nname = "{one}"\ncolor = [{one}, 0, 0]\n' for one in range(classes))
    (tmp_path / "dataset.toml").write_text(rows)
    faults = {one.kind.name for one in check_dataset(f"folder:{tmp_path}").errors}
    # A speck of one class is a mask of one value, and noise in a line has values between others.
    assert faults <= {"constant-mask", "two-masks", "blurred-mask", "jpeg-mask", "noise-mask"}


def test_a_file_that_vanishes_while_it_is_checked_is_a_finding(own: Path) -> None:
    from fassd.checks.pair_stats import check_pair
    from fassd.data.open_dataset import scan_dataset

    dataset = scan_dataset(f"folder:{own}", "train").dataset
    pair = replace(dataset.pairs[0], image=own / "gone.jpg")
    (found,) = check_pair(dataset, pair).findings
    assert found.kind.name == "unreadable-image"


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["camvid:{}/camvid", "folder:{}/street19", "cityscapes:{}/cityscapes_mini"])
def test_the_real_sets_have_no_fault(data_root: Path, spec: str) -> None:
    checked = check_dataset(spec.format(data_root), processes=os.cpu_count() or 1)
    assert [(one.kind.name, one.files[:3]) for one in checked.errors] == []


def test_the_drive_that_camvid_splits_is_a_note(data_root: Path, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for folder in (split, f"{split}annot"):
            (tmp_path / folder).mkdir()
            chosen = sorted((data_root / "camvid" / folder).glob("0016E5_0[78]*"))
            for path in chosen[:6] if split == "val" else chosen[:3]:
                shutil.copy(path, tmp_path / folder / path.name)
    checked = check_dataset(f"camvid:{tmp_path}")
    assert checked.errors == ()
    assert "sequence-in-two-splits" in _kinds(checked)


_RAW = "\n".join(
    f'"{row.label_id}" = "{"ignore" if row.ignored else row.name}"' for row in CITYSCAPES_CLASSES if row.label_id >= 0
)
_REAL_CODINGS = {
    "raw_ids": f'label_space = "cityscapes"\n[mask_values]\n{_RAW}\n',
    "rgb_coded": 'label_space = "cityscapes"\nmask_encoding = "colors"\nignore = "0,0,0"\n',
}


@pytest.mark.parametrize("folder", _REAL_CODINGS)
def test_real_masks_in_other_codings_have_no_fault(
    data_root: Path, tmp_path: Path, folder: str, link: Callable[[Path, Path], None]
) -> None:
    for mask in sorted((data_root / "street19" / folder).glob("kitti*.png")):
        link(mask, tmp_path / "masks/train" / mask.name)
        image = next((data_root / "street19").glob(f"*/{mask.stem}.jpg"))
        link(image, tmp_path / "images/train" / image.name)
    (tmp_path / "dataset.toml").write_text(_REAL_CODINGS[folder])
    assert check_dataset(f"folder:{tmp_path}").errors == ()


@pytest.fixture
def link() -> Callable[[Path, Path], None]:
    """Copies a file to a place whose folder may be missing."""

    def make(source: Path, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)

    return make
