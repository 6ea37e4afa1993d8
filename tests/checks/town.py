"""A healthy set to be damaged, what a row of damage says, and what several of them do."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageFilter
from tests.checks.scenes import NAMES, TO_RAW, save

from fassd.core.arrays import IGNORE

Array = np.ndarray[Any, Any]
Culprit = frozenset[Path]
"""The files of which one must be named: an image or its mask."""
_PLACES = {
    "cityscapes": ("leftImg8bit/{}/*/*.png", "gtFine/{}/*/*_labelIds.png"),
    "camvid": ("{}/*.png", "{}annot/*.png"),
}
ONE = 3
"""The pair that is damaged."""


class Town:
    """A copy of a healthy set, to be damaged."""

    def __init__(self, root: Path, form: str) -> None:
        self.root = root
        images, masks = _PLACES.get(form, ("images/{}/*.jpg", "masks/{}/*.png"))
        self.images = {split: sorted(root.glob(images.format(split))) for split in ("train", "val")}
        self.masks = {split: sorted(root.glob(masks.format(split))) for split in ("train", "val")}

    def image(self, number: int = ONE, split: str = "train") -> Path:
        """The file of an image."""
        return self.images[split][number]

    def mask(self, number: int = ONE, split: str = "train") -> Path:
        """The file of a mask."""
        return self.masks[split][number]

    def pair(self, number: int = ONE, split: str = "train") -> Culprit:
        """Both files."""
        return frozenset({self.image(number, split), self.mask(number, split)})

    def pairs(self) -> list[Culprit]:
        """All of them."""
        return [self.pair(number, split) for split in self.images for number in range(len(self.images[split]))]


Do = Callable[[Town], Sequence[Culprit]]


@dataclass(frozen=True)
class Damage:
    """A row.

    Attributes:
        name: what was done.
        on: the form of the healthy set, see `MAKERS`.
        do: does it, and gives the culprits.
        kinds: the kinds of fault that may be reported, the best first; one of them must be.
        fix: an expression that the fix of a finding must match.
        fixed: whether a corrected copy must be free of faults.
        severity: of the finding.
        found: False for what cannot be found; `why` says so then.
    """

    name: str
    on: str
    do: Do
    kinds: tuple[str, ...]
    fix: str
    fixed: bool = False
    severity: str = "error"
    found: bool = True
    why: str = ""


def read(path: Path) -> Array:
    with PIL.Image.open(path) as picture:
        return np.array(picture)


def on_mask(change: Callable[[Array], Array], every: bool = False, **options: Any) -> Do:
    """Writes one mask, or every one, anew; those that stay as they are have no part in it."""

    def do(town: Town) -> list[Culprit]:
        culprits = []
        for split, paths in town.masks.items() if every else [("train", [town.mask()])]:
            for path in paths:
                values = read(path)
                changed = change(values)
                PIL.Image.fromarray(changed).save(path, **({"format": "PNG"} | options))
                if options or not np.array_equal(values, changed):
                    culprits.append(town.pair(town.masks[split].index(path), split))
        return culprits

    return do


def on_image(change: Callable[[PIL.Image.Image], PIL.Image.Image], every: bool = False, **options: Any) -> Do:
    """Writes one image, or every one of the training split, anew."""

    def do(town: Town) -> list[Culprit]:
        for path in town.images["train"] if every else [town.image()]:
            with PIL.Image.open(path) as picture:
                changed = change(picture.convert("RGB"))
            changed.save(path, **({"quality": 95} | options))
        return [town.pair(number) for number in range(len(town.images["train"]))] if every else [town.pair()]

    return do


def rename(of: Callable[[Town], Path], name: Callable[[Path], str]) -> Do:
    def do(town: Town) -> list[Culprit]:
        path = of(town)
        renamed = path.rename(path.with_name(name(path)))
        return [town.pair() | {renamed}]

    return do


def encoded(picture: Array, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def moved(right: int, down: int) -> Callable[[Array], Array]:
    """Shifts with the margin repeated."""

    def move(values: Array) -> Array:
        rows = np.clip(np.arange(values.shape[0]) - down, 0, values.shape[0] - 1)
        columns = np.clip(np.arange(values.shape[1]) - right, 0, values.shape[1] - 1)
        moved: Array = values[rows][:, columns]
        return moved

    return move


def another(town: Town, split: str, image: Array, labels: Array, stem: str = "", **options: Any) -> Culprit:
    """One more pair beside those of a split, in a folder set."""
    stem = stem or f"{split}_more"
    made = town.root / f"images/{split}/{stem}.jpg", town.root / f"masks/{split}/{stem}.png"
    save(made[0], image, **({"quality": 92} | options))
    save(made[1], labels)
    return frozenset(made)


def lookup(table: dict[int, int], dtype: Any = np.uint8) -> Callable[[Array], Array]:
    """Values through a table, those outside it as they are."""

    def change(values: Array) -> Array:
        full = np.arange(1 << 16)
        full[list(table)] = list(table.values())
        return full[values].astype(dtype)

    return change


RAW = {label: int(TO_RAW[train]) for train, label in enumerate(range(len(NAMES)))} | {IGNORE: 1}
AGAIN = r"again"
