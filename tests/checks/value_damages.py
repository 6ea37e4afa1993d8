"""What people do to the values and colors in masks."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
from tests.checks.scenes import CAR, NAMES, PERSON, TO_RAW, TO_TRAIN, TREE, painted, save, scenes
from tests.checks.town import (
    AGAIN,
    ONE,
    Array,
    Culprit,
    Damage,
    Do,
    Town,
    encoded,
    lookup,
    on_image,
    on_mask,
    read,
    rename,
)

from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CAMVID_32


def _noise(values: Array) -> Array:
    noise: Array = np.random.default_rng(0).integers(0, _COUNT, values.shape, np.uint8)
    return noise


def _resized(values: Array, filtering: PIL.Image.Resampling) -> Array:
    """Enlarged from half the size."""
    picture = PIL.Image.fromarray(values)
    small = picture.resize((picture.width // 2, picture.height // 2), PIL.Image.Resampling.NEAREST)
    return np.array(small.resize(picture.size, filtering))


def _through_jpeg(values: Array, quality: int = 90) -> Array:
    with PIL.Image.open(io.BytesIO(encoded(values, "JPEG", quality=quality))) as picture:
        return np.array(picture)


def _spot(value: Any) -> Callable[[Array], Array]:
    """A few pixels of something else."""

    def change(values: Array) -> Array:
        values = values.copy()
        values[40:46, 60:70] = value
        return values

    return change


def _photo_for_mask(town: Town) -> list[Culprit]:
    save(town.mask(), scenes("train")[ONE].image)
    return [town.pair()]


def _folders_exchanged(town: Town) -> list[Culprit]:
    for split in town.masks:
        for image, mask in zip(town.images[split], town.masks[split], strict=True):
            pixels, labels = read(image), read(mask)
            PIL.Image.fromarray(labels).save(image, quality=95)
            PIL.Image.fromarray(pixels).save(mask)
    return town.pairs()


def _camvid_colors(town: Town) -> list[Culprit]:
    """The owners' color files among the values."""
    table = {name: color for name, color, _ in CAMVID_32}
    names = [{"Pavement": "Sidewalk", "Pole": "Column_Pole"}.get(name, name) for name in CAMVID.names]
    palette = np.array([table[name] for name in names] + [(0, 0, 0)], np.uint8)
    for paths in town.masks.values():
        for path in paths:
            PIL.Image.fromarray(palette[read(path)]).save(path)
    return town.pairs()


def _beside(ending: str, folder: str = "gtFine") -> Do:
    """Another of Cityscapes' label files in place of every labelIds file; the same where there are no objects."""

    def do(town: Town) -> list[Culprit]:
        culprits = []
        for split, paths in town.masks.items():
            for number, path in enumerate(paths):
                other = path.with_name(path.name.replace("labelIds", ending))
                if not np.array_equal(read(path), read(other)):
                    culprits.append(town.pair(number, split))
                path.write_bytes(other.read_bytes())
        return culprits

    return do


def _other_city(town: Town) -> list[Culprit]:
    moved = town.root / "gtFine/train/koeln" / town.mask().name
    moved.parent.mkdir()
    town.mask().rename(moved)
    return [town.pair() | {moved}]


def _gray_of_colors(values: Array) -> Array:
    return np.array(PIL.Image.fromarray(painted(values)).convert("L"))


def _by_frequency(values: Array) -> PIL.Image.Image:
    """An indexed PNG as graphics programs write it: the right colors under indices of their own."""
    return PIL.Image.fromarray(painted(values)).quantize(16, dither=PIL.Image.Dither.NONE)


def _indexed(town: Town) -> list[Culprit]:
    for paths in town.masks.values():
        for path in paths:
            _by_frequency(read(path)).save(path)
    return town.pairs()


def _overlay(values: Array) -> Array:
    mixed = 0.5 * painted(values) + 0.5 * scenes("train")[ONE].image
    return mixed.astype(np.uint8)


def _clear_border(colors: Array) -> Array:
    clear = np.full((*colors.shape[:2], 1), 255, np.uint8)
    clear[:10] = 60
    return np.concatenate([colors, clear], 2)


def _smooth(colors: Array) -> Array:
    return np.array(PIL.Image.fromarray(colors).filter(PIL.ImageFilter.BoxBlur(1)))


