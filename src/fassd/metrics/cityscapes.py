"""Cityscapes' official pixel-level scores: IoU of classes and categories, and their instance-weighted iIoU.

Defined by Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016, section 4, and by
what the owners' program does (cityscapesScripts 2.3.0, which the tests run beside this):

- Pixels whose true class is ignored count for nothing, whatever was predicted there.
- Predicting an ignored class on any other pixel is a miss of the true class and a false alarm of no class.
- iIoU weighs hits and misses by (average size of the class / size of the instance). Instances come from the instance
  map alone: values above 1000, class * 1000 + number. Crowds, which hold their bare class there, are neither hit nor
  missed. False alarms belong to no instance: they are the unweighted ones of the IoU.
- A category has an iIoU if all its classes have instances. There, caravan and trailer are answers of the category
  "vehicle" like others, so they may hit and raise false alarms; in the category's IoU they do neither.
- Instances of an ignored class are skipped; those of a class without instances, and ids of no class, are refused.
- A class without hit, miss and false alarm has no score and is left out of the average.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, Integer, UInt16

from fassd.core.arrays import IGNORE, ClassMap, Confusion, Labels
from fassd.core.labels import CITYSCAPES, CITYSCAPES_RAW, RawClass

RawIds: TypeAlias = Integer[np.ndarray[Any, Any], "height width"]
"""Raw ids of Cityscapes, 0..33, of any integer type: what labelIds files and predictions hold."""

InstanceIds: TypeAlias = Integer[np.ndarray[Any, Any], "height width"]
"""What instanceIds files hold: class * 1000 + number where single objects are told apart, else the raw id."""

Scores: TypeAlias = Mapping[str, float | None]
"""By name, 0..1; None for what occurs in neither truth nor prediction."""

_Lengths: TypeAlias = Int64[np.ndarray[Any, Any], " runs"]
_PairCounts: TypeAlias = Int64[np.ndarray[Any, Any], "rows 64"]

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

_WRITTEN = sorted((row for row in CITYSCAPES_RAW if row.raw_id >= 0), key=lambda row: row.raw_id)
"""Raw id i is row i."""

_SCORED = frozenset(row.raw_id for row in _WRITTEN if not row.ignored)
_IDS = len(_WRITTEN)
_FIRST_INSTANCE, _INSTANCES = 1000, _IDS * 1000
_STRIDE = 64  # Pairs of ids are counted as first * 64 + second: a power of two above every id.


@dataclass(frozen=True)
class _Group:
    """A class or a category.

    Attributes:
        name: of the class or category.
        members: raw ids of the scored classes in it.
        answers: predictions that hit one of its instances; ignored classes among them.
        has_instances: whether it has an iIoU.
    """

    name: str
    members: tuple[int, ...]
    answers: tuple[int, ...]
    has_instances: bool


def _group(name: str, rows: list[RawClass]) -> _Group:
    return _Group(
        name,
        tuple(row.raw_id for row in rows if not row.ignored),
        tuple(row.raw_id for row in rows),
        all(row.has_instances for row in rows),
    )


# Void has no scored class and so no score.
_CLASSES = [_group(row.name, [row]) for row in _WRITTEN if not row.ignored]
_CATEGORIES = [
    _group(category, [row for row in _WRITTEN if row.category == category])
    for category in dict.fromkeys(row.category for row in _WRITTEN if not row.ignored)
]
_WITH_INSTANCES = [group for group in (*_CLASSES, *_CATEGORIES) if group.has_instances]


@dataclass(frozen=True)
class _Runs:
    """One image in reading order, pixels joined as long as nothing changes.

    Attributes:
        pairs: (runs,) uint16, true raw id * 64 + predicted raw id.
        instances: (runs,) as in the instance map.
        lengths: pixels of each run; None: each is one pixel.
    """

    pairs: UInt16[np.ndarray[Any, Any], " runs"]
    instances: Integer[np.ndarray[Any, Any], " runs"]
    lengths: _Lengths | None


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
    """Counts image after image; scores are of all pixels together.

    Attributes:
        confusion: (34, 34) int64, pixels by (true raw id, predicted raw id), ignored ones included.
    """

    def __init__(self) -> None:
        self.confusion: Confusion = np.zeros((_IDS, _IDS), np.int64)
        # Per row of _WITH_INSTANCES: weighted hits, weighted misses. Added in the owners' order, one instance after
        # the other, so that even the last digit is theirs.
        self._weighted = np.zeros((len(_WITH_INSTANCES), 2))

    def add(self, prediction: RawIds, labels: RawIds, instances: InstanceIds) -> None:
        """Counts one image; nothing is counted if it is refused.

        Args:
            prediction: (H, W), raw ids 0..33.
            labels: (H, W), raw ids 0..33.
            instances: (H, W), 0..33999.

        Raises:
            ValueError: the shapes differ, an id is of no class, or an instance's class has no instances.
        """
        _check_maps(prediction, labels, instances)
        runs = _runs_of(_checked("prediction", prediction), _checked("label map", labels), instances)
        found, pairs = _count_instances(runs)
        self.confusion += _tally(runs.pairs, runs.lengths, _IDS)[:, :_IDS]
        for instance, predicted in zip(found, pairs, strict=True):
            self._weigh(instance // 1000, predicted)

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
        return OfficialScores(**scores, averages={name: _average(found) for name, found in scores.items()})

    def _weigh(self, raw_id: int, predicted: Int64[np.ndarray[Any, Any], 64]) -> None:
        """Adds one instance, whose pixels are counted by predicted raw id."""
        size = int(predicted.sum())
        weight = AVERAGE_SIZES[_WRITTEN[raw_id].name] / size
        for row, group in enumerate(_WITH_INSTANCES):
            if raw_id in group.members:
                hits = int(predicted[list(group.answers)].sum())
                self._weighted[row] += hits * weight, (size - hits) * weight

    def _iou(self, group: _Group) -> float | None:
        true = self.confusion[list(group.members)]
        hits = int(true[:, list(group.members)].sum())
        return _ratio(hits, int(true.sum()) - hits, self._false_alarms(group, group.members))

    def _instance_iou(self, group: _Group) -> float | None:
        hits, misses = self._weighted[_WITH_INSTANCES.index(group)].tolist()
        return _ratio(hits, misses, self._false_alarms(group, group.answers))

    def _false_alarms(self, group: _Group, answers: tuple[int, ...]) -> int:
        others = sorted(_SCORED.difference(group.members))
        return int(self.confusion[np.ix_(others, answers)].sum())


def raw_ids_of(class_map: ClassMap) -> Labels:
    """The raw ids of Cityscapes for a map of its 19 train ids: what prediction files hold.

    Args:
        class_map: (H, W) uint8, 0..18; IGNORE becomes 0, "unlabeled".

    Returns:
        (H, W) uint8, raw ids.

    Raises:
        ValueError: another value.
    """
    classes = len(CITYSCAPES)
    if bool(((class_map >= classes) & (class_map != IGNORE)).any()):
        raise ValueError(f"the class map holds values above {classes - 1}; those are no train ids of Cityscapes")
    table = np.zeros(256, np.uint8)
    table[:classes] = [label.raw_id for label in CITYSCAPES.classes]
    raw: Labels = table[class_map]
    return raw


def _check_maps(*maps: RawIds) -> None:
    shapes, kinds = [ids.shape for ids in maps], [ids.dtype for ids in maps]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        sizes = "prediction {}, labels {}, instances {}".format(*shapes)
        raise ValueError(f"the maps' shapes are {sizes}; one height and width were expected")
    if any(kind.kind not in "ui" for kind in kinds):
        raise ValueError(f"the maps' types are {', '.join(map(str, kinds))}; ids are whole numbers")


def _checked(what: str, ids: RawIds) -> Labels:
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < 0 or highest >= _IDS:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"the {what} holds the id {wrong}, but raw ids of Cityscapes run from 0 to {_IDS - 1}")
    return ids.astype(np.uint8, copy=False)


def _runs_of(answers: Labels, labels: Labels, instances: InstanceIds) -> _Runs:
    pairs = labels.astype(np.uint16)
    pairs *= _STRIDE
    pairs += answers
    pairs, ids = pairs.ravel(), instances.ravel()
    begins = np.ones(pairs.size, np.bool_)
    np.not_equal(pairs[1:], pairs[:-1], out=begins[1:])
    begins[1:] |= ids[1:] != ids[:-1]
    # Real maps have one run in 20 pixels, which makes runs twice as fast as pixels; on noise, runs would be slower.
    if np.count_nonzero(begins) > begins.size // 4:
        return _Runs(pairs, ids, None)
    starts = np.flatnonzero(begins)
    return _Runs(pairs[starts], ids[starts], np.diff(starts, append=begins.size))


def _tally(pairs: Any, lengths: _Lengths | None, rows: int) -> _PairCounts:
    """Pixels by (first, second) of pairs."""
    if lengths is None:
        counted = np.bincount(pairs, minlength=rows * _STRIDE).astype(np.int64, copy=False)
    else:
        # Not bincount's weights: they would be added as floating point.
        counted = np.zeros(rows * _STRIDE, np.int64)
        np.add.at(counted, pairs, lengths)
    return counted.reshape(rows, _STRIDE)


def _count_instances(runs: _Runs) -> tuple[list[int], _PairCounts]:
    """The scored instances in ascending order and, for each, its pixels by predicted raw id."""
    inside = np.flatnonzero(runs.instances > _FIRST_INSTANCE)
    ids, predicted = runs.instances[inside], runs.pairs[inside] % _STRIDE
    if ids.size and int(ids.max()) >= _INSTANCES:
        raise ValueError(f"the instance map holds the id {ids.max()}, whose class {ids.max() // 1000} does not exist")
    ids = ids.astype(np.intp)
    present = np.flatnonzero(np.bincount(ids)).tolist()
    for instance in present:
        row = _WRITTEN[instance // 1000]
        if not row.ignored and not row.has_instances:
            raise ValueError(f"the instance map holds the id {instance}, but class '{row.name}' has no instances")
    scored = [instance for instance in present if instance // 1000 in _SCORED]
    # Ids are renumbered without gaps, instances of ignored classes behind the last row, to be dropped with it.
    position = np.full(_INSTANCES, len(scored))
    position[scored] = np.arange(len(scored))
    lengths = None if runs.lengths is None else runs.lengths[inside]
    return scored, _tally(position[ids] * _STRIDE + predicted, lengths, len(scored) + 1)[:-1]


def _ratio(hits: float, misses: float, false_alarms: int) -> float | None:
    total = hits + false_alarms + misses
    return hits / total if total else None


def _average(scores: Scores) -> float | None:
    counted = [score for score in scores.values() if score is not None]
    return sum(counted) / len(counted) if counted else None
