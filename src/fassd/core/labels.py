"""Label spaces: the classes that a network predicts, their colors, and tables between label spaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fassd.core.arrays import IGNORE, LookupTable
from fassd.core.errors import UnknownName, UsageError


@dataclass(frozen=True)
class LabelClass:
    """A class: its name, its color (red, green, blue) and its id in the original label files."""

    name: str
    color: tuple[int, int, int]
    label_id: int


@dataclass(frozen=True)
class CityscapesClass:
    """One of the 35 classes that Cityscapes annotates; the 19 in `CITYSCAPES` are trained and scored.

    Attributes:
        name: as in Cityscapes.
        label_id: its value in labelIds files; instanceIds files hold 1000 times that plus a number. -1: never written.
        train_id: its index in `CITYSCAPES`; 255 if it has none, or -1 if it is never written.
        category: the coarser class it belongs to, one of 8.
        has_instances: whether single objects are annotated.
        ignored: whether pixels of this class are excluded from scores.
        color: red, green, blue; several classes may share one.
    """

    name: str
    label_id: int
    train_id: int
    category: str
    has_instances: bool
    ignored: bool
    color: tuple[int, int, int]


@dataclass(frozen=True)
class LabelSpace:
    """Classes in the order of a network's outputs: class i has the train id i."""

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

    def color_table(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """(256, 3) uint8: the color of every train id; black for other values, IGNORE among them."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = [label.color for label in self.classes]
        return table

    def identity_table(self) -> LookupTable:
        """The table of files that hold train ids."""
        table = np.full(256, IGNORE, np.uint8)
        table[: len(self)] = np.arange(len(self))
        return table

    def label_id_table(self) -> LookupTable:
        """The table of files that hold label ids."""
        table = np.full(256, IGNORE, np.uint8)
        for train_id, label in enumerate(self.classes):
            table[label.label_id] = train_id
        return table

    def table_into(self, other: LabelSpace, names: Mapping[str, str]) -> LookupTable:
        """The table from this space's train ids to another's.

        Args:
            other: the target.
            names: every class of this space -> a class of the other, or "ignore".

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


# Every class of Cityscapes (Cordts et al., CVPR 2016) with the owners' ids and colors, in their order:
# name, label id, train id, category, has instances, ignored when scored, color.
CITYSCAPES_CLASSES = tuple(
    CityscapesClass(*row)
    for row in [
        ("unlabeled", 0, 255, "void", False, True, (0, 0, 0)),
        ("ego vehicle", 1, 255, "void", False, True, (0, 0, 0)),
        ("rectification border", 2, 255, "void", False, True, (0, 0, 0)),
        ("out of roi", 3, 255, "void", False, True, (0, 0, 0)),
        ("static", 4, 255, "void", False, True, (0, 0, 0)),
        ("dynamic", 5, 255, "void", False, True, (111, 74, 0)),
        ("ground", 6, 255, "void", False, True, (81, 0, 81)),
        ("road", 7, 0, "flat", False, False, (128, 64, 128)),
        ("sidewalk", 8, 1, "flat", False, False, (244, 35, 232)),
        ("parking", 9, 255, "flat", False, True, (250, 170, 160)),
        ("rail track", 10, 255, "flat", False, True, (230, 150, 140)),
        ("building", 11, 2, "construction", False, False, (70, 70, 70)),
        ("wall", 12, 3, "construction", False, False, (102, 102, 156)),
        ("fence", 13, 4, "construction", False, False, (190, 153, 153)),
        ("guard rail", 14, 255, "construction", False, True, (180, 165, 180)),
        ("bridge", 15, 255, "construction", False, True, (150, 100, 100)),
        ("tunnel", 16, 255, "construction", False, True, (150, 120, 90)),
        ("pole", 17, 5, "object", False, False, (153, 153, 153)),
        ("polegroup", 18, 255, "object", False, True, (153, 153, 153)),
        ("traffic light", 19, 6, "object", False, False, (250, 170, 30)),
        ("traffic sign", 20, 7, "object", False, False, (220, 220, 0)),
        ("vegetation", 21, 8, "nature", False, False, (107, 142, 35)),
        ("terrain", 22, 9, "nature", False, False, (152, 251, 152)),
        ("sky", 23, 10, "sky", False, False, (70, 130, 180)),
        ("person", 24, 11, "human", True, False, (220, 20, 60)),
        ("rider", 25, 12, "human", True, False, (255, 0, 0)),
        ("car", 26, 13, "vehicle", True, False, (0, 0, 142)),
        ("truck", 27, 14, "vehicle", True, False, (0, 0, 70)),
        ("bus", 28, 15, "vehicle", True, False, (0, 60, 100)),
        ("caravan", 29, 255, "vehicle", True, True, (0, 0, 90)),
        ("trailer", 30, 255, "vehicle", True, True, (0, 0, 110)),
        ("train", 31, 16, "vehicle", True, False, (0, 80, 100)),
        ("motorcycle", 32, 17, "vehicle", True, False, (0, 0, 230)),
        ("bicycle", 33, 18, "vehicle", True, False, (119, 11, 32)),
        ("license plate", -1, -1, "vehicle", False, True, (0, 0, 142)),
    ]
)

CITYSCAPES = LabelSpace(
    "cityscapes",
    tuple(
        LabelClass(row.name, row.color, row.label_id)
        for row in sorted(CITYSCAPES_CLASSES, key=lambda row: row.train_id)
        if not row.ignored
    ),
)

# CamVid (Brostow et al., 2009), grouped into 11 classes by the SegNet authors, as papers report it.
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

# The 32 annotated classes of CamVid, their colors in label files, and the class of `CAMVID` that the literature merges
# them into, or "ignore".
CAMVID_32: tuple[tuple[str, tuple[int, int, int], str], ...] = (
    ("Animal", (64, 128, 64), "ignore"),
    ("Archway", (192, 0, 128), "Building"),
    ("Bicyclist", (0, 128, 192), "Bicyclist"),
    ("Bridge", (0, 128, 64), "Building"),
    ("Building", (128, 0, 0), "Building"),
    ("Car", (64, 0, 128), "Car"),
    ("CartLuggagePram", (64, 0, 192), "Pedestrian"),
    ("Child", (192, 128, 64), "Pedestrian"),
    ("Column_Pole", (192, 192, 128), "Pole"),
    ("Fence", (64, 64, 128), "Fence"),
    ("LaneMkgsDriv", (128, 0, 192), "Road"),
    ("LaneMkgsNonDriv", (192, 0, 64), "Road"),
    ("Misc_Text", (128, 128, 64), "SignSymbol"),
    ("MotorcycleScooter", (192, 0, 192), "ignore"),
    ("OtherMoving", (128, 64, 64), "ignore"),
    ("ParkingBlock", (64, 192, 128), "Pavement"),
    ("Pedestrian", (64, 64, 0), "Pedestrian"),
    ("Road", (128, 64, 128), "Road"),
    ("RoadShoulder", (128, 128, 192), "Pavement"),
    ("Sidewalk", (0, 0, 192), "Pavement"),
    ("SignSymbol", (192, 128, 128), "SignSymbol"),
    ("Sky", (128, 128, 128), "Sky"),
    ("SUVPickupTruck", (64, 128, 192), "Car"),
    ("TrafficCone", (0, 0, 64), "ignore"),
    ("TrafficLight", (0, 64, 64), "SignSymbol"),
    ("Train", (192, 64, 128), "ignore"),
    ("Tree", (128, 128, 0), "Tree"),
    ("Truck_Bus", (192, 128, 192), "Car"),
    ("Tunnel", (64, 0, 64), "Building"),
    ("VegetationMisc", (192, 192, 0), "Tree"),
    ("Void", (0, 0, 0), "ignore"),
    ("Wall", (64, 192, 0), "Building"),
)

# The CamVid class of every Cityscapes class; motorcycles have none.
CITYSCAPES_TO_CAMVID = {
    "road": "Road",
    "sidewalk": "Pavement",
    "building": "Building",
    "wall": "Building",
    "fence": "Fence",
    "pole": "Pole",
    "traffic light": "SignSymbol",
    "traffic sign": "SignSymbol",
    "vegetation": "Tree",
    "terrain": "Tree",
    "sky": "Sky",
    "person": "Pedestrian",
    "rider": "Bicyclist",
    "car": "Car",
    "truck": "Car",
    "bus": "Car",
    "train": "Car",
    "motorcycle": "ignore",
    "bicycle": "Bicyclist",
}

LABEL_SPACES = {space.name: space for space in (CITYSCAPES, CAMVID)}


def label_space_by_name(name: str) -> LabelSpace:
    """A known label space.

    Raises:
        UnknownName: no row has this name; the nearest are offered.
    """
    if name not in LABEL_SPACES:
        raise UnknownName("label space", name, LABEL_SPACES)
    return LABEL_SPACES[name]