def _mostly(value: int) -> Callable[[Array], Array]:
    def change(values: Array) -> Array:
        changed = np.full_like(values, value)
        changed[50:54, 80:85] = values[50:54, 80:85]
        changed[50, 80:85] = 0
        return changed

    return change


def _flat(value: int) -> Callable[[Array], Array]:
    return lambda values: np.full_like(values, value)


_COUNT = len(NAMES)
ANNOTATE = r"annotat|export|look at"
PHOTO = r"photo|picture|export the mask"


def _to_values(town: Town, every: bool) -> list[Culprit]:
    for split, paths in town.masks.items():
        for path, street in zip(paths, scenes(split), strict=True):
            if every or path == town.mask():
                save(path, street.labels)
    return town.pairs() if every else [town.pair()]


VALUES: tuple[Damage, ...] = (
    Damage(
        "a value without a meaning", "values", on_mask(_spot(200)), ("unknown-values",), r"200|\[mask_values\]|correct"
    ),
    Damage(
        "another value beside the one that is ignored",
        "camvid",
        on_mask(_spot(12)),
        ("unknown-values",),
        r"write 11 in its place",
    ),
    Damage(
        "colors were turned into gray",
        "values",
        on_mask(lambda v: np.array(PIL.Image.fromarray(painted(v)).convert("L")), every=True),
        ("colors-for-values",),
        r"in place of grays",
        fixed=True,
    ),
    Damage(
        "a mask is noise",
        "values",
        on_mask(_noise),
        ("noise-mask",),
        r"export it again",
    ),
    Damage(
        "an image is black",
        "values",
        on_image(lambda i: PIL.Image.new("RGB", i.size)),
        ("blank-image",),
        AGAIN,
    ),
    Damage(
        "a mask has another suffix",
        "values",
        rename(Town.mask, lambda path: f"{path.stem}.tiff"),
        ("missing-mask", "extra-mask"),
        r"train_3\.tiff exists: rename it",
    ),
    Damage("one class too many", "values", on_mask(_spot(_COUNT)), ("unknown-values",), r"ignore = 9|correct"),
    Damage(
        "a color without a meaning",
        "colors",
        on_mask(_spot((1, 2, 3))),
        ("unknown-values",),
        r"\[mask_values\]|correct",
    ),
    Damage(
        "ignored pixels are written otherwise",
        "values",
        on_mask(lookup({IGNORE: 254}), every=True),
        ("unknown-values",),
        r"ignore = 254",
    ),
    Damage(
        "a mask is black and white",
        "values",
        on_mask(lambda v: np.where(v == CAR, 255, 0).astype(np.uint8)),
        ("black-and-white",),
        r"export|annotat",
    ),
    Damage(
        "every mask is black and white",
        "values",
        on_mask(lambda v: np.where(v == CAR, 255, 0).astype(np.uint8), every=True),
        ("black-and-white",),
        r"export|classes",
    ),
    Damage(
        "every mask of two classes is black and white",
        "binary",
        on_mask(lookup({1: 255}), every=True),
        ("black-and-white",),
        r"write 1 in place of 255",
        fixed=True,
    ),
    Damage(
        "a mask of two classes is black and white",
        "binary",
        on_mask(lookup({1: 255})),
        ("black-and-white",),
        r"write 1 in place of 255",
        fixed=True,
    ),
    Damage(
        "every mask of two classes counts from 1",
        "binary",
        on_mask(lookup({0: 1, 1: 2}), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage("a mask has one bit", "values", on_mask(lambda v: v == CAR), ("one-bit",), r"8 bits"),
    Damage(
        "every mask counts from 1",
        "values",
        on_mask(lookup({n: n + 1 for n in range(_COUNT)}), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "every mask counts from 1, 0 is ignored",
        "values",
        on_mask(lookup({IGNORE: 0} | {n: n + 1 for n in range(_COUNT)}), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "CamVid counts from 1",
        "camvid",
        on_mask(lambda v: ((v + 1) % 12).astype(np.uint8), every=True),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "a mask counts from 1",
        "values",
        on_mask(lookup({n: n + 1 for n in range(_COUNT)})),
        ("off-by-one",),
        r"subtract 1",
        fixed=True,
    ),
    Damage(
        "labelIds for train ids",
        "trainids",
        on_mask(lookup({int(TO_TRAIN[n]): int(TO_RAW[n]) for n in range(_COUNT)} | {IGNORE: 0}), every=True),
        ("label-ids",),
        r"train ?ids|\[mask_values\]",
        fixed=True,
    ),
    Damage(
        "labelIds for train ids in one mask",
        "trainids",
        on_mask(lookup({int(TO_TRAIN[n]): int(TO_RAW[n]) for n in range(_COUNT)} | {IGNORE: 0})),
        ("label-ids",),
        r"train ?ids|\[mask_values\]",
        fixed=True,
    ),
    Damage(
        "train ids for labelIds",
        "cityscapes",
        on_mask(lookup({int(TO_RAW[n]): int(TO_TRAIN[n]) for n in range(_COUNT)} | {1: 255}), every=True),
        ("train-ids",),
        r"labelTrainIds",
        fixed=True,
    ),
    Damage(
        "train ids for labelIds in one mask",
        "cityscapes",
        on_mask(lookup({int(TO_RAW[n]): int(TO_TRAIN[n]) for n in range(_COUNT)} | {1: 255})),
        ("train-ids",),
        r"labelTrainIds",
        fixed=True,
    ),
    Damage(
        "instanceIds for labelIds", "cityscapes", _beside("instanceIds"), ("instance-ids",), r"labelIds", fixed=True
    ),
    Damage(
        "the color pictures for labelIds",
        "cityscapes",
        _beside("color"),
        ("colors-for-values",),
        r"values|labelIds",
        fixed=True,
    ),
    Damage(
        "colors for values",
        "values",
        on_mask(painted, every=True),
        ("colors-for-values",),
        r"coding = \"colors\"|values",
        fixed=True,
    ),
    Damage("colors for values in one mask", "values", on_mask(painted), ("colors-for-values",), r"values", fixed=True),
    Damage(
        "unknown colors for values",
        "values",
        on_mask(lambda v: np.stack([v * 20, 255 - v, v], -1)),
        ("colors-for-values",),
        r"colors",
    ),
    Damage(
        "three equal channels",
        "values",
        on_mask(lambda v: np.stack([v] * 3, -1)),
        ("colors-for-values",),
        r"one of the channels",
        fixed=True,
    ),
    Damage(
        "the owners' colors in CamVid",
        "camvid",
        _camvid_colors,
        ("colors-for-values",),
        r"values|colors",
        fixed=True,
    ),
    Damage(
        "values for colors",
        "colors",
        lambda town: _to_values(town, every=True),
        ("values-for-colors",),
        r"coding = \"values\"|colors",
        fixed=True,
    ),
    Damage(
        "values for colors in one mask",
        "colors",
        lambda town: _to_values(town, every=False),
        ("values-for-colors",),
        r"colors|paint",
        fixed=True,
    ),
    Damage(
        "the gray of colors for values",
        "values",
        on_mask(_gray_of_colors, every=True),
        ("unknown-values", "colors-for-values"),
        r"color|export|correct",
    ),
    Damage(
        "an indexed PNG of a graphics program",
        "values",
        _indexed,
        ("colors-for-values",),
        r"palette|color",
        fixed=True,
    ),
    Damage(
        "values spread for viewing",
        "values",
        on_mask(lookup({n: n * 28 for n in range(_COUNT)}), every=True),
        ("stretched-values",),
        r"divide",
        fixed=True,
    ),
    Damage(
        "values spread in one mask",
        "values",
        on_mask(lookup({n: n * 28 for n in range(_COUNT)})),
        ("stretched-values",),
        r"divide",
        fixed=True,
    ),
    Damage(
        "8 bits spread to 16",
        "values",
        on_mask(lambda v: v.astype(np.uint16) * 257, every=True),
        ("stretched-values",),
        r"divide",
        fixed=True,
    ),
    Damage(
        "16 bits with their bytes exchanged",
        "values",
        on_mask(lambda v: v.astype(np.uint16) << 8, every=True),
        ("stretched-values",),
        r"divide|bytes",
        fixed=True,
    ),
    Damage(
        "values are inverted", "values", on_mask(lambda v: 255 - v), ("unknown-values",), r"invert|correct|subtract"
    ),
    Damage("a mask is a JPEG", "values", on_mask(lambda v: v, format="JPEG", quality=95), ("jpeg-mask",), r"PNG"),
    Damage(
        "values went through JPEG",
        "values",
        on_mask(lambda v: _through_jpeg(v, 75)),
        ("jpeg-mask", "blurred-mask", "unknown-values"),
        r"export",
    ),
    Damage("colors went through JPEG", "colors", on_mask(_through_jpeg), ("jpeg-mask",), r"export|nearest"),
    Damage("a color mask is a JPEG", "colors", on_mask(lambda v: v, format="JPEG"), ("jpeg-mask",), r"PNG"),
    Damage(
        "a mask was resized with mixing",
        "values",
        on_mask(lambda v: _resized(v, PIL.Image.Resampling.BILINEAR)),
        ("blurred-mask", "unknown-values"),
        r"nearest|export",
    ),
    Damage(
        "colors were resized with mixing",
        "colors",
        on_mask(lambda v: _resized(v, PIL.Image.Resampling.BICUBIC)),
        ("blurred-mask", "jpeg-mask"),
        r"nearest|export",
    ),
    Damage(
        "colors are smooth at borders",
        "colors",
        on_mask(_smooth),
        ("blurred-mask", "jpeg-mask"),
        r"nearest|export|smooth",
    ),
    Damage("colors with a clear border", "colors", on_mask(_clear_border), ("alpha-mask",), r"transparen"),
    Damage(
        "red and blue of a mask are exchanged",
        "colors",
        on_mask(lambda v: v[..., ::-1].copy(), every=True),
        ("unknown-values",),
        r"RGB|swap",
        fixed=True,
    ),
    Damage(
        "red and blue of one mask are exchanged",
        "colors",
        on_mask(lambda v: v[..., ::-1].copy()),
        ("unknown-values",),
        r"RGB|swap",
        fixed=True,
    ),
    Damage(
        "a photo lies among the masks",
        "values",
        _photo_for_mask,
        ("colors-for-values",),
        PHOTO,
    ),
    Damage("an overlay lies among the masks", "values", on_mask(_overlay), ("colors-for-values",), PHOTO),
    Damage("images and masks are exchanged", "values", _folders_exchanged, ("colors-for-values",), PHOTO),
    Damage(
        "colors in a WebP with losses",
        "colors",
        on_mask(lambda v: v, format="WEBP", quality=80),
        ("jpeg-mask", "blurred-mask", "wrong-suffix"),
        r"export|PNG",
    ),
    Damage(
        "ignored pixels are written as the first class",
        "values",
        on_mask(lookup({IGNORE: 0}), every=True),
        ("unknown-values",),
        r"",
        found=False,
        why="a class's value does not tell what was meant, and part of any class may look unlike the rest",
    ),
    Damage(
        "two small classes are exchanged in a mask",
        "values",
        on_mask(lookup({CAR: PERSON, PERSON: CAR})),
        ("unknown-values",),
        r"",
        found=False,
        why="borders lie right and both values are classes; only somebody who knows cars from people sees it",
    ),
    Damage(
        "a mask holds floating point",
        "values",
        on_mask(lambda v: v.astype(np.float32), format="TIFF"),
        ("unreadable-mask",),
        r"8 or 16 bits",
    ),
    Damage("nearly everything is ignored", "values", on_mask(_mostly(IGNORE)), ("mostly-ignored",), ANNOTATE),
    Damage("everything is ignored", "values", on_mask(_flat(IGNORE)), ("mostly-ignored", "constant-mask"), ANNOTATE),
    Damage("a mask was never begun", "values", on_mask(_flat(0)), ("constant-mask",), ANNOTATE),
    Damage("a mask is all trees", "values", on_mask(_flat(TREE)), ("constant-mask",), ANNOTATE),
    Damage("every mask was never begun", "values", on_mask(_flat(0), every=True), ("constant-mask",), ANNOTATE),
    Damage(
        "a mask lies in another city", "cityscapes", _other_city, ("missing-mask", "extra-mask"), r"name|add|annotate"
    ),
)
