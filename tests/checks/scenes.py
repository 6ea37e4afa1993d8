"""Healthy data sets of drawn streets: small, quick, and like enough to photos for checks that look at pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFilter

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CITYSCAPES, CITYSCAPES_CLASSES, CITYSCAPES_TO_CAMVID

Array = np.ndarray[Any, Any]

SIZE = (120, 160)
SPLITS = {"train": 8, "val": 4}

# Name in Cityscapes, how bright it varies, its natural color.
_CLASSES = (
    ("road", 10, (92, 92, 96)),
    ("sidewalk", 9, (150, 142, 136)),
    ("building", 30, (158, 110, 88)),
    ("pole", 6, (60, 62, 64)),
    ("traffic sign", 5, (200, 60, 40)),
    ("vegetation", 26, (62, 104, 44)),
    ("sky", 5, (150, 186, 232)),
    ("person", 22, (70, 58, 84)),
    ("car", 12, (120, 30, 36)),
)
NAMES = tuple(row[0] for row in _CLASSES)
ROAD, PAVEMENT, BUILDING, POLE, SIGN, TREE, SKY, PERSON, CAR = range(9)
_BONNET = 9
COLORS = tuple(CITYSCAPES.classes[CITYSCAPES.index(name)].color for name in NAMES)

TO_TRAIN = np.full(256, IGNORE, np.uint8)
TO_TRAIN[: len(NAMES)] = [CITYSCAPES.index(name) for name in NAMES]
TO_RAW = np.full(256, 1, np.uint8)
TO_RAW[: len(NAMES)] = [next(row.label_id for row in CITYSCAPES_CLASSES if row.name == name) for name in NAMES]
TO_CAMVID = np.full(256, 11, np.uint8)
TO_CAMVID[: len(NAMES)] = [CAMVID.index(CITYSCAPES_TO_CAMVID[name]) for name in NAMES]


@dataclass(frozen=True)
class Scene:
    """A drawn street: (H, W, 3) uint8, (H, W) uint8 places in `NAMES` or IGNORE."""

    image: Array
    labels: Array


@cache
def _drawn(seed: int) -> Scene:
    random = np.random.default_rng([seed, 5])
    height, width = SIZE
    canvas = PIL.Image.new("L", (width, height), SKY)
    _draw(PIL.ImageDraw.Draw(canvas), random)
    drawn = np.array(canvas)
    tones = np.array([row[2] for row in _CLASSES] + [(30, 32, 38)], np.float32)
    spread = np.array([row[1] for row in _CLASSES] + [3], np.float32)
    tones += random.normal(0, 9, tones.shape)
    coarse = random.normal(0, 1, (height // 4, width // 4)).repeat(4, 0).repeat(4, 1)
    shade = coarse * spread[drawn] + random.normal(0, 5, SIZE)
    light = np.linspace(random.uniform(0.85, 1.1), random.uniform(0.85, 1.1), width)[None, :, None]
    colors = (tones[drawn] + shade[..., None]) * light * random.uniform(0.85, 1.1)
    picture = PIL.Image.fromarray(colors.clip(0, 255).astype(np.uint8)).filter(PIL.ImageFilter.GaussianBlur(0.5))
    return Scene(np.array(picture), np.where(drawn == _BONNET, IGNORE, drawn).astype(np.uint8))


_SOURCES: list[Callable[[int], Scene]] = [_drawn]


def scene(seed: int) -> Scene:
    """Always the same street for a seed; no two alike."""
    return _SOURCES[-1](seed)


@contextmanager
def photographed(frames: Sequence[Scene]) -> Iterator[None]:
    """For a while, streets are these frames, one for each seed in the order in which they are asked for."""
    given: dict[int, int] = {}
    _SOURCES.append(lambda seed: frames[given.setdefault(seed, len(given))])
    yield
    _SOURCES.pop()


def _draw(pen: PIL.ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    height, width = SIZE
    horizon, vanish = int(random.integers(46, 62)), int(random.integers(50, 110))
    edge = 0
    while edge < width:
        wide = int(random.integers(14, 40))
        kind = TREE if random.random() < 0.3 else BUILDING if random.random() < 0.85 else SKY
        top = int(random.integers(6, horizon - 4))
        if kind == TREE:
            pen.ellipse((edge, top, edge + wide, horizon + 8), TREE)
        elif kind == BUILDING:
            pen.rectangle((edge, top, edge + wide, horizon + 8), BUILDING)
        edge += wide
    pen.rectangle((0, horizon, width, height), PAVEMENT)
    left, right = random.integers(-20, 40), random.integers(120, 180)
    pen.polygon([(vanish - 4, horizon), (vanish + 4, horizon), (int(right), height), (int(left), height)], ROAD)
    for _ in range(int(random.integers(1, 4))):
        size = int(random.integers(8, 22))
        x, y = int(random.integers(5, width - 30)), int(random.integers(horizon, height - 34))
        pen.rounded_rectangle((x, y, x + int(1.7 * size), y + size), size // 4, CAR)
    for _ in range(int(random.integers(1, 4))):
        x, foot = int(random.integers(4, width - 4)), int(random.integers(horizon + 12, height - 12))
        tall = (foot - horizon) // 2 + 10
        pen.ellipse((x - 3, foot - tall, x + 3, foot - tall + 6), PERSON)
        pen.rectangle((x - 3, foot - tall + 5, x + 3, foot), PERSON)
    for _ in range(int(random.integers(1, 3))):
        x, top = int(random.integers(4, width - 4)), int(random.integers(4, horizon - 10))
        pen.rectangle((x, top, x + 2, horizon + 10), POLE)
        pen.rectangle((x - 4, top, x + 6, top + 9), SIGN)
    if random.random() < 0.7:
        pen.ellipse((-20, height - 12, width + 20, height + 60), _BONNET)


# ------------------------------------------------------------------------------------------- whole data sets


def save(path: Path, picture: Array, **options: Any) -> None:
    """Writes an array under a name whose folder may be missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(picture).save(path, **options)


