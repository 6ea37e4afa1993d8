"""Drafted descriptions: the layouts and codings that people have, and what cannot be described."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import IGNORE, Image, Labels
from fassd.core.errors import DataError, FileError
from fassd.core.labels import CAMVID_RAW, CITYSCAPES, CITYSCAPES_RAW
from fassd.data.kinds import open_dataset, splits_of
from fassd.drafts.draft import draft_description
from fassd.drafts.tables import class_tables
from fassd.tasks.init import init

Blocks = Callable[..., Labels]
Paint = Callable[[Labels], Image]
SIZE = (64, 96)


@pytest.fixture
def lay(tmp_path: Path, blocks: Blocks, paint: Paint) -> Callable[..., Path]:
    """Writes pairs of image and mask at the places given, and text files."""

    def write(
        pairs: Mapping[str, str],
        code: Callable[[Labels], Pillow.Image] = Pillow.fromarray,
        values: int = 4,
        texts: Mapping[str, str] | None = None,
    ) -> Path:
        root = tmp_path / "mine"
        for seed, (image, mask) in enumerate(pairs.items()):
            labels = blocks(seed, values, SIZE)
            for place in (image, mask):
                (root / place).parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(paint(labels)).save(root / image)
            if mask:
                code(labels).save(root / mask)
        for place, text in (texts or {}).items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            (root / place).write_text(text, encoding="utf-8")
        return root

    return write


def pairs_of(image: str, mask: str, splits: tuple[str, ...] = ("train", "val"), count: int = 3) -> dict[str, str]:
    """Places of pairs: {split} and {n} are filled in."""
    names = [(split, f"{split}{number}_07") for split in splits for number in range(count)]
    return {image.format(split=split, n=name): mask.format(split=split, n=name) for split, name in names}


@dataclass(frozen=True)
class Layout:
    """Where files lie, and the description that is expected."""

    image: str
    mask: str
    expected: dict[str, Any]
    splits: tuple[str, ...] = ("train", "val")
    texts: dict[str, str] = field(default_factory=dict)


def by_pattern(images: str, masks: str, splits: tuple[str, ...] = ("train", "val")) -> dict[str, Any]:
    return {"images": images, "masks": masks, **({"splits": list(splits)} if splits else {})}


def by_list(*splits: str) -> dict[str, Any]:
    return {"pairs": "pairs/{split}.csv", **({"splits": list(splits)} if splits else {})}


STEMS = {split: "\n".join(f"{split}{n}_07" for n in range(3)) for split in ("train", "val")}
LAYOUTS = {
    "images/train + masks/train": Layout(
        "images/{split}/{n}.jpg",
        "masks/{split}/{n}.png",
        by_pattern("images/{split}/*.jpg", "masks/{split}/{stem}.png"),
    ),
    "train/images + train/masks": Layout(
        "{split}/images/{n}.png",
        "{split}/masks/{n}.png",
        by_pattern("{split}/images/*.png", "{split}/masks/{stem}.png"),
    ),
    "train + trainannot": Layout(
        "{split}/{n}.png", "{split}annot/{n}.png", by_pattern("{split}/*.png", "{split}annot/{stem}.png")
    ),
    "train + train_labels, _L": Layout(
        "{split}/{n}.png", "{split}_labels/{n}_L.png", by_pattern("{split}/*.png", "{split}_labels/{stem}_L.png")
    ),
    "train_images + train_masks": Layout(
        "{split}_images/{n}.jpg",
        "{split}_masks/{n}.png",
        by_pattern("{split}_images/*.jpg", "{split}_masks/{stem}.png"),
    ),
    "training + validation": Layout(
        "images/{split}/{n}.jpg",
        "annotations/{split}/{n}.png",
        by_pattern("images/{split}/*.jpg", "annotations/{split}/{stem}.png", ("training", "validation")),
        ("training", "validation"),
    ),
    "images beside a folder of labels in each split": Layout(
        "{split}/{n}.jpg", "{split}/labels/{n}.png", by_pattern("{split}/*.jpg", "{split}/labels/{stem}.png")
    ),
    "img + ann, no splits": Layout("img/{n}.jpg", "ann/{n}.png", by_pattern("img/*.jpg", "ann/{stem}.png", ()), ("a",)),
    "_gt": Layout("img/{n}.jpg", "gt/{n}_gt.tif", by_pattern("img/*.jpg", "gt/{stem}_gt.tif", ()), ("a",)),
    "mask_ in front": Layout("img/{n}.jpg", "m/mask_{n}.png", by_pattern("img/*.jpg", "m/mask_{stem}.png", ()), ("a",)),
    "an ending of their own": Layout(
        "x/{n}.jpg", "y/{n}_final.png", by_pattern("x/*.jpg", "y/{stem}_final.png", ()), ("a",)
    ),
    "flat, two suffixes": Layout("{n}.jpg", "{n}_mask.png", by_pattern("*.jpg", "{stem}_mask.png", ()), ("a",)),
    "flat, one stem": Layout("{n}.jpg", "{n}.png", by_pattern("*.jpg", "{stem}.png", ()), ("a",)),
    "a folder for each pair": Layout("{n}/img.png", "{n}/label.png", by_list(), ("a",)),
    "flat, one suffix": Layout("{n}.png", "{n}_mask.png", by_list(), ("a",)),
    "both with endings": Layout("x/{n}_image.png", "y/{n}_label.png", by_list(), ("a",)),
    "nested": Layout(
        "images/{split}/c1/{n}.jpg",
        "masks/{split}/c1/{n}.png",
        by_pattern("images/{split}/c1/*.jpg", "masks/{split}/c1/{stem}.png"),
    ),
    "brackets in a folder": Layout("img [1]/{n}.jpg", "ann/{n}.png", by_list(), ("a",)),
    "VOC": Layout(
        "JPEGImages/{n}.jpg",
        "SegmentationClass/{n}.png",
        by_list("train", "val"),
        texts={
            **{f"ImageSets/Segmentation/{split}.txt": stems for split, stems in STEMS.items()},
            "ImageSets/Segmentation/trainval.txt": "\n".join(STEMS.values()),
        },
    ),
    "lists with spaces": Layout(
        "a/{n}.jpg",
        "b/{n}.png",
        by_list("train", "val"),
        texts={f"{s}.txt": "\n".join(f"a/{s}{n}_07.jpg b/{s}{n}_07.png" for n in range(3)) for s in ("train", "val")},
    ),
    "lists as they are taken": Layout(
        "a/{n}.jpg",
        "b/{n}.png",
        {"pairs": "{split}.csv", "splits": ["train", "val"]},
        texts={f"{s}.csv": "\n".join(f"a/{s}{n}_07.jpg,b/{s}{n}_07.png" for n in range(3)) for s in ("train", "val")},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_every_layout_is_found_and_read(lay: Callable[..., Path], layout: Layout, blocks: Blocks) -> None:
    pairs = pairs_of(layout.image, layout.mask, layout.splits)
    root = lay(pairs, texts=layout.texts)
    init(root)
    written = tomllib.loads((root / "dataset.toml").read_text(encoding="utf-8"))
    keys = ("images", "masks", "pairs", "splits")
    assert {key: written[key] for key in keys if key in written} == layout.expected
    found = [sample for split in splits_of(f"folder:{root}") for sample in open_dataset(f"folder:{root}", split)]
    assert len(found) == len(pairs)
    for seed, image in enumerate(pairs):
        number = image.replace("/img.png", "").rpartition("/")[2].partition(".")[0]
        (sample,) = (sample for sample in found if number in sample.name)
        assert np.array_equal(sample.labels, blocks(seed, 4, SIZE))


def grey(table: Mapping[int, int]) -> Callable[[Labels], Pillow.Image]:
    return lambda labels: Pillow.fromarray(np.vectorize(table.__getitem__, otypes=[np.uint8])(labels))


def coloured(colours: list[tuple[int, int, int]]) -> Callable[[Labels], Pillow.Image]:
    return lambda labels: Pillow.fromarray(np.array(colours, np.uint8)[labels])


def palette(labels: Labels) -> Pillow.Image:
    picture = Pillow.fromarray(labels)
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    return picture


def shuffled_palette(labels: Labels) -> Pillow.Image:
    """A palette of its own for each file, as programs that save space write them."""
    order = np.random.default_rng(int(labels.sum())).permutation(3)
    picture = Pillow.fromarray(np.argsort(order).astype(np.uint8)[labels])
    picture.putpalette(np.array([RED, GREEN, BLUE], np.uint8)[order].tobytes())
    return picture


RED, GREEN, BLUE, BLACK = (200, 0, 0), (0, 200, 0), (0, 0, 200), (0, 0, 0)
NAMES = ["road", "wall", "tree", "sky"]
NAMED = {str(place): name for place, name in enumerate(NAMES)}
CODINGS: dict[str, tuple[Callable[[Labels], Pillow.Image], int, dict[str, str], dict[str, Any]]] = {
    "places": (Pillow.fromarray, 4, {}, {"classes": ["class 0", "class 1", "class 2", "class 3"]}),
    "places and 255": (grey({0: 0, 1: 1, 2: 255}), 3, {}, {"classes": ["class 0", "class 1"], "ignore": 255}),
    "black and white": (
        grey({0: 0, 1: 255}),
        2,
        {},
        {"classes": ["background", "foreground"], "codes": {"0": "background", "255": "foreground"}},
    ),
    "grey levels": (
        grey({0: 0, 1: 80, 2: 160}),
        3,
        {},
        {
            "classes": ["class 0", "class 80", "class 160"],
            "codes": {"0": "class 0", "80": "class 80", "160": "class 160"},
        },
    ),
    "from 1 on": (
        grey({0: 1, 1: 2, 2: 3}),
        3,
        {},
        {"classes": ["class 1", "class 2", "class 3"], "codes": {"1": "class 1", "2": "class 2", "3": "class 3"}},
    ),
    "palette": (palette, 4, {}, {"classes": ["class 0", "class 1", "class 2", "class 3"], "colour 3": [0, 0, 200]}),
    "a palette for each file": (
        shuffled_palette,
        3,
        {"class_dict.csv": "name,r,g,b\nroad,200,0,0\nwall,0,200,0\ntree,0,0,200\n"},
        {"coding": "colours", "classes": NAMES[:3]},
    ),
    "a table of something else": (
        Pillow.fromarray,
        2,
        {"labels.csv": "id,name\n1,road\n50,wall\n51,tree\n"},
        {"classes": ["class 0", "class 1"]},
    ),
    "names": (Pillow.fromarray, 4, {"classes.txt": "\n".join(NAMES)}, {"classes": NAMES}),
    "names without the first": (
        Pillow.fromarray,
        4,
        {"classes.txt": "wall\ntree\nsky"},
        {"classes": ["wall", "tree", "sky"], "codes": {"0": "ignore", "1": "wall", "2": "tree", "3": "sky"}},
    ),
    "names with void last": (
        Pillow.fromarray,
        4,
        {"labels.csv": "id,name\n0,road\n1,wall\n2,tree\n3,void\n"},
        {"classes": NAMES[:3], "ignore": 3},
    ),
    "json": (Pillow.fromarray, 4, {"id2label.json": json.dumps(NAMED)}, {"classes": NAMES}),
    "colours": (
        coloured([RED, GREEN, BLUE, BLACK]),
        4,
        {},
        {"coding": "colours", "classes": ["class 0", "class 1", "class 2"], "ignore": "0,0,0"},
    ),
    "colours with a table": (
        coloured([RED, GREEN, BLUE]),
        3,
        {"class_dict.csv": "name,r,g,b\nroad,200,0,0\nwall,0,200,0\ntree,0,0,200\n"},
        {"coding": "colours", "classes": NAMES[:3], "colour 2": [0, 0, 200]},
    ),
    "colours with CVAT's table": (
        coloured([RED, GREEN, BLACK]),
        3,
        {"labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:200,0,0::\nwall:0,200,0::\n"},
        {"coding": "colours", "classes": ["background", "road", "wall"]},
    ),
    "colours with merged rows": (
        coloured([RED, GREEN, BLUE]),
        3,
        {"label_colors.txt": "200 0 0\troad\n0 200 0\troad\n0 0 200\twall\n"},
        {
            "coding": "colours",
            "classes": ["road", "wall"],
            "codes": {"0,0,200": "wall", "0,200,0": "road", "200,0,0": "road"},
        },
    ),
    "grey as RGB": (
        coloured([(1, 1, 1), (2, 2, 2), (3, 3, 3)]),
        3,
        {},
        {"coding": "colours", "classes": ["class 0", "class 1", "class 2"]},
    ),
    "Cityscapes' colours": (
        coloured([row.colour for row in CITYSCAPES_RAW if not row.ignored]),
        19,
        {},
        {"coding": "colours", "label_space": "cityscapes"},
    ),
    "CamVid's 32 colours": (
        coloured([colour for _, colour, _ in CAMVID_RAW]),
        32,
        {},
        {"coding": "colours", "label_space": "camvid"},
    ),
}


@pytest.mark.parametrize(("code", "values", "texts", "expected"), CODINGS.values(), ids=CODINGS.keys())
def test_every_coding_is_found_and_read(
    lay: Callable[..., Path],
    code: Callable[[Labels], Pillow.Image],
    values: int,
    texts: dict[str, str],
    expected: dict[str, Any],
) -> None:
    root = lay(pairs_of("images/{split}/{n}.jpg", "masks/{split}/{n}.png"), code, values, texts)
    init(root)
    written = tomllib.loads((root / "dataset.toml").read_text(encoding="utf-8"))
    rows = written.get("classes", [])
    assert [row["name"] for row in rows] == expected.get("classes", [])
    for key in ("coding", "label_space", "ignore"):
        assert written.get(key) == expected.get(key)
    if "codes" in expected or "label_space" not in expected:
        assert written.get("codes") == expected.get("codes")
    for key, colour in expected.items():
        if key.startswith("colour "):
            assert rows[int(key.split()[1])]["colour"] == colour
    for split in ("train", "val"):
        assert all((sample.labels != IGNORE).any() for sample in open_dataset(f"folder:{root}", split))


def street(values: Mapping[str, int]) -> Callable[[Labels], Pillow.Image]:
    """Sky above, road below, and every other class between."""

    def draw(labels: Labels) -> Pillow.Image:
        height, width = labels.shape
        mask = np.full((height, width), values["road"], np.uint8)
        mask[: height // 3] = values["sky"]
        codes = sorted(values.values())
        mask[height // 3 : height // 2] = np.array(codes)[np.arange(width) * len(codes) // width]
        return Pillow.fromarray(mask)

    return draw


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ({name: place for place, name in enumerate(CITYSCAPES.names)}, 0),
        ({row.name: row.raw_id for row in CITYSCAPES_RAW if row.raw_id >= 0}, 34),
    ],
    ids=["train ids", "labelIds"],
)
def test_a_street_in_cityscapes_numbers_is_known_and_unsure(
    lay: Callable[..., Path], values: dict[str, int], codes: int
) -> None:
    draft = draft_description(lay(pairs_of("images/{split}/{n}.jpg", "masks/{split}/{n}.png"), street(values)))
    written = tomllib.loads(draft.text)
    assert written["label_space"] == "cityscapes"
    assert len(written.get("codes", {})) == codes
    assert any("look at a contact sheet" in doubt for doubt in draft.unsure)


def test_what_is_unsure_stands_in_the_file_too(lay: Callable[..., Path]) -> None:
    draft = draft_description(lay({**pairs_of("img/{n}.jpg", "ann/{n}.png", ("a",)), "img/b_9.jpg": ""}))
    assert any("1 images have no mask" in doubt for doubt in draft.unsure)
    assert all(f"# unsure: {doubt}" in draft.text for doubt in draft.unsure)


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
        ("no pictures", "holds no pictures"),
        ("no masks", "no masks were found"),
        ("no images", "no images were found"),
        ("JPEG masks", "masks/a.jpg: stands where a mask was expected"),
        ("strangers", "no rule leads from one to the other"),
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
    assert ours.coding == theirs.coding


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("classes.txt", "road\ntraffic light\n", [("road", None, None), ("traffic light", None, None)]),
        ("classes.txt", "0 road\n1 wall", [("road", 0, None), ("wall", 1, None)]),
        ("names.txt", "class 3\nclass 4", [("class 3", None, None), ("class 4", None, None)]),
        ("palette.txt", "wall #0a0B0c", [("wall", None, (10, 11, 12))]),
        ("colormap.txt", "7 128 64 128 road", [("road", 7, (128, 64, 128))]),
        ("classes.csv", "Name;Id\nroad;3", [("road", 3, None)]),
        ("meta.json", '{"classes": [{"title": "road", "color": "#010203"}]}', [("road", None, (1, 2, 3))]),
        ("config.json", '{"labels": [{"name": "a--b", "color": [1, 2, 3]}]}', [("a--b", None, (1, 2, 3))]),
        ("label2id.json", '{"road": 0, "wall": 1}', [("road", 0, None), ("wall", 1, None)]),
        ("classes.json", '["road", "wall"]', [("road", 0, None), ("wall", 1, None)]),
        ("classes.json", "[" * 100_000, []),
        ("classes.csv", "name,r,g,b\nroad,300,0,0", [("road", None, None)]),
    ],
)
def test_tables_of_classes_are_read(
    tmp_path: Path, name: str, text: str, rows: list[tuple[str, int | None, tuple[int, int, int] | None]]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = [(row.name, row.value, row.colour) for table in class_tables(tmp_path) for row in table.rows]
    assert found == rows


WORDS = (
    "road",
    "void",
    "class 3",
    "ignore",
    "",
    '"q"',
    "a,b",
    "0",
    "255",
    "-1",
    "70000",
    "#ff0000",
    "\x07",
    "name",
    "r",
)
TABLES = ("classes.txt", "labels.csv", "class_dict.csv", "label_colors.txt", "train.txt", "val.txt")


def random_mask(random: np.random.Generator) -> Pillow.Image:
    codes = random.integers(0, random.choice([2, 4, 40, 256, 60_000]), int(random.integers(1, 9)))
    values = np.kron(codes[random.integers(0, len(codes), (4, 5))], np.ones((8, 8), np.int64))
    match random.integers(4):
        case 0:
            return Pillow.fromarray(values.astype(np.uint16))
        case 1:
            return Pillow.fromarray(np.stack([values, values, values * 7], -1).astype(np.uint8))
        case 2:
            picture = Pillow.fromarray(values.astype(np.uint8))
            picture.putpalette(random.integers(0, 256, 768, np.uint8).tobytes())
            return picture
        case _:
            return Pillow.fromarray(values.astype(np.uint8))


def random_text(random: np.random.Generator) -> str:
    lines = [random.choice(WORDS, int(random.integers(1, 6))) for _ in range(random.integers(1, 8))]
    return "\n".join(str(random.choice([",", " ", "\t", ";"])).join(line) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_whatever_lies_there_the_draft_can_be_read(tmp_path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    for split in ("train", "val"):
        for part in ("img", "masks"):
            (tmp_path / split / part).mkdir(parents=True)
        for number in range(2):
            photo = Pillow.fromarray(random.integers(0, 256, (32, 40, 3), np.uint8))
            photo.save(tmp_path / split / "img" / f"{number}.png")
            random_mask(random).save(tmp_path / split / "masks" / f"{number}.png")
    for name in random.choice(TABLES, 2, replace=False):
        (tmp_path / name).write_text(random_text(random), encoding="utf-8")
    values = {str(random.choice(WORDS)): [0, -1, True, "x", [1, 2, 3], None, 70_000][random.integers(7)] for _ in "abc"}
    (tmp_path / "id2label.json").write_text(json.dumps(values), encoding="utf-8")
    (tmp_path / "test.txt").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    init(tmp_path)
    for split in ("train", "val"):
        assert len(open_dataset(f"folder:{tmp_path}", split)) == 2
