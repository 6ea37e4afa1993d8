"""Data sets described by a dataset.toml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import IGNORE, Labels
from fassd.core.errors import DataError, FassdError, FileError, ImageError, MissingSplit, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.data.description import read_description
from fassd.data.label_file import read_label_space
from fassd.data.open_dataset import open_dataset, scan_dataset, splits_of

THREE = """
name = "three"
[[classes]]
name = "way"
color = [1, 2, 3]
[[classes]]
name = "wall"
color = [4, 5, 6]
[[classes]]
name = "tree"
color = [7, 8, 9]
"""
INTO_CAMVID = """
[to.camvid]
way = "Road"
wall = "Building"
tree = "ignore"
"""
PARTIAL = """
[[partially_annotated]]
frames = "p_*"
annotated = ["way", "tree"]
"""
FRAMES = {"train": ["a", "b", "p_1"], "val": ["c"]}

Make = Callable[..., Path]
Blocks = Callable[..., Labels]


def test_custom_classes_are_the_label_space(tmp_path: Path, make_folder: Make, blocks: Blocks) -> None:
    dataset = open_dataset(f"folder:{make_folder(tmp_path, THREE, FRAMES)}", "train")
    assert dataset.label_space.name == "three"
    assert [label.color for label in dataset.label_space.classes] == [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    assert [sample.name for sample in dataset] == ["train/a", "train/b", "train/p_1"]
    assert np.array_equal(dataset[1].labels, blocks(1, 3))


def test_a_set_without_a_name_is_called_like_its_folder(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path / "mine", THREE.replace('name = "three"', ""), FRAMES)
    assert open_dataset(f"folder:{root}", "val").label_space.name == "mine"


def test_a_known_label_space_is_taken_by_name(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, 'label_space = "cityscapes"', FRAMES, values=19)
    assert open_dataset(f"folder:{root}", "train").label_space == CITYSCAPES


def test_a_table_leads_into_another_label_space(tmp_path: Path, make_folder: Make, blocks: Blocks) -> None:
    root = make_folder(tmp_path, THREE + INTO_CAMVID, FRAMES)
    dataset = open_dataset(f"folder:{root}", "train", CAMVID)
    expected = np.array([CAMVID.index("Road"), CAMVID.index("Building"), IGNORE])[blocks(0, 3)]
    assert dataset.label_space == CAMVID
    assert np.array_equal(dataset[0].labels, expected)


def test_the_ignore_value_of_the_file_becomes_ours(tmp_path: Path, make_folder: Make, blocks: Blocks) -> None:
    root = make_folder(tmp_path, "ignore = 3\n" + THREE, FRAMES)
    mask = blocks(0, 3)
    mask[:5] = 3
    for path in (root / "masks/train").iterdir():
        Pillow.fromarray(mask).save(path)
    expected = np.where(mask == 3, IGNORE, mask)
    assert np.array_equal(open_dataset(f"folder:{root}", "train")[0].labels, expected)


def test_an_ignore_value_that_is_a_class_is_refused(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, "ignore = 2\n" + THREE, FRAMES)
    with pytest.raises(FileError, match="ignore = 2 is the value of the class"):
        open_dataset(f"folder:{root}", "train")


def test_255_is_ignored_beside_another_ignore_value(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, "ignore = 9\n" + THREE, FRAMES)
    mask = np.zeros((96, 128), np.uint8)
    mask[0], mask[1] = 9, 255
    Pillow.fromarray(mask).save(root / "masks/val/c.png")
    labels = open_dataset(f"folder:{root}", "val")[0].labels
    assert (labels[:2] == IGNORE).all()
    assert (labels[2:] == 0).all()


def test_partially_annotated_frames_ignore_other_classes(tmp_path: Path, make_folder: Make, blocks: Blocks) -> None:
    dataset = open_dataset(f"folder:{make_folder(tmp_path, THREE + PARTIAL, FRAMES)}", "train")
    whole, partial = dataset[0], dataset[2]
    assert whole.annotated is None
    assert partial.annotated is not None
    assert partial.annotated.tolist() == [True, False, True]
    assert np.array_equal(partial.labels, np.where(blocks(2, 3) == 1, IGNORE, blocks(2, 3)))


def test_marks_follow_the_table_into_another_label_space(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, THREE + INTO_CAMVID + PARTIAL, FRAMES)
    annotated = open_dataset(f"folder:{root}", "train", CAMVID)[2].annotated
    assert annotated is not None
    assert np.flatnonzero(annotated).tolist() == [CAMVID.index("Road")]


def test_patterns_may_be_custom(tmp_path: Path, make_pairs: Callable[..., None]) -> None:
    make_pairs(tmp_path / "seen" / "day" / "img", tmp_path / "labels", ["a", "b"], 3)
    patterns = 'images = "seen/{split}/img/*.png"\nmasks = "labels/{stem}.png"\n'
    (tmp_path / "dataset.toml").write_text(patterns + THREE)
    assert len(open_dataset(f"folder:{tmp_path}", "day")) == 2
    with pytest.raises(DataError, match=r"there are: day$"):
        open_dataset(f"folder:{tmp_path}", "night")


@pytest.mark.parametrize(("described", "only"), [("", "all"), ('splits = ["train"]\n', "train")])
def test_a_set_without_splits_has_one_name(
    tmp_path: Path, make_pairs: Callable[..., None], described: str, only: str
) -> None:
    make_pairs(tmp_path / "images", tmp_path / "masks", ["a", "b"], 3)
    patterns = 'images = "images/*"\nmasks = "masks/{stem}.png"\n'
    (tmp_path / "dataset.toml").write_text(described + patterns + THREE)
    assert splits_of(f"folder:{tmp_path}") == [only]
    assert len(open_dataset(f"folder:{tmp_path}", only)) == 2
    # Else training would be judged by the very images that it learns from.
    with pytest.raises(MissingSplit, match=rf"no split 'val': without \{{split\}} .* are the split '{only}'"):
        open_dataset(f"folder:{tmp_path}", "val")


@pytest.mark.parametrize("listed", [False, True], ids=["patterns", "lists"])
def test_splits_may_have_other_names_in_the_folder(tmp_path: Path, make_folder: Make, listed: bool) -> None:
    named = 'splits = { train = "training", val = "valid" }\n' + 'pairs = "{split}.csv"\n' * listed
    root = make_folder(tmp_path, named + THREE, {"training": ["a", "b"], "valid": ["c"]})
    (root / "training.csv").write_text("images/training/a.png,masks/training/a.png\n" * listed)
    (root / "valid.csv").write_text("images/valid/c.png,masks/valid/c.png\n" * listed)
    assert splits_of(f"folder:{root}") == ["train", "val"]
    (sample,) = open_dataset(f"folder:{root}", "val")
    assert sample.name == ("val/images/valid/c" if listed else "val/c")
    with pytest.raises(MissingSplit, match=r"no split 'test'.*there are: train, val$"):
        open_dataset(f"folder:{root}", "test")


def test_masks_of_all_splits_may_lie_in_one_folder(tmp_path: Path, make_pairs: Callable[..., None]) -> None:
    for split, stems in (("train", ["a", "b"]), ("val", ["c"])):
        make_pairs(tmp_path / "images" / split, tmp_path / "masks", stems, 3)
    Pillow.new("L", (128, 96)).save(tmp_path / "masks/lonely.png")
    (tmp_path / "dataset.toml").write_text('masks = "masks/{stem}.png"\n' + THREE)
    orphans = [scan_dataset(f"folder:{tmp_path}", split).orphans for split in ("train", "val")]
    assert orphans == [(tmp_path / "masks/lonely.png",), ()]


def test_hidden_files_and_other_files_are_skipped(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, THREE, FRAMES)
    for name in (".hidden.png", "Thumbs.db", "notes.txt"):
        (root / "images/val" / name).write_bytes(b"x")
    assert len(open_dataset(f"folder:{root}", "val")) == 1


# What is wrong, where it is said, and what the message has to name.
DESCRIPTIONS = [
    ("an unknown key", "color = 1\n" + THREE, "color"),
    ("an unknown key of a class", THREE + "id = 3\n", "id"),
    ("a color out of range", THREE.replace("9]", "256]"), "255"),
    ("an ignore value out of range", "ignore = 65536\n" + THREE, "ignore names '65536'"),
    ("no TOML", "name = ", "TOML"),
    ("no classes", 'name = "x"\n', "neither a label_space nor"),
    ("both kinds of classes", 'label_space = "camvid"\n' + THREE, "one of the two"),
    ("an unknown label space", 'label_space = "camvit"\n', "did you mean camvid"),
    ("a class twice", THREE.replace("tree", "wall"), "twice"),
    ("an unknown annotated class", THREE + PARTIAL.replace("way", "waay"), "did you mean way"),
    ("an unknown placeholder", 'images = "images/{town}/*"\n' + THREE, "town"),
    ("an unknown placeholder of masks", 'masks = "masks/{town}.png"\n' + THREE, "town"),
    ("an unclosed placeholder", 'images = "images/{split/*"\n' + THREE, "images"),
    ("an absolute pattern", 'images = "/images/{split}/*"\n' + THREE, "images"),
    ("an absolute pattern of masks", 'masks = "/masks/{stem}.png"\n' + THREE, "masks"),
    ("an empty pattern", 'images = ""\n' + THREE, "images"),
    ("a split outside", 'splits = ["../x"]\n' + THREE, "splits names '../x'"),
    ("a split that is any", 'splits = ["*"]\n' + THREE, "splits names '*'"),
    ("a split without a name", 'splits = [""]\n' + THREE, "splits names ''"),
    ("a split twice", 'splits = ["train", "val", "train"]\n' + THREE, "splits names 'train' twice"),
    ("a folder for two splits", 'splits = { train = "a", val = "a" }\n' + THREE, "splits names 'a' twice"),
    ("a split elsewhere", 'splits = { train = "../a" }\n' + THREE, "splits names '../a'"),
    ("splits that nothing tells apart", f'images = "images/train/*"\nsplits = ["train", "val"]\n{THREE}', "no {split}"),
    ("lists that nothing tells apart", f'pairs = "all.csv"\nsplits = ["train", "val"]\n{THREE}', "pairs = 'all.csv'"),
]


@pytest.mark.parametrize(("text", "named"), [row[1:] for row in DESCRIPTIONS], ids=[row[0] for row in DESCRIPTIONS])
def test_a_wrong_description_is_refused(tmp_path: Path, make_folder: Make, text: str, named: str) -> None:
    root = make_folder(tmp_path, text, {"train": ["a", "p_1"]})
    with pytest.raises(FassdError) as caught:
        open_dataset(f"folder:{root}", "train")
    assert named in str(caught.value)


# What is wrong with the table into CamVid, and what the message has to name.
TABLES = [
    ("no table", "", r"\[to.camvid\]"),
    ("a class is missing", '[to.camvid]\nway = "Road"\nwall = "Building"\n', "lacks: tree"),
    ("an unknown source", INTO_CAMVID + 'sea = "Road"\n', "'sea'"),
    ("an unknown target", INTO_CAMVID.replace("Road", "Rode"), "did you mean Road"),
]


@pytest.mark.parametrize(("table", "named"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
def test_a_wrong_table_is_refused(tmp_path: Path, make_folder: Make, table: str, named: str) -> None:
    root = make_folder(tmp_path, THREE + table, FRAMES)
    with pytest.raises(UsageError, match=named):
        open_dataset(f"folder:{root}", "train", CAMVID)


def test_a_missing_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"dataset\.toml.*described there"):
        open_dataset(f"folder:{tmp_path}", "train")


@pytest.mark.parametrize("described", ["", 'splits = ["train", "val"]\n'])
def test_a_missing_split_is_refused_and_those_there_are_offered(
    tmp_path: Path, make_folder: Make, described: str
) -> None:
    root = make_folder(tmp_path, described + THREE, FRAMES)
    with pytest.raises(DataError, match=r"no split 'test'.*there are: train, val$"):
        open_dataset(f"folder:{root}", "test")


def test_a_set_without_any_split_says_so(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, THREE, {})
    with pytest.raises(DataError, match="no other split"):
        open_dataset(f"folder:{root}", "train")


def test_an_image_without_its_mask_is_named_with_the_place_of_the_mask(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, THREE, FRAMES)
    (root / "masks/train/b.png").unlink()
    with pytest.raises(DataError, match=r"b\.png: has no mask: .*masks/train/b\.png"):
        open_dataset(f"folder:{root}", "train")


def test_two_images_of_one_stem_are_refused(tmp_path: Path, make_folder: Make) -> None:
    root = make_folder(tmp_path, THREE, FRAMES)
    Pillow.new("RGB", (128, 96)).save(root / "images/train/a.jpg")
    with pytest.raises(DataError, match=r"a\.png: has the stem of a\.jpg"):
        open_dataset(f"folder:{root}", "train")


def _with_mask(root: Path, mask: Pillow.Image) -> Path:
    mask.save(root / "masks/val/c.png")
    return root


def test_a_value_out_of_range_is_refused_with_file_value_and_the_allowed_ones(
    tmp_path: Path, make_folder: Make
) -> None:
    root = _with_mask(make_folder(tmp_path, THREE, FRAMES), Pillow.new("L", (128, 96), 3))
    with pytest.raises(DataError, match=r"c\.png: holds the value 3; allowed are 0-2, 255"):
        open_dataset(f"folder:{root}", "val")[0]


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path: Path, make_folder: Make) -> None:
    root = _with_mask(make_folder(tmp_path, THREE, FRAMES), Pillow.new("L", (64, 48)))
    with pytest.raises(DataError, match=r"64x48 but its image c\.png is 128x96"):
        open_dataset(f"folder:{root}", "val")[0]


def test_a_mask_in_colors_is_refused(tmp_path: Path, make_folder: Make) -> None:
    root = _with_mask(make_folder(tmp_path, THREE, FRAMES), Pillow.new("RGB", (128, 96)))
    with pytest.raises(DataError, match=r"c\.png: .*color"):
        open_dataset(f"folder:{root}", "val")[0]


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_damaged_file_is_named(tmp_path: Path, make_folder: Make, folder: str) -> None:
    root = make_folder(tmp_path, THREE, FRAMES)
    damaged = root / folder / "val/c.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(ImageError, match=str(damaged)):
        open_dataset(f"folder:{root}", "val")[0]


EARLIER = """
name = "earlier"
coding = "colours"
ignore = "0,0,0"
[[classes]]
name = "way"
colour = [1, 2, 3]
[[classes]]
name = "wall"
colour = [4, 5, 6]
[codes]
"10,0,0" = "way"
"20,0,0" = "wall"
[[partial]]
frames = "p_*"
marked = ["way"]
"""
TODAY = (
    EARLIER.replace("coding", "mask_encoding")
    .replace("colour", "color")
    .replace("[codes]", "[mask_values]")
    .replace("[[partial]]", "[[partially_annotated]]")
    .replace("marked", "annotated")
)


def test_the_keys_of_earlier_versions_are_read(tmp_path: Path) -> None:
    for name, text in (("a", EARLIER), ("b", TODAY)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.toml").write_text(text)
    earlier, today = (read_description(tmp_path / name) for name in ("a", "b"))
    assert earlier == today
    assert [row.color for row in earlier.classes] == [(1, 2, 3), (4, 5, 6)]
    assert earlier.mask_encoding == "colors"
    assert earlier.mask_values == {"10,0,0": "way", "20,0,0": "wall"}
    assert [(row.frames, row.annotated) for row in earlier.partially_annotated] == [("p_*", ["way"])]
    assert read_label_space(tmp_path / "a/dataset.toml") == read_label_space(tmp_path / "b/dataset.toml")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (TODAY + '[codes]\n"30,0,0" = "way"\n', "`codes`"),
        (TODAY.replace("\n[[", '\ncoding = "values"\n[[', 1), "`coding`"),
        (TODAY + 'marked = ["wall"]\n', "`marked`"),
    ],
)
def test_a_key_under_both_its_names_is_refused(tmp_path: Path, text: str, key: str) -> None:
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(FileError, match=key):
        read_description(tmp_path)
