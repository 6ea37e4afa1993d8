"""Label spaces: the classes a network answers with, their colours, and the tables that lead into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fassd.core.arrays import IGNORE, LookupTable
from fassd.core.errors import UnknownName, UsageError


@dataclass(frozen=True)
class LabelClass:
    """One class: its name, its colour (red, green, blue) and its id in the original label files."""

    name: str
    colour: tuple[int, int, int]
    raw_id: int


@dataclass(frozen=True)
class LabelSpace:
    """The classes in the order of a network's outputs: class i is train id i."""

    name: str
    classes: tuple[LabelClass, ...]

    def __post_init__(self) -> None:
        names = self.names
        if not 1 <= len(names) <= IGNORE:
            raise UsageError(f"label space '{self.name}' has {len(names)} classes; 1 to {IGNORE} are possible")
        if len(set(names)) != len(names):
            raise UsageError(f"label space '{self.name}' names a class twice: {', '.join(names)}")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names in train-id order."""
        return tuple(label.name for label in self.classes)

    def index(self, name: str) -> int:
        """The train id of a class.

        Raises:
            UnknownName: the space has no such class.
        """
        if name not in self.names:
            raise UnknownName(f"class of label space '{self.name}'", name, self.names)
        return self.names.index(name)

    def colour_table(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """(256, 3) uint8: the colour of each value; black beyond the classes, so also for IGNORE."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = [label.colour for label in self.classes]
        return table

    def identity_table(self) -> LookupTable:
        """The table for files that hold train ids already."""
        table = np.full(256, IGNORE, np.uint8)
        table[: len(self)] = np.arange(len(self))
        return table

    def raw_id_table(self) -> LookupTable:
        """The table for files that hold the original (raw) ids."""
        table = np.full(256, IGNORE, np.uint8)
        for train_id, label in enumerate(self.classes):
            table[label.raw_id] = train_id
        return table

    def table_into(self, other: LabelSpace, names: Mapping[str, str]) -> LookupTable:
        """The table from this space's train ids to another's.

        Args:
            other: the space to arrive in.
            names: for every class of this space a class of the other, or "ignore".

        Raises:
            UsageError: a class is missing or unknown on either side.
        """
        missing = [name for name in self.names if name not in names]
        if missing:
            raise UsageError(f"the table from '{self.name}' into '{other.name}' lacks: {', '.join(missing)}")
        table = np.full(256, IGNORE, np.uint8)
        for name, target in names.items():
            table[self.index(name)] = IGNORE if target == "ignore" else other.index(target)
        return table


def _space(name: str, rows: list[tuple[str, tuple[int, int, int], int]]) -> LabelSpace:
    return LabelSpace(name, tuple(LabelClass(*row) for row in rows))


# The official training classes, colours and raw ids of Cityscapes (Cordts et al., CVPR 2016).
CITYSCAPES = _space(
    "cityscapes",
    [
        ("road", (128, 64, 128), 7),
        ("sidewalk", (244, 35, 232), 8),
        ("building", (70, 70, 70), 11),
        ("wall", (102, 102, 156), 12),
        ("fence", (190, 153, 153), 13),
        ("pole", (153, 153, 153), 17),
        ("traffic light", (250, 170, 30), 19),
        ("traffic sign", (220, 220, 0), 20),
        ("vegetation", (107, 142, 35), 21),
        ("terrain", (152, 251, 152), 22),
        ("sky", (70, 130, 180), 23),
        ("person", (220, 20, 60), 24),
        ("rider", (255, 0, 0), 25),
        ("car", (0, 0, 142), 26),
        ("truck", (0, 0, 70), 27),
        ("bus", (0, 60, 100), 28),
        ("train", (0, 80, 100), 31),
        ("motorcycle", (0, 0, 230), 32),
        ("bicycle", (119, 11, 32), 33),
    ],
)

# CamVid (Brostow et al., 2009) in the grouping into 11 classes that the SegNet authors made and papers report.
CAMVID = _space(
    "camvid",
    [
        ("Sky", (128, 128, 128), 0),
        ("Building", (128, 0, 0), 1),
        ("Pole", (192, 192, 128), 2),
        ("Road", (128, 64, 128), 3),
        ("Pavement", (60, 40, 222), 4),
        ("Tree", (128, 128, 0), 5),
        ("SignSymbol", (192, 128, 128), 6),
        ("Fence", (64, 64, 128), 7),
        ("Car", (64, 0, 128), 8),
        ("Pedestrian", (64, 64, 0), 9),
        ("Bicyclist", (0, 128, 192), 10),
    ],
)

LABEL_SPACES = {space.name: space for space in (CITYSCAPES, CAMVID)}


def label_space_by_name(name: str) -> LabelSpace:
    """A known label space.

    Raises:
        UnknownName: no row has this name; the nearest are offered.
    """
    if name not in LABEL_SPACES:
        raise UnknownName("label space", name, LABEL_SPACES)
    return LABEL_SPACES[name]
