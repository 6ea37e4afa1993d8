"""What people do to where masks lie: sizes, turns, shifts, masks of other images."""

from __future__ import annotations

import re

import numpy as np
import PIL.Image
import PIL.ImageFilter
from tests.checks.scenes import save
from tests.checks.town import (
    Culprit,
    Damage,
    Town,
    moved,
    on_image,
    on_mask,
    read,
)


def _exif(orientation: int) -> PIL.Image.Exif:
    block = PIL.Image.Exif()
    block[0x0112] = orientation
    return block


def _quarter(town: Town) -> list[Culprit]:
    """All pairs cut to squares, and a mask laid on its side."""
    for path in (path for files in (town.images, town.masks) for paths in files.values() for path in paths):
        pixels = read(path)
        side = min(pixels.shape[:2])
        save(path, pixels[:side, :side], quality=95)
    save(town.mask(), np.rot90(read(town.mask())))
    return [town.pair()]


def _swap_masks(town: Town) -> list[Culprit]:
    first, second = town.mask(2), town.mask(5)
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    return [town.pair(2), town.pair(5)]


def _swap_sizes(town: Town) -> list[Culprit]:
    """Two masks are exchanged, of images of which one was cut to another size before."""
    with PIL.Image.open(town.image(5)) as picture:
        cut = picture.crop((0, 0, 140, 110))
    cut.save(town.image(5), quality=95)
    save(town.mask(5), read(town.mask(5))[:110, :140])
    return _swap_masks(town)


def _slip_masks(town: Town) -> list[Culprit]:
    """Every mask of a split lies under the name of the next frame."""
    contents = [path.read_bytes() for path in town.masks["train"]]
    for path, content in zip(town.masks["train"], contents[-1:] + contents[:-1], strict=True):
        path.write_bytes(content)
    return [town.pair(number) for number in range(len(contents))]


def _listed_crosswise(town: Town) -> list[Culprit]:
    """Two lines name each other's masks."""
    listing = town.root / "train.csv"
    crossed = {"2.png": "5.png", "5.png": "2.png"}
    listing.write_text(re.sub(r"(?<=train_)[25]\.png", lambda found: crossed[found[0]], listing.read_text()))
    return [town.pair(2), town.pair(5)]


PLACES: tuple[Damage, ...] = (
    Damage("a mask has half the size", "values", on_mask(lambda v: v[::2, ::2]), ("size-differs",), r"size|export"),
    Damage(
        "a mask is one pixel wider",
        "values",
        on_mask(lambda v: np.pad(v, ((0, 0), (0, 1)), mode="edge")),
        ("size-differs",),
        r"size|export",
    ),
    Damage(
        "a mask is transposed",
        "values",
        on_mask(lambda v: v.T),
        ("size-differs", "turned-by-exif"),
        r"turn|transpose|export",
    ),
    Damage(
        "an image was cropped later",
        "values",
        on_image(lambda p: p.crop((8, 4, 152, 116))),
        ("size-differs",),
        r"size|export",
    ),
    Damage(
        "an image is a thumbnail", "values", on_image(lambda p: p.resize((40, 30))), ("size-differs",), r"size|export"
    ),
    Damage(
        "EXIF turns an image by 90 degrees",
        "values",
        on_image(lambda p: p, exif=_exif(6)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "EXIF turns an image upside down",
        "values",
        on_image(lambda p: p, exif=_exif(3)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "EXIF mirrors an image",
        "values",
        on_image(lambda p: p, exif=_exif(2)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "EXIF turns a mask",
        "values",
        on_mask(lambda v: v, exif=_exif(8)),
        ("turned-by-exif",),
        r"EXIF|orient|turn",
        fixed=True,
    ),
    Damage(
        "a mask is mirrored",
        "values",
        on_mask(lambda v: v[:, ::-1]),
        ("flipped-mask",),
        r"mirror|flip|turn",
        fixed=True,
    ),
    Damage(
        "a mask is upside down",
        "values",
        on_mask(lambda v: v[::-1]),
        ("flipped-mask",),
        r"mirror|flip|turn",
        fixed=True,
    ),
    Damage(
        "a mask is turned by 180 degrees",
        "values",
        on_mask(lambda v: v[::-1, ::-1]),
        ("flipped-mask",),
        r"mirror|flip|turn",
        fixed=True,
    ),
    Damage("a square mask lies on its side", "values", _quarter, ("flipped-mask",), r"by a quarter, clockwise"),
    Damage(
        "every mask is mirrored",
        "values",
        on_mask(lambda v: v[:, ::-1], every=True),
        ("flipped-mask",),
        r"mirror|flip|turn",
        fixed=True,
    ),
    Damage("a mask is shifted to the right", "values", on_mask(moved(14, 0)), ("shifted-mask",), r"shift|move"),
    Damage("a mask is shifted down", "values", on_mask(moved(0, 11)), ("shifted-mask",), r"shift|move"),
    Damage("every mask is shifted", "values", on_mask(moved(-12, 9), every=True), ("shifted-mask",), r"shift|move"),
    Damage("two masks are exchanged", "values", _swap_masks, ("swapped-mask",), r"were swapped, rename"),
    Damage("two masks of other sizes are exchanged", "values", _swap_sizes, ("swapped-mask",), r"were swapped, rename"),
    Damage("two lines name each other's masks", "list", _listed_crosswise, ("swapped-mask",), r"were swapped, rename"),
    Damage("every mask lies one frame late", "values", _slip_masks, ("swapped-mask",), r"were swapped, rename"),
)
