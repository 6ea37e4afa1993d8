"""Drafted descriptions: what is said, written and kept, and what cannot be described."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pillow
from tests.drafts.laying import SIZE, Blocks, Paint, pairs_of

from fassd.core.errors import DataError, FileError
from fassd.data.open_dataset import open_dataset
from fassd.drafts.draft import draft_description
from fassd.tasks.init import init


def test_what_is_unsure_stands_in_the_file_too(lay: Callable[..., Path]) -> None:
    draft = draft_description(lay({**pairs_of("img/{n}.jpg", "ann/{n}.png", ("a",)), "img/b_9.jpg": ""}))
    assert any("1 images have no mask" in doubt for doubt in draft.unsure)
    assert all(f"# unsure: {doubt}" in draft.text for doubt in draft.unsure)


def test_images_of_a_split_without_masks_are_not_called_lacking(lay: Callable[..., Path]) -> None:
    pairs = pairs_of("{split}/images/{n}.jpg", "{split}/labels/{n}.png", ("train",))
    draft = draft_description(lay(pairs | {f"test/images/t{number}.jpg": "" for number in range(4)}))
    assert [doubt for doubt in draft.unsure if "images" in doubt] == [
        "4 images of splits without any mask were omitted"
    ]


def test_only_what_is_named_like_cityscapes_is_called_so(lay: Callable[..., Path]) -> None:
    image, mask = "leftImg8bit/{split}/a/{n}_leftImg8bit.png", "gtFine/{split}/a/{n}_gtFine_labelIds.png"
    other = draft_description(lay(pairs_of(image, mask.replace("labelIds", "labelLevel3Ids"))))
    assert not any("looks like Cityscapes" in doubt for doubt in other.unsure)
    theirs = draft_description(lay(pairs_of(image, mask)))
    assert any("looks like Cityscapes" in doubt for doubt in theirs.unsure)


def test_class_masks_come_before_instance_masks(lay: Callable[..., Path], blocks: Blocks) -> None:
    root = lay(pairs_of("images/{n}.jpg", "gt/{n}_labelIds.png", ("a",)))
    for number in range(3):
        Pillow.fromarray(blocks(number, 9, SIZE)).save(root / f"gt/a{number}_07_instanceIds.png")
        Pillow.fromarray(blocks(number, 9, SIZE)).save(root / f"gt/a{number}_07_color.png")
    assert tomllib.loads(draft_description(root).text)["masks"] == "gt/{stem}_labelIds.png"


def test_names_that_csv_and_toml_must_quote_survive(lay: Callable[..., Path]) -> None:
    odd = ["#1", 'a "b"', "c, d", "é"]
    root = lay({f"{name}.png": f"{name}_mask.png" for name in odd}, texts={"classes.txt": 'a "b"\nc\\d\n\x07e\n#f\ng'})
    init(root)
    assert len(open_dataset(f"folder:{root}", "all")) == len(odd)


def unusable(root: Path, case: str, photo: Pillow.Image) -> None:
    root.mkdir()
    mask = Pillow.new("L", photo.size, 1)
    match case:
        case "no pictures":
            (root / "readme.txt").write_text("none")
        case "no masks":
            photo.save(root / "a.jpg")
        case "no images":
            mask.save(root / "a.png")
        case "GIF masks":
            photo.save(root / "a.jpg")
            mask.save(root / "a_mask.gif")
        case "outlines":
            photo.save(root / "a.jpg")
            (root / "a.json").write_text("{}")
        case "JPEG masks":
            (root / "img").mkdir()
            (root / "masks").mkdir()
            photo.save(root / "img/a.jpg")
            mask.save(root / "masks/a.jpg")
        case "strangers":
            (root / "img").mkdir()
            (root / "masks").mkdir()
            photo.save(root / "img/a.jpg")
            mask.save(root / "masks/b.png")


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("nothing", "there is no such folder"),
        ("no pictures", "holds no images"),
        ("no masks", "no masks were found"),
        ("GIF masks", r"no masks were found; a_mask\.gif cannot be read as a mask: save such files as PNG"),
        ("outlines", r"no masks were found; a\.json may hold outlines: export them as masks"),
        ("no images", "no images were found"),
        ("JPEG masks", "masks/a.jpg: is where a mask was expected"),
        ("strangers", "no rule relates their names"),
    ],
)
def test_a_folder_without_pairs_is_refused(
    tmp_path: Path, blocks: Blocks, paint: Paint, case: str, message: str
) -> None:
    root = tmp_path / "mine"
    if case != "nothing":
        unusable(root, case, Pillow.fromarray(paint(blocks(0))))
    with pytest.raises(DataError, match=message):
        init(root)
    assert not (root / "dataset.toml").exists()


def test_a_description_is_not_replaced_unasked(lay: Callable[..., Path]) -> None:
    root = lay(pairs_of("img/{n}.png", "img/{n}_mask.png", ("a",)))
    init(root)
    (root / "dataset.toml").write_text("mine")
    with pytest.raises(FileError, match="--force"):
        init(root)
    assert (root / "dataset.toml").read_text() == "mine"
    assert init(root, force=True).text == (root / "dataset.toml").read_text()
    assert init(root, force=True).lists  # its own lists are not taken for the user's


@pytest.mark.parametrize(
    ("folder", "parts", "space", "ignore"),
    [("street19", ("train", "val"), "cityscapes", 255), ("camvid", ("train", "val"), "camvid", 11)],
)
def test_real_sets_are_described_as_their_owners_do(
    tmp_path: Path, data_root: Path, folder: str, parts: tuple[str, ...], space: str, ignore: int
) -> None:
    for part in parts:
        for ending in ("", "annot"):
            (tmp_path / (part + ending)).symlink_to(data_root / folder / (part + ending))
    written = tomllib.loads(init(tmp_path).text)
    assert (written["label_space"], written["ignore"]) == (space, ignore)
    kind = "folder" if folder == "street19" else folder
    ours, theirs = (open_dataset(spec, "val") for spec in (f"folder:{tmp_path}", f"{kind}:{data_root / folder}"))
    assert [pair.image.name for pair in ours.pairs] == [pair.image.name for pair in theirs.pairs]
    assert ours.encoding == theirs.encoding
