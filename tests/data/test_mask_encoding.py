"""Whatever a mask holds, gray, deep, palette or colors, under whatever layout, the right labels come out."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fassd.core.arrays import IGNORE, Labels
from fassd.core.errors import DataError, FassdError
from fassd.core.labels import CAMVID, CITYSCAPES, CITYSCAPES_CLASSES
from fassd.data.mask_encoding import MaskEncoding, by_value, color_of_value, value_of_color
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image

Array = np.ndarray[Any, Any]
Blocks = Callable[..., Labels]

SIZE = (48, 64)
COLORS = ((200, 10, 10), (10, 200, 10), (10, 10, 200))
THREE = "".join(
    f'[[classes]]\nname = "{name}"\ncolor = {list(color)}\n'
    for name, color in zip(("way", "wall", "tree"), COLORS, strict=True)
)


@pytest.fixture
def truth(blocks: Blocks) -> Labels:
    """Three classes, and ignored pixels in the top rows."""
    labels = blocks(3, 3, SIZE)
    labels[:6] = IGNORE
    return labels


def _write(root: Path, description: str, mask: PIL.Image.Image, suffix: str = "png", **options: Any) -> str:
    """A set of one pair; what --data would say."""
    for folder in ("images/train", "masks/train"):
        (root / folder).mkdir(parents=True)
    size = (mask.height, mask.width)
    pattern = f'masks = "masks/{{split}}/{{stem}}.{suffix}"\n'
    (root / "dataset.toml").write_text(pattern + description)
    PIL.Image.fromarray(np.zeros((*size, 3), np.uint8)).save(root / "images/train/a.png", **options)
    mask.save(root / f"masks/train/a.{suffix}", **options)
    return f"folder:{root}"


def _gray(labels: Labels, table: dict[int, int], dtype: type = np.uint8) -> PIL.Image.Image:
    values: Array = np.zeros(labels.shape, dtype)
    for label, value in table.items():
        values[labels == label] = value
    return PIL.Image.fromarray(values)


def _painted(labels: Labels, ignored: tuple[int, int, int] = (0, 0, 0)) -> Array:
    colors = np.full((256, 3), ignored, np.uint8)
    colors[: len(COLORS)] = COLORS
    return colors[labels]


def _palette(labels: Labels) -> PIL.Image.Image:
    """Values as indices, under colors that mean nothing."""
    picture = PIL.Image.fromarray(labels)
    picture.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    return picture


def _palette_of_colors(labels: Labels) -> PIL.Image.Image:
    """Colors with a meaning behind indices without one."""
    picture = PIL.Image.fromarray(np.array([7, 3, 5, *[1] * 253], np.uint8)[labels])
    palette = np.zeros((256, 3), np.uint8)
    palette[[7, 3, 5]] = COLORS
    picture.putpalette(palette.tobytes())
    return picture


BY_COLOR = 'mask_encoding = "colors"\n'
PLAIN = {0: 0, 1: 1, 2: 2, IGNORE: 255}
ODD = {0: 7, 1: 300, 2: 65535, IGNORE: 1000}
ODD_VALUES = '[mask_values]\n"7" = "way"\n"300" = "wall"\n"65535" = "tree"\n'
COLOR_VALUES = '[mask_values]\n"200,10,10" = "way"\n"10, 200, 10" = "wall"\n"10,10,200" = "tree"\n'


@dataclass(frozen=True)
class Form:
    """A way to store labels: the description's first lines, its last lines, and the picture."""

    head: str
    tail: str
    mask: Callable[[Labels], PIL.Image.Image]
    suffix: str = "png"


