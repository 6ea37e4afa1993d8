"""What masks hold, in the forms that people have, and the classes that stand behind it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.drafts.laying import pairs_of

from fassd.core.arrays import IGNORE, Labels
from fassd.core.labels import CAMVID_32, CITYSCAPES, CITYSCAPES_CLASSES
from fassd.data.open_dataset import open_dataset
from fassd.drafts.draft import draft_description
from fassd.tasks.init import init


def gray(table: Mapping[int, int]) -> Callable[[Labels], Pillow.Image]:
    return lambda labels: Pillow.fromarray(np.vectorize(table.__getitem__, otypes=[np.uint8])(labels))


def colored(colors: list[tuple[int, int, int]]) -> Callable[[Labels], Pillow.Image]:
    return lambda labels: Pillow.fromarray(np.array(colors, np.uint8)[labels])


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
VENDORS = [("gap", BLACK), ("road", RED), ("wall", GREEN), ("tree", BLUE), ("hole", BLACK), ("bird", (9, 9, 0))]
NAMED = {str(place): name for place, name in enumerate(NAMES)}
CODINGS: dict[str, tuple[Callable[[Labels], Pillow.Image], int, dict[str, str], dict[str, Any]]] = {
    "places": (Pillow.fromarray, 4, {}, {"classes": ["class 0", "class 1", "class 2", "class 3"]}),
    "places and 255": (gray({0: 0, 1: 1, 2: 255}), 3, {}, {"classes": ["class 0", "class 1"], "ignore": 255}),
    "black and white": (
        gray({0: 0, 1: 255}),
        2,
        {},
        {"classes": ["background", "foreground"], "mask_values": {"0": "background", "255": "foreground"}},
    ),
    "gray levels": (
        gray({0: 0, 1: 80, 2: 160}),
        3,
        {},
        {
            "classes": ["class 0", "class 80", "class 160"],
            "mask_values": {"0": "class 0", "80": "class 80", "160": "class 160"},
        },
    ),
    "from 1 on": (
        gray({0: 1, 1: 2, 2: 3}),
        3,
        {},
        {"classes": ["class 1", "class 2", "class 3"], "mask_values": {"1": "class 1", "2": "class 2", "3": "class 3"}},
    ),
    "palette": (palette, 4, {}, {"classes": ["class 0", "class 1", "class 2", "class 3"], "color 3": [0, 0, 200]}),
    "a palette for each file": (
        shuffled_palette,
        3,
        {"class_dict.csv": "name,r,g,b\nroad,200,0,0\nwall,0,200,0\ntree,0,0,200\n"},
        {"mask_encoding": "colors", "classes": NAMES[:3]},
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
        {"classes": ["wall", "tree", "sky"], "mask_values": {"0": "ignore", "1": "wall", "2": "tree", "3": "sky"}},
    ),
    "names with void last": (
        Pillow.fromarray,
        4,
        {"labels.csv": "id,name\n0,road\n1,wall\n2,tree\n3,void\n"},
        {"classes": NAMES[:3], "ignore": 3},
    ),
    "names after LabelMe's -1": (
        gray({0: 0, 1: 1, 2: 255}),
        3,
        {"labels.txt": "__ignore__\n_background_\nroad\n"},
        {"classes": ["_background_", "road"], "ignore": 255},
    ),
    "Roboflow's table": (
        Pillow.fromarray,
        3,
        {"train/_classes.csv": "Pixel Value, Class\n0, background\n1, road\n2, wall\n"},
        {"classes": ["background", "road", "wall"]},
    ),
    "ADE20K's table": (
        Pillow.fromarray,
        3,
        {"objectInfo150.txt": "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t.1\t9\t2\t1\twall\n2\t.1\t9\t2\t1\troad, way\n"},
        {"classes": ["wall", "road, way"], "mask_values": {"0": "ignore", "1": "wall", "2": "road, way"}},
    ),
    "grays as colors": (
        Pillow.fromarray,
        3,
        {"obj_class_to_machine_color.json": '{"road": [1, 1, 1], "wall": [2, 2, 2], "rest": [0, 0, 0]}'},
        {"classes": ["rest", "road", "wall"]},
    ),
    "a palette in the order of a table with more classes": (
        palette,
        4,
        {"config.json": json.dumps({"labels": [{"name": f"x-{n}", "readable": n, "color": c} for n, c in VENDORS]})},
        {"classes": [n for n, _ in VENDORS]},
    ),
    "json": (Pillow.fromarray, 4, {"id2label.json": json.dumps(NAMED)}, {"classes": NAMES}),
    "colors": (
        colored([RED, GREEN, BLUE, BLACK]),
        4,
        {},
        {"mask_encoding": "colors", "classes": ["class 0", "class 1", "class 2"], "ignore": "0,0,0"},
    ),
    "colors with a table": (
        colored([RED, GREEN, BLUE]),
        3,
        {"class_dict.csv": "name,r,g,b\nroad,200,0,0\nwall,0,200,0\ntree,0,0,200\n"},
        {"mask_encoding": "colors", "classes": NAMES[:3], "color 2": [0, 0, 200]},
    ),
    "colors with CVAT's table": (
        colored([RED, GREEN, BLACK]),
        3,
        {"labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\nroad:200,0,0::\nwall:0,200,0::\n"},
        {"mask_encoding": "colors", "classes": ["background", "road", "wall"]},
    ),
    "colors with merged rows": (
        colored([RED, GREEN, BLUE]),
        3,
        {"label_colors.txt": "200 0 0\troad\n0 200 0\troad\n0 0 200\twall\n"},
        {
            "mask_encoding": "colors",
            "classes": ["road", "wall"],
            "mask_values": {"0,0,200": "wall", "0,200,0": "road", "200,0,0": "road"},
        },
    ),
    "gray as RGB": (
        colored([(1, 1, 1), (2, 2, 2), (3, 3, 3)]),
        3,
        {},
        {"mask_encoding": "colors", "classes": ["class 0", "class 1", "class 2"]},
    ),
    "Cityscapes' colors": (
        colored([row.color for row in CITYSCAPES_CLASSES if not row.ignored]),
        19,
        {},
        {"mask_encoding": "colors", "label_space": "cityscapes"},
    ),
    "CamVid's 32 colors": (
        colored([color for _, color, _ in CAMVID_32]),
        32,
        {},
        {"mask_encoding": "colors", "label_space": "camvid"},
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
    for key in ("mask_encoding", "label_space", "ignore"):
        assert written.get(key) == expected.get(key)
    if "mask_values" in expected or "label_space" not in expected:
        assert written.get("mask_values") == expected.get("mask_values")
    for key, color in expected.items():
        if key.startswith("color "):
            assert rows[int(key.split()[1])]["color"] == color
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
        ({row.name: row.label_id for row in CITYSCAPES_CLASSES if row.label_id >= 0}, 34),
    ],
    ids=["train ids", "labelIds"],
)
def test_a_street_in_cityscapes_numbers_is_known_and_unsure(
    lay: Callable[..., Path], values: dict[str, int], codes: int
) -> None:
    draft = draft_description(lay(pairs_of("images/{split}/{n}.jpg", "masks/{split}/{n}.png"), street(values)))
    written = tomllib.loads(draft.text)
    assert written["label_space"] == "cityscapes"
    assert len(written.get("mask_values", {})) == codes
    assert any("verify with a contact sheet" in doubt for doubt in draft.unsure)