def scenes(split: str) -> list[Scene]:
    """The streets of a split."""
    first = 100 * list(SPLITS).index(split)
    return [scene(first + number) for number in range(SPLITS[split])]


CLASSES = "".join(
    f'[[classes]]\nname = "{name}"\ncolor = {list(color)}\n' for name, color in zip(NAMES, COLORS, strict=True)
)


def painted(labels: Array) -> Array:
    """Labels in the colors of their classes, black where ignored."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(COLORS)] = COLORS
    return table[labels]


def _folder(root: Path, description: str, code: Callable[[Array], Array]) -> str:
    for split in SPLITS:
        for number, street in enumerate(scenes(split)):
            save(root / f"images/{split}/{split}_{number}.jpg", street.image, quality=92)
            save(root / f"masks/{split}/{split}_{number}.png", code(street.labels))
    (root / "dataset.toml").write_text(description, encoding="utf-8")
    return f"folder:{root}"


def make_values(root: Path) -> str:
    """Nine classes of one's own by value."""
    return _folder(root, f'name = "town"\n{CLASSES}', lambda labels: labels)


def make_colors(root: Path) -> str:
    """The same by color."""
    return _folder(root, f'name = "town"\nmask_encoding = "colors"\nignore = "0,0,0"\n{CLASSES}', painted)


def make_trainids(root: Path) -> str:
    """A folder of masks that hold Cityscapes' train ids."""
    return _folder(root, 'name = "town"\nlabel_space = "cityscapes"\n', lambda labels: TO_TRAIN[labels])


def make_binary(root: Path) -> str:
    """Two classes: cars, and the rest."""
    rows = '[[classes]]\nname = "rest"\ncolor = [0, 0, 0]\n[[classes]]\nname = "car"\ncolor = [0, 0, 142]\n'
    return _folder(root, f'name = "cars"\n{rows}', lambda labels: (labels == CAR).astype(np.uint8))


def make_list(root: Path) -> str:
    """The first set under a description that lists its pairs."""
    make_values(root)
    for split, count in SPLITS.items():
        lines = [f"images/{split}/{split}_{n}.jpg,masks/{split}/{split}_{n}.png\n" for n in range(count)]
        (root / f"{split}.csv").write_text("# image,mask\n" + "".join(lines))
    (root / "dataset.toml").write_text(f'name = "town"\npairs = "{{split}}.csv"\n{CLASSES}')
    return f"folder:{root}"


def make_cityscapes(root: Path) -> str:
    """Cityscapes' layout with labelIds, instanceIds and color pictures."""
    for split, city in (("train", "ulm"), ("val", "bonn")):
        for number, street in enumerate(scenes(split)):
            stem, raw = f"{city}_{number:06}_000019", TO_RAW[street.labels]
            objects = np.isin(street.labels, [PERSON, CAR])
            save(root / f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png", street.image)
            for ending, mask in (
                ("labelIds", raw),
                ("instanceIds", np.where(objects, raw.astype(np.uint16) * 1000, raw).astype(np.uint16)),
                ("color", painted(street.labels)),
            ):
                save(root / f"gtFine/{split}/{city}/{stem}_gtFine_{ending}.png", mask)
    return f"cityscapes:{root}"


def make_camvid(root: Path) -> str:
    """CamVid's resized layout: 11 classes and 11 for the rest."""
    for split, drive in (("train", "0006R0_f0"), ("val", "0016E5_0")):
        for number, street in enumerate(scenes(split)):
            stem = f"{drive}{number * 30 + 990:04}"
            save(root / f"{split}/{stem}.png", street.image)
            save(root / f"{split}annot/{stem}.png", TO_CAMVID[street.labels])
    return f"camvid:{root}"


MAKERS = {
    "values": make_values,
    "colors": make_colors,
    "trainids": make_trainids,
    "binary": make_binary,
    "list": make_list,
    "cityscapes": make_cityscapes,
    "camvid": make_camvid,
}
"""Healthy data sets by the form of their masks."""
