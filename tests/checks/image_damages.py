"""What people do to images, and what is worth knowing of sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
from tests.checks.scenes import CAR, scene, scenes
from tests.checks.town import (
    ONE,
    Array,
    Culprit,
    Damage,
    Do,
    Town,
    another,
    lookup,
    moved,
    on_image,
    on_mask,
)


def _unnamed(do: Do) -> Do:
    """For damages of a whole split, whose finding names no files."""

    def done(town: Town) -> list[Culprit]:
        do(town)
        return []

    return done


def _describe(more: str) -> Do:
    """Adds to the description."""

    def do(town: Town) -> list[Culprit]:
        path = town.root / "dataset.toml"
        path.write_text(path.read_text() + more)
        return []

    return do


def _leak(change: Callable[[Array], Array], **options: Any) -> Do:
    def do(town: Town) -> list[Culprit]:
        street = scenes("train")[ONE]
        return [town.pair() | another(town, "val", change(street.image), street.labels, **options)]

    return do


def _copied(town: Town) -> list[Culprit]:
    """A pair of the training split, byte by byte, under another name in the other split."""
    made = another(town, "val", scenes("train")[ONE].image, scenes("train")[ONE].labels)
    (town.root / "images/val/val_more.jpg").write_bytes(town.image().read_bytes())
    return [town.pair() | made]


def _half_leak(town: Town) -> list[Culprit]:
    street = scenes("train")[ONE]
    half = PIL.Image.fromarray(street.image).reduce(2)
    return [town.pair() | another(town, "val", np.array(half), street.labels[::2, ::2])]


def _twice(labels: Callable[[Array], Array]) -> Do:
    """A picture twice in one split."""

    def do(town: Town) -> list[Culprit]:
        made = another(town, "train", scenes("train")[ONE].image, labels(scenes("train")[ONE].labels))
        next(path for path in made if path.suffix == ".jpg").write_bytes(town.image().read_bytes())
        return [town.pair() | made]

    return do


def _one_drive(town: Town) -> list[Culprit]:
    """The next frame of the same drive in the other split: all a little further, other noise."""
    street = scene(900)
    noise = np.random.default_rng(0).normal(0, 4, street.image.shape)
    further = (moved(4, 2)(street.image) + noise).clip(0, 255).astype(np.uint8)
    first = another(town, "train", street.image, street.labels, "drive7_000100")
    second = another(town, "val", further, moved(4, 2)(street.labels), "drive7_000104")
    return [first | second]


def _instances_gone(town: Town) -> list[Culprit]:
    gone = town.mask().with_name(town.mask().name.replace("labelIds", "instanceIds"))
    gone.unlink()
    return [town.pair() | {gone}]


def _listed_in_both(town: Town) -> list[Culprit]:
    """A line of the training split stands in the other split's list too."""
    line = (town.root / "train.csv").read_text().splitlines()[ONE + 1]
    listing = town.root / "val.csv"
    listing.write_text(f"{listing.read_text()}{line}\n")
    return [town.pair()]


def _exchange(picture: PIL.Image.Image) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.array(picture)[..., ::-1])


IMAGES: tuple[Damage, ...] = (
    Damage(
        "red and blue of every image are exchanged",
        "values",
        on_image(_exchange, every=True),
        ("channel-order",),
        r"red|channel|RGB",
    ),
    Damage(
        "red and blue of an image are exchanged", "values", on_image(_exchange), ("channel-order",), r"red|channel|RGB"
    ),
    Damage("a frame lies in both splits", "values", _copied, ("leak", "near-leak"), r"one of|remove|take"),
    Damage("a pair is listed in both splits", "list", _listed_in_both, ("leak",), r"one of|remove|take"),
    Damage(
        "a frame is saved again in the other split",
        "values",
        _leak(lambda i: i, quality=60),
        ("near-leak", "leak"),
        r"one of|remove|take",
    ),
    Damage(
        "a frame is brighter in the other split",
        "values",
        _leak(lambda i: (i * 1.12).clip(0, 255).astype(np.uint8)),
        ("near-leak", "leak"),
        r"one of|remove|take",
    ),
    Damage(
        "a frame has half its size in the other split",
        "values",
        _half_leak,
        ("near-leak", "leak"),
        r"one of|remove|take",
    ),
    Damage(
        "one picture has two masks",
        "values",
        _twice(lambda v: np.where(v == CAR, 0, v)),
        ("two-masks",),
        r"mask|one of",
    ),
    Damage(
        "partially annotated frames are named wrongly",
        "values",
        _describe('[[partially_annotated]]\nframes = "street_*"\nannotated = ["car"]\n'),
        ("unmatched-partial",),
        r"correct the pattern",
    ),
    # --- worth knowing
    Damage("a picture is twice in a split", "values", _twice(lambda v: v), ("duplicate",), r"", severity="info"),
    Damage("a drive is in both splits", "values", _one_drive, ("sequence-in-two-splits",), r"", severity="info"),
    Damage(
        "instanceIds are missing", "cityscapes", _instances_gone, ("missing-instances",), r"instance", severity="info"
    ),
    Damage(
        "a class is never seen",
        "values",
        _unnamed(on_mask(lookup({CAR: 0}), every=True)),
        ("unseen-class",),
        r"",
        severity="info",
    ),
)
