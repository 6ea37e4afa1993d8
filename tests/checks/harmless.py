"""What looks odd in a data set and is no fault, and what is no data set at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
from tests.checks.scenes import CAR, COLORS, POLE, ROAD, painted, save, scene, scenes
from tests.checks.town import Town

from fassd.core.arrays import IGNORE


def _leftovers(town: Town) -> None:
    for path in (town.image(), town.mask()):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        for name in (".DS_Store", "Thumbs.db", "notes.txt", "desktop.ini"):
            path.with_name(name).write_bytes(b"leftover")


def _masks(change: Callable[[PIL.Image.Image], PIL.Image.Image], **options: Any) -> Callable[[Town], None]:
    def do(town: Town) -> None:
        for path in town.masks["train"]:
            with PIL.Image.open(path) as picture:
                changed = change(picture.copy())
            changed.save(path, **options)

    return do


def _image(change: Callable[[PIL.Image.Image], PIL.Image.Image], **options: Any) -> Callable[[Town], None]:
    def do(town: Town) -> None:
        with PIL.Image.open(town.image()) as picture:
            changed = change(picture.convert("RGB"))
        changed.save(town.image(), **({"quality": 92} | options))

    return do


def _palette(picture: PIL.Image.Image) -> PIL.Image.Image:
    table = np.zeros((256, 3), np.uint8)
    table[:10] = painted(np.arange(10, dtype=np.uint8))
    picture.putpalette(table.tobytes())
    return picture


def _palette_of_few(town: Town) -> None:
    """As vendors with many classes do: several share a color, which then says nothing about the index."""
    path = town.root / "dataset.toml"
    path.write_text(path.read_text().replace(str(list(COLORS[CAR])), str(list(COLORS[POLE]))))
    table = painted(np.arange(256).clip(0, 9).astype(np.uint8))
    table[CAR] = COLORS[POLE]
    for mask in town.masks["train"]:
        with PIL.Image.open(mask) as picture:
            changed = picture.copy()
        changed.putpalette(table.tobytes())
        changed.save(mask)


def _deep(picture: PIL.Image.Image) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.array(picture).astype(np.uint16))


def _bordered(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Ignored pixels around every object, as in Pascal VOC."""
    labels = np.array(picture)
    borders = np.zeros(labels.shape, bool)
    borders[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    borders[1:] |= labels[1:] != labels[:-1]
    return PIL.Image.fromarray(np.where(borders, IGNORE, labels).astype(np.uint8))


def _dark(picture: PIL.Image.Image) -> PIL.Image.Image:
    return picture.point(lambda value: value // 6)


def _both_turned(town: Town) -> None:
    """As a phone stores a photo and as a tool that keeps EXIF stores its mask."""
    block = PIL.Image.Exif()
    block[0x0112] = 6
    for path in (town.image(), town.mask()):
        with PIL.Image.open(path) as picture:
            stored = picture.transpose(PIL.Image.Transpose.ROTATE_90)
        stored.save(path, exif=block, quality=92)


def _capitals(town: Town) -> None:
    town.image().rename(town.image().with_suffix(".JPG"))


def _mirrored_copy(town: Town) -> None:
    """Augmentation written to disk: image and mask mirrored together, in the same split."""
    street = scenes("train")[3]
    save(town.root / "images/train/train_3_flipped.jpg", street.image[:, ::-1], quality=92)
    save(town.root / "masks/train/train_3_flipped.png", street.labels[:, ::-1])


def _other_sizes(town: Town) -> None:
    street = scene(700)
    save(town.root / "images/train/small.jpg", street.image[:90, 10:131], quality=92)
    save(town.root / "masks/train/small.png", street.labels[:90, 10:131])


def _rare_class(town: Town) -> None:
    for path in town.masks["train"][:-1]:
        with PIL.Image.open(path) as picture:
            labels = np.array(picture)
        save(path, np.where(labels == CAR, ROAD, labels).astype(np.uint8))


def _half_ignored(picture: PIL.Image.Image) -> PIL.Image.Image:
    labels = np.array(picture)
    labels[:, : labels.shape[1] * 2 // 3] = IGNORE
    return PIL.Image.fromarray(labels)


def _opaque(picture: PIL.Image.Image) -> PIL.Image.Image:
    return picture.convert("RGBA")


def _another_split(town: Town) -> None:
    for number in range(3):
        street = scene(800 + number)
        save(town.root / f"images/night/night_{number}.jpg", street.image // 3, quality=92)
        save(town.root / f"masks/night/night_{number}.png", street.labels)


def _from_the_pavement(first: int) -> Callable[[Town], None]:
    """Road and pavement exchanged in masks, as whoever walks on the pavement sees a street."""

    def do(town: Town) -> None:
        exchanged = np.arange(256, dtype=np.uint8)
        exchanged[[first, first + 1]] = first + 1, first
        for path in (*town.masks["train"], *town.masks["val"]):
            with PIL.Image.open(path) as picture:
                labels = np.array(picture)
            save(path, exchanged[labels])

    return do


def _from_the_air(top: int) -> Callable[[Town], None]:
    """Roads, grass, trees and water from above; `top` is what the upper middle shows."""

    def do(town: Town) -> None:
        rows = zip(("road", "grass", "tree", "water"), ((1, 2, 3), (0, 200, 0), (0, 90, 0), (0, 0, 200)), strict=True)
        classes = "".join(f'[[classes]]\nname = "{name}"\ncolor = {list(color)}\n' for name, color in rows)
        (town.root / "dataset.toml").write_text(f'name = "air"\n{classes}')
        for number, path in enumerate((*town.masks["train"], *town.masks["val"])):
            random = np.random.default_rng(number)
            labels = np.ones((120, 160), np.uint8)
            labels[:40] = top
            for kind in (0, 2, 3):
                y, x = random.integers(0, 100), random.integers(0, 140)
                labels[y : y + 20, x : x + 20] = kind
            save(path, labels)
            save((*town.images["train"], *town.images["val"])[number], _SHADES[labels] + _grain(random), quality=95)

    return do


_SHADES = np.array([(90, 90, 95), (80, 140, 60), (40, 90, 40), (60, 90, 160)], np.uint8)


def _grain(random: np.random.Generator) -> Any:
    return random.integers(0, 20, (120, 160, 1)).astype(np.uint8)


def _named_in_part(town: Town) -> None:
    """`splits` leaves a split out on purpose; its folders are nobody's business."""
    path = town.root / "dataset.toml"
    path.write_text(f'splits = ["train"]\n{path.read_text()}')


def _black_and_white(town: Town) -> None:
    """As `fassd data init` describes masks of 0 and 255."""
    path = town.root / "dataset.toml"
    path.write_text(path.read_text() + '[mask_values]\n"0" = "rest"\n"255" = "car"\n')
    for mask in (*town.masks["train"], *town.masks["val"]):
        with PIL.Image.open(mask) as picture:
            save(mask, np.array(picture) * np.uint8(255))


HARMLESS: dict[str, tuple[str, Callable[[Town], Any]]] = {
    "leftovers of macOS and Windows": ("values", _leftovers),
    "masks with a palette": ("values", _masks(_palette)),
    "a palette in which classes share a color": ("values", _palette_of_few),
    "masks of 16 bits": ("values", _masks(_deep)),
    "ignored pixels around objects": ("values", _masks(_bordered)),
    "two thirds ignored": ("values", _masks(_half_ignored)),
    "colors with an opaque alpha channel": ("colors", _masks(_opaque)),
    "colors in a palette": ("colors", _masks(lambda p: p.quantize(16, dither=PIL.Image.Dither.NONE))),
    "a picture in gray": ("values", _image(PIL.ImageOps.grayscale)),
    "a picture in CMYK": ("values", _image(lambda p: p.convert("CMYK"))),
    "a progressive picture": ("values", _image(lambda p: p, progressive=True)),
    "a picture at night": ("values", _image(_dark)),
    "a poorly compressed picture": ("values", _image(lambda p: p, quality=20)),
    "image and mask turned alike": ("values", _both_turned),
    "a suffix in capitals": ("values", _capitals),
    "a mirrored pair": ("values", _mirrored_copy),
    "a pair of another size": ("values", _other_sizes),
    "a class in one mask alone": ("values", _rare_class),
    "a third split": ("values", _another_split),
    "streets filmed from the pavement": ("values", _from_the_pavement(0)),
    "Cityscapes filmed from the pavement": ("cityscapes", _from_the_pavement(7)),
    "CamVid filmed from the pavement": ("camvid", _from_the_pavement(3)),
    "roads and grass from the air": ("values", _from_the_air(1)),
    "roads and a lake from the air": ("values", _from_the_air(3)),
    "a split that is not named": ("values", _named_in_part),
    "255 is a class": ("binary", _black_and_white),
}
"""Name -> form of the set, what is done to it."""


def _write(name: str, change: Callable[[str], str]) -> Callable[[Path], Any]:
    return lambda root: (root / name).write_text(change((root / name).read_text()), encoding="utf-8")


def _emptied(root: Path) -> None:
    for path in root.iterdir():
        shutil.rmtree(path)


def _unlisted(root: Path) -> None:
    for name in ("train.csv", "val.csv"):
        (root / name).unlink()


UNUSABLE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "no such folder": ("values", shutil.rmtree, "there is no such folder"),
    "no description": ("values", lambda root: (root / "dataset.toml").unlink(), r"fassd data init"),
    "a description that is no TOML": ("values", _write("dataset.toml", lambda _: "name = "), "not valid TOML"),
    "an unknown coding": (
        "values",
        _write("dataset.toml", lambda text: 'coding = "color"\n' + text),
        "did you mean 'colors'",
    ),
    "an unknown key": (
        "values",
        _write("dataset.toml", lambda text: 'imagez = "a"\n' + text),
        "did you mean 'images'",
    ),
    "an unknown key of a class": (
        "values",
        _write("dataset.toml", lambda text: text.replace("color", "colr", 1)),
        "did you mean 'color'",
    ),
    "no list of pairs": (
        "list",
        _unlisted,
        r"nothing matches \*\.csv",
    ),
    "an unknown label space": (
        "values",
        _write("dataset.toml", lambda _: 'label_space = "camvit"'),
        "did you mean camvid",
    ),
    "no images": ("values", lambda root: shutil.rmtree(root / "images"), "no split|no images|nothing"),
    "a list that names no file": ("list", _write("train.csv", lambda _: "a.png,b.png\n"), r"line 1 names a\.png"),
    "a list with a line of headings": (
        "list",
        _write("train.csv", lambda text: "image,mask\n" + text),
        "line 1 names image",
    ),
    "a list with Windows' separators": (
        "list",
        _write("train.csv", lambda text: text.replace("/", "\\")),
        r"line 2 names images\\train",
    ),
    "a folder of Cityscapes without images": (
        "cityscapes",
        lambda root: shutil.rmtree(root / "leftImg8bit"),
        "leftImg8bit|no split",
    ),
    "an empty CamVid": ("camvid", _emptied, "no split|no images"),
}
"""Name -> form of the set, what is done to its folder, what must be said."""
