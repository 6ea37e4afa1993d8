"""What Cityscapes' official scores need of one image, counted separately so that threads can share the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, Integer, UInt16

from fassd.core.arrays import Confusion, LookupTable
from fassd.core.labels import CITYSCAPES_CLASSES

InstanceIds: TypeAlias = Integer[np.ndarray[Any, Any], "height width"]
"""What instanceIds files hold: class * 1000 + number for single objects, else the label id."""

WRITTEN = sorted((row for row in CITYSCAPES_CLASSES if row.label_id >= 0), key=lambda row: row.label_id)
"""The classes that occur in label files; row i has label id i."""

FIRST_INSTANCE = 1000
"""Ids of instances are above it."""

_IDS = len(WRITTEN)

_ByPrediction: TypeAlias = Int64[np.ndarray[Any, Any], " predicted"]


@dataclass(frozen=True)
class OfficialCounts:
    """Counts of one image.

    Attributes:
        confusion: (34, 34) int64, pixels by (true label id, predicted label id), ignored ones included.
        instances: the scored instances in ascending order of their ids: label id of the class, and (34,) int64, pixels
            by predicted label id. None: the image has no instance map.
    """

    confusion: Confusion
    instances: tuple[tuple[int, Int64[np.ndarray[Any, Any], " 34"]], ...] | None


def check_instances(instances: InstanceIds) -> UInt16[np.ndarray[Any, Any], "height width"]:
    """An instance map as 16-bit values, as files hold it.

    Raises:
        ValueError: no whole numbers, or an id whose class does not exist.
    """
    if instances.dtype.kind not in "ui":
        raise ValueError(f"the instance map's type is {instances.dtype}; ids are whole numbers")
    lowest, highest = int(instances.min()), int(instances.max())
    if lowest < 0 or highest >= _IDS * FIRST_INSTANCE:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"the instance map holds the id {wrong}, whose class {wrong // FIRST_INSTANCE} does not exist")
    return np.require(instances, np.uint16, ["C", "W"])


def official_counts(
    pixels: Confusion, instances: Mapping[int, _ByPrediction] | None, truth: LookupTable, prediction: LookupTable
) -> OfficialCounts:
    """Turns counts by stored value into counts by label id.

    Args:
        pixels: by (true value, predicted value).
        instances: pixels by predicted value, of each instance; None where there is no instance map.
        truth, prediction: the label ids of values.

    Raises:
        ValueError: a value that occurs is of no class, or an instance's class has no instances.
    """
    for what, table, occurring in (("prediction", prediction, pixels.any(0)), ("label map", truth, pixels.any(1))):
        highest = int(table[np.flatnonzero(occurring)].max())
        if highest >= _IDS:
            raise ValueError(f"the {what} holds the id {highest}, but label ids of Cityscapes run from 0 to {_IDS - 1}")
    true, predicted = np.nonzero(pixels)
    confusion = np.zeros((_IDS, _IDS), np.int64)
    np.add.at(confusion, (truth[true], prediction[predicted]), pixels[true, predicted])
    if instances is None:
        return OfficialCounts(confusion, None)
    scored = []
    for instance, counts in sorted(instances.items()):
        row = WRITTEN[instance // FIRST_INSTANCE]
        if row.ignored:
            continue
        if not row.has_instances:
            raise ValueError(f"the instance map holds the id {instance}, but class '{row.name}' has no instances")
        by_id = np.zeros(_IDS, np.int64)
        predicted = np.flatnonzero(counts)
        np.add.at(by_id, prediction[predicted], counts[predicted])
        scored.append((row.label_id, by_id))
    return OfficialCounts(confusion, tuple(scored))
