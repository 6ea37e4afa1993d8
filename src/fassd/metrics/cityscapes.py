"""Cityscapes' official pixel-level scores: IoU of classes and categories, and their instance-weighted iIoU.

Defined by Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016, section 4, and by
what the owners' program does (cityscapesScripts 2.3.0, which the tests run beside this):

- Pixels whose true class is ignored count for nothing, whatever was predicted there.
- Predicting an ignored class on any other pixel is a miss of the true class and a false positive of no class.
- iIoU weighs hits and misses by (average size of the class / size of the instance). Instances come from the instance
  map alone: values above 1000, class * 1000 + number. Crowds, which hold their bare class there, are neither hit nor
  missed. False positives belong to no instance: they are the unweighted ones of the IoU.
- A category has an iIoU if all its classes have instances. There, predicted caravans and trailers count as category
  "vehicle": they can be hits and false positives. In the category's IoU they are neither.
- Instances of an ignored class are skipped; those of a class without instances, and ids of no class, are refused.
- A class without hit, miss and false positive has no score and is omitted from the average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, Integer

from fassd.core.arrays import Confusion, Labels, LookupTable
from fassd.core.labels import CITYSCAPES, CityscapesClass
from fassd.metrics.confusion import mean_of
from fassd.metrics.counts import SAME, EncodedMap, count
from fassd.metrics.official_counts import WRITTEN, InstanceIds, OfficialCounts

LabelIds: TypeAlias = Integer[np.ndarray[Any, Any], "height width"]
"""Label ids of Cityscapes, 0..33, of any integer type: what labelIds files and predictions hold."""

Scores: TypeAlias = Mapping[str, float | None]
"""By name, 0..1; None for what occurs in neither truth nor prediction."""

# Mean pixels of an instance in the owners' training set, part of the definition of iIoU.
AVERAGE_SIZES = {
    "person": 3462.4756337644,
    "rider": 3930.4788056518,
    "car": 12794.0202738185,
    "truck": 27855.1264367816,
    "bus": 35732.1511111111,
    "train": 67583.7075812274,
    "motorcycle": 6298.7200839748,
    "bicycle": 4672.3249222261,
}

CLASSES_OF_LABEL_IDS: LookupTable = CITYSCAPES.label_id_table()
"""The train id of each label id; IGNORE for those that are not scored."""

LABEL_IDS_OF_CLASSES: LookupTable = np.zeros(256, np.uint8)
"""The label id of each train id; 0, "unlabeled", of other values. Prediction files hold these."""
LABEL_IDS_OF_CLASSES[: len(CITYSCAPES)] = [label.label_id for label in CITYSCAPES.classes]

_SCORED = frozenset(row.label_id for row in WRITTEN if not row.ignored)
_IDS = len(WRITTEN)


@dataclass(frozen=True)
class _Group:
    """A class or a category.

    Attributes:
        name: of the class or category.
        members: label ids of the scored classes in it.
        predictions: label ids that hit one of its instances when predicted; ignored classes among them.
        has_instances: whether it has an iIoU.
    """

    name: str
    members: tuple[int, ...]
    predictions: tuple[int, ...]
    has_instances: bool


def _group(name: str, rows: list[CityscapesClass]) -> _Group:
    return _Group(
        name,
        tuple(row.label_id for row in rows if not row.ignored),
        tuple(row.label_id for row in rows),
        all(row.has_instances for row in rows),
    )


# Void has no scored class and so no score.
_CLASSES = [_group(row.name, [row]) for row in WRITTEN if not row.ignored]
_CATEGORIES = [
    _group(category, [row for row in WRITTEN if row.category == category])
    for category in dict.fromkeys(row.category for row in WRITTEN if not row.ignored)
]
_WITH_INSTANCES = [group for group in (*_CLASSES, *_CATEGORIES) if group.has_instances]


@dataclass(frozen=True)
class OfficialScores:
    """The official result.

    Attributes:
        classes: IoU of the 19 scored classes.
        categories: IoU of the 7 categories other than void.
        instance_classes: iIoU of the 8 classes with instances.
        instance_categories: iIoU of human and vehicle.
        averages: of each of these four, by the attribute's name; None where nothing has a score.
    """

    classes: Scores
    categories: Scores
    instance_classes: Scores
    instance_categories: Scores
    averages: Scores


class OfficialEvaluation:
    """Counts images; scores are of all their pixels together.

    Attributes:
        confusion: (34, 34) int64, pixels by (true label id, predicted label id), ignored ones included.
        without_instances: images that had no instance map; if there are any, nothing has an iIoU.
    """

    def __init__(self) -> None:
        self.without_instances = 0
        self.confusion: Confusion = np.zeros((_IDS, _IDS), np.int64)
        # Per row of _WITH_INSTANCES: weighted hits, weighted misses. Added in the owners' order, one instance after
        # the other, so that the sums equal theirs bit by bit.
        self._weighted = np.zeros((len(_WITH_INSTANCES), 2))

    def add(self, prediction: LabelIds, labels: LabelIds, instances: InstanceIds | None) -> None:
        """Counts one image; nothing is counted if it is refused.

        Args:
            prediction: (H, W), label ids 0..33.
            labels: (H, W), label ids 0..33.
            instances: (H, W), 0..33999; None where there is no instance map.

        Raises:
            ValueError: the shapes differ, an id is of no class, or an instance's class has no instances.
        """
        predicted, true = (
            EncodedMap(_bytes(what, ids), CLASSES_OF_LABEL_IDS, SAME)
            for what, ids in (("prediction", prediction), ("label map", labels))
        )
        _, official = count(true, predicted, len(CITYSCAPES), None, instances)
        assert official is not None
        self.add_counts(official)

    def add_counts(self, counts: OfficialCounts) -> None:
        """Adds an image that was counted elsewhere. The last digit of an iIoU depends on the order of images."""
        self.confusion += counts.confusion
        if counts.instances is None:
            self.without_instances += 1
        for label_id, predicted in counts.instances or ():
            self._weigh(label_id, predicted)

    def result(self) -> OfficialScores:
        """The scores of everything counted so far."""
        scores = {
            "classes": {group.name: self._iou(group) for group in _CLASSES},
            "categories": {group.name: self._iou(group) for group in _CATEGORIES},
            "instance_classes": {group.name: self._instance_iou(group) for group in _CLASSES if group.has_instances},
            "instance_categories": {
                group.name: self._instance_iou(group) for group in _CATEGORIES if group.has_instances
            },
        }
        return OfficialScores(
            **scores, averages={name: mean_of(list(found.values())) for name, found in scores.items()}
        )

    def _weigh(self, label_id: int, predicted: Int64[np.ndarray[Any, Any], 34]) -> None:
        """Adds one instance, whose pixels are counted by predicted label id."""
        size = int(predicted.sum())
        weight = AVERAGE_SIZES[WRITTEN[label_id].name] / size
        for row, group in enumerate(_WITH_INSTANCES):
            if label_id in group.members:
                hits = int(predicted[list(group.predictions)].sum())
                self._weighted[row] += hits * weight, (size - hits) * weight

    def _iou(self, group: _Group) -> float | None:
        true = self.confusion[list(group.members)]
        hits = int(true[:, list(group.members)].sum())
        return _ratio(hits, int(true.sum()) - hits, self._false_positives(group, group.members))

    def _instance_iou(self, group: _Group) -> float | None:
        if self.without_instances:
            return None
        hits, misses = self._weighted[_WITH_INSTANCES.index(group)].tolist()
        return _ratio(hits, misses, self._false_positives(group, group.predictions))

    def _false_positives(self, group: _Group, predicted: tuple[int, ...]) -> int:
        others = sorted(_SCORED.difference(group.members))
        return int(self.confusion[np.ix_(others, predicted)].sum())


def _bytes(what: str, ids: LabelIds) -> Labels:
    if ids.dtype.kind not in "ui":
        raise ValueError(f"the {what}'s type is {ids.dtype}; ids are whole numbers")
    lowest, highest = int(ids.min(initial=0)), int(ids.max(initial=0))
    if lowest < 0 or highest > np.iinfo(np.uint8).max:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"the {what} holds the id {wrong}, but label ids of Cityscapes run from 0 to {_IDS - 1}")
    return ids.astype(np.uint8, copy=False)


def _ratio(hits: float, misses: float, false_positives: int) -> float | None:
    total = hits + false_positives + misses
    return hits / total if total else None