FORMS = {
    "gray": Form("", "", PIL.Image.fromarray),
    "gray in a TIFF": Form("", "", PIL.Image.fromarray, "tif"),
    "gray in a BMP": Form("", "", PIL.Image.fromarray, "bmp"),
    "gray with another ignored value": Form("ignore = 9\n", "", lambda seen: _gray(seen, {**PLAIN, IGNORE: 9})),
    "16 bit": Form("", "", lambda seen: _gray(seen, PLAIN, np.uint16)),
    "16 bit in a TIFF": Form("", "", lambda seen: _gray(seen, PLAIN, np.uint16), "tiff"),
    "16 bit and values above 255": Form("ignore = 1000\n", ODD_VALUES, lambda seen: _gray(seen, ODD, np.uint16)),
    "a raw-id table": Form(
        "",
        '[mask_values]\n"5" = "tree"\n"6" = "way"\n"8" = "wall"\n"9" = "way"\n"0" = "ignore"\n',
        lambda seen: _gray(seen, {0: 9, 1: 8, 2: 5, IGNORE: 0}),
    ),
    "palette": Form("", "", _palette),
    "colors of the classes": Form(
        BY_COLOR + 'ignore = "0,0,0"\n', "", lambda seen: PIL.Image.fromarray(_painted(seen))
    ),
    "colors with another ignored one": Form(
        BY_COLOR + 'ignore = "1,2,3"\n', "", lambda seen: PIL.Image.fromarray(_painted(seen, (1, 2, 3)))
    ),
    "colors by a table": Form(
        BY_COLOR,
        COLOR_VALUES + '"4,5,6" = "ignore"\n',
        lambda seen: PIL.Image.fromarray(_painted(seen, (4, 5, 6))),
    ),
    "colors with transparency": Form(
        BY_COLOR + 'ignore = "0,0,0"\n',
        "",
        lambda seen: PIL.Image.fromarray(_painted(seen)).convert("RGBA"),
    ),
    "colors in a lossless WebP": Form(
        BY_COLOR + 'ignore = "0,0,0"\n', "", lambda seen: PIL.Image.fromarray(_painted(seen)), "webp"
    ),
    "colors in a palette": Form(BY_COLOR + 'ignore = "0,0,0"\n', "", _palette_of_colors),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_mask_gives_the_same_labels(tmp_path: Path, truth: Labels, name: str) -> None:
    form = FORMS[name]
    options = {"lossless": True} if form.suffix == "webp" else {}
    spec = _write(tmp_path, form.head + THREE + form.tail, form.mask(truth), form.suffix, **options)
    assert np.array_equal(open_dataset(spec, "train")[0].labels, truth)


def test_a_palette_of_colors_read_as_values_is_not_what_was_meant(tmp_path: Path, truth: Labels) -> None:
    """The forms differ: each test above could fail."""
    spec = _write(tmp_path, THREE, _palette_of_colors(truth))
    with pytest.raises(DataError, match=r"holds the value 3, 5, 7; allowed are 0-2, 255"):
        open_dataset(spec, "train")[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_image_and_mask_alike(tmp_path: Path, truth: Labels, orientation: int) -> None:
    block = PIL.Image.Exif()
    block[0x0112] = orientation
    spec = _write(tmp_path, BY_COLOR + 'ignore = "0,0,0"\n' + THREE, PIL.Image.fromarray(_painted(truth)))
    for name in ("images/train/a.png", "masks/train/a.png"):
        PIL.Image.fromarray(_painted(truth)).save(tmp_path / name, exif=block)
    sample = open_dataset(spec, "train")[0]
    assert np.array_equal(sample.image, _painted(sample.labels))
    assert np.array_equal(sample.labels, truth) == (orientation == 1)


# ------------------------------------------------------------------------------------------------ the law

TOPS = {np.uint8: 255, np.uint16: 65535, np.uint32: 0xFFFFFF}


@st.composite
def encoded(draw: st.DrawFn) -> tuple[dict[int, int], Array]:
    """A table, and a mask with values of which some are in it."""
    dtype = draw(st.sampled_from(sorted(TOPS, key=lambda one: one.__name__)))
    values = st.integers(0, TOPS[dtype])
    table = draw(st.dictionaries(values, st.integers(0, 18) | st.just(IGNORE), max_size=20))
    known = draw(st.lists(values, min_size=1, max_size=8)) + sorted(table)
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    picked = draw(st.lists(st.sampled_from(known), min_size=height * width, max_size=height * width))
    return table, np.array(picked, dtype).reshape(height, width)


@settings(max_examples=150, deadline=None)
@given(encoded())
def test_labels_and_unknown_values_are_those_of_a_dictionary(case: tuple[dict[int, int], Array]) -> None:
    table, values = case
    encoding = MaskEncoding(table, by_color=values.dtype == np.uint32)
    labels = encoding.labels(values)
    expected = [[table.get(int(value), IGNORE) for value in row] for row in values]
    assert labels.dtype == np.uint8
    assert labels.tolist() == expected
    assert encoding.unknown(values) == sorted(set(values.ravel().tolist()) - set(table))


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_color_is_a_mask_value_and_back(color: tuple[int, int, int]) -> None:
    assert color_of_value(value_of_color(color)) == color
    assert MaskEncoding({}, by_color=True).spell(value_of_color(color)) == "{},{},{}".format(*color)


# ---------------------------------------------------------------------------------------- faulty descriptions

# What is wrong, the description, and what the message has to say.
FAULTY = [
    (
        "no such class in mask_values",
        THREE + '[mask_values]\n"1" = "waay"\n',
        r"\[mask_values\] 1 = 'waay'.*did you mean way",
    ),
    ("a color where masks hold values", THREE + '[mask_values]\n"1,2,3" = "way"\n', '"values" it is 0 to 65535'),
    ("a value where masks hold colors", BY_COLOR + THREE + '[mask_values]\n"7" = "way"\n', "a color like"),
    ("a value that is not a number", THREE + '[mask_values]\nroad = "way"\n', "names 'road'"),
    ("a negative value", THREE + '[mask_values]\n"-1" = "way"\n', "names '-1'"),
    ("a value beyond 16 bits", THREE + '[mask_values]\n"65536" = "way"\n', "names '65536'"),
    ("a color beyond 255", BY_COLOR + THREE + '[mask_values]\n"1,2,256" = "way"\n', "names '1,2,256'"),
    ("a color of four", BY_COLOR + THREE + '[mask_values]\n"1,2,3,4" = "way"\n', "names '1,2,3,4'"),
    ("two classes of one color", BY_COLOR + THREE.replace("[10, 200, 10]", "[200, 10, 10]"), "the same color"),
    ("an ignored color that is a class's", BY_COLOR + 'ignore = "10,10,200"\n' + THREE, "of the class 'tree'"),
    ("an ignored value that is a class's", "ignore = 2\n" + THREE, "the value of the class 'tree'"),
    ("an ignored value where masks hold colors", BY_COLOR + "ignore = 255\n" + THREE, "ignore names '255'"),
    ("an ignored color where masks hold values", 'ignore = "0,0,0"\n' + THREE, "ignore names '0,0,0'"),
    ("no such encoding", 'mask_encoding = "rgb"\n' + THREE, "coding"),
    ("an absolute list", 'pairs = "/train.csv"\n' + THREE, "relative"),
    ("a list with a stem", 'pairs = "{stem}.csv"\n' + THREE, "cannot be filled in"),
]


@pytest.mark.parametrize(("text", "named"), [row[1:] for row in FAULTY], ids=[row[0] for row in FAULTY])
def test_a_faulty_description_is_refused_in_a_sentence(tmp_path: Path, truth: Labels, text: str, named: str) -> None:
    spec = _write(tmp_path, text, PIL.Image.fromarray(truth))
    with pytest.raises(FassdError, match=named) as caught:
        open_dataset(spec, "train")
    assert "\n" not in str(caught.value)
    assert "dataset.toml" in str(caught.value)


# --------------------------------------------------------------------------------------------------- real data

LMF = {
    "various": (0, 0, 0),
    "building": (128, 0, 0),
    "car": (128, 0, 128),
    "door": (128, 128, 0),
    "pavement": (128, 128, 128),
    "road": (128, 64, 0),
    "sky": (0, 128, 128),
    "vegetation": (0, 128, 0),
    "window": (0, 0, 128),
}
LMF_CLASS = {"various": "ignore", "door": "building", "window": "building", "pavement": "sidewalk"}


def _real_pairs(
    data_root: Path, tmp_path: Path, folder: str, prefix: str, description: str
) -> list[tuple[Array, Array]]:
    """Labels of the masks in a folder of street19, described anew, beside those in trainannot and valannot."""
    street = data_root / "street19"
    if not (street / folder).is_dir():
        pytest.skip(f"FASSD_DATA has no street19/{folder}")
    listed, expected = [], []
    for mask in sorted((street / folder).glob(f"{prefix}*.png")):
        image = next(street.glob(f"*/{mask.stem}.jpg"))
        listed.append([str(image), str(mask)])
        values = np.array(PIL.Image.open(street / f"{image.parent.name}annot" / mask.name))
        expected.append(np.where(values < len(CITYSCAPES), values, IGNORE))
    with (tmp_path / "all.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(listed)
    (tmp_path / "dataset.toml").write_text('pairs = "all.csv"\nlabel_space = "cityscapes"\n' + description)
    dataset = open_dataset(f"folder:{tmp_path}", "all")
    assert len(dataset) == len(listed) > 0
    return [(sample.labels, other) for sample, other in zip(dataset, expected, strict=True)]


def test_real_masks_in_cityscapes_colors_decode_exactly(data_root: Path, tmp_path: Path) -> None:
    ignored = {",".join(map(str, row.color)) for row in CITYSCAPES_CLASSES if row.ignored and row.label_id >= 0}
    scored = {",".join(map(str, label.color)): label.name for label in CITYSCAPES.classes}
    classes = {**dict.fromkeys(ignored, "ignore"), **scored}
    text = "".join(f'"{color}" = "{name}"\n' for color, name in classes.items())
    for labels, expected in _real_pairs(data_root, tmp_path, "rgb_coded", "kitti_", f"{BY_COLOR}[mask_values]\n{text}"):
        assert np.array_equal(labels, expected)


def test_real_masks_in_other_colors_decode_but_for_what_was_cleaned(data_root: Path, tmp_path: Path) -> None:
    classes = {",".join(map(str, color)): LMF_CLASS.get(name, name) for name, color in LMF.items()}
    text = "".join(f'"{color}" = "{name}"\n' for color, name in classes.items())
    for labels, expected in _real_pairs(data_root, tmp_path, "rgb_coded", "lmf_", f"{BY_COLOR}[mask_values]\n{text}"):
        # Thin vegetation was set to ignored afterwards, nothing else was touched.
        changed = labels != expected
        assert (expected[changed] == IGNORE).all()
        assert (labels[changed] == CITYSCAPES.index("vegetation")).all()
        assert changed.mean() < 0.05


@pytest.mark.parametrize("prefix", ["city_", "kitti_"])
def test_real_label_ids_decode_exactly(data_root: Path, tmp_path: Path, prefix: str) -> None:
    rows = {row.label_id: "ignore" if row.ignored else row.name for row in CITYSCAPES_CLASSES if row.label_id >= 0}
    text = "".join(f'"{value}" = "{name}"\n' for value, name in rows.items())
    for labels, expected in _real_pairs(data_root, tmp_path, "raw_ids", prefix, f"[mask_values]\n{text}"):
        assert np.array_equal(labels, expected)


def test_values_of_a_label_space_are_its_indices() -> None:
    encoding = by_value(CAMVID, ignore=11)
    assert encoding.spell_all() == "0-11, 255"
    assert encoding.labels(np.array([[0, 10, 11, 255]], np.uint8)).tolist() == [[0, 10, IGNORE, IGNORE]]


def test_images_of_every_kind_stand_beside_masks(tmp_path: Path, truth: Labels) -> None:
    spec = _write(tmp_path, THREE, PIL.Image.fromarray(truth))
    image = PIL.Image.fromarray(_painted(truth))
    for stem, suffix in (("b", "jpg"), ("c", "webp"), ("d", "tif"), ("e", "bmp"), ("f", "ppm"), ("g", "JPEG")):
        image.save(tmp_path / f"images/train/{stem}.{suffix}")
        PIL.Image.fromarray(truth).save(tmp_path / f"masks/train/{stem}.png")
    dataset = open_dataset(spec, "train")
    assert [pair.image.name for pair in dataset.pairs] == [
        "a.png",
        "b.jpg",
        "c.webp",
        "d.tif",
        "e.bmp",
        "f.ppm",
        "g.JPEG",
    ]
    assert all(np.array_equal(sample.labels, truth) for sample in dataset)
    assert all(read_image(pair.image).shape == (*SIZE, 3) for pair in dataset.pairs)
