"""What the official scores of Cityscapes need of one image, counted apart, so that processes can share the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Int64, Integer, UInt16

from fassd.core.arrays import Confusion, Labels
from fassd.core.labels import CITYSCAPES_RAW

RawIds: TypeAlias = Integer[np.ndarray[Any, Any], "height width"]
"""Raw ids of Cityscapes, 0..33, of any integer type: what labelIds files and predictions hold."""

InstanceIds: TypeAlias = Integer[np.ndarray[Any, Any], "height width"]
"""What instanceIds files hold: class * 1000 + number where single objects are told apart, else the raw id."""

WRITTEN = sorted((row for row in CITYSCAPES_RAW if row.raw_id >= 0), key=lambda row: row.raw_id)
"""Raw id i is row i."""

_Lengths: TypeAlias = Int64[np.ndarray[Any, Any], " runs"]
_PairCounts: TypeAlias = Int64[np.ndarray[Any, Any], "rows 64"]

_SCORED = frozenset(row.raw_id for row in WRITTEN if not row.ignored)
_IDS = len(WRITTEN)
_FIRST_INSTANCE, _INSTANCES = 1000, _IDS * 1000
_STRIDE = 64  # Pairs of ids are counted as first * 64 + second: a power of two above every id.


@dataclass(frozen=True)
class OfficialCounts:
    """One image, counted.

    Attributes:
        confusion: (34, 34) int64, pixels by (true raw id, predicted raw id), ignored ones included.
        instances: the scored instances in ascending order of their ids: raw id of the class, and (64,) int64, pixels
            by predicted raw id. None: the image has no instance map.
    """

    confusion: Confusion
    instances: tuple[tuple[int, Int64[np.ndarray[Any, Any], " 64"]], ...] | None


def count_official(prediction: RawIds, labels: RawIds, instances: InstanceIds | None) -> OfficialCounts:
    """Counts one image.

    Args:
        prediction: (H, W), raw ids 0..33.
        labels: (H, W), raw ids 0..33.
        instances: (H, W), 0..33999; None where there is no instance map.

    Raises:
        ValueError: the shapes differ, an id is of no class, or an instance's class has no instances.
    """
    shown = {"prediction": prediction, "labels": labels}
    _check_maps(shown if instances is None else {**shown, "instances": instances})
    answers, truth = _checked("prediction", prediction), _checked("label map", labels)
    runs = _runs_of(answers, truth, truth if instances is None else instances)
    found = None if instances is None else _count_instances(runs)
    return OfficialCounts(_tally(runs.pairs, runs.lengths, _IDS)[:, :_IDS], found)


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


def _check_maps(maps: Mapping[str, RawIds]) -> None:
    shapes, kinds = [ids.shape for ids in maps.values()], [ids.dtype for ids in maps.values()]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        sizes = ", ".join(f"{name} {shape}" for name, shape in zip(maps, shapes, strict=True))
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


def _count_instances(runs: _Runs) -> tuple[tuple[int, Int64[np.ndarray[Any, Any], " 64"]], ...]:
    """The scored instances in ascending order: the class of each, and its pixels by predicted raw id."""
    inside = np.flatnonzero(runs.instances > _FIRST_INSTANCE)
    ids, predicted = runs.instances[inside], runs.pairs[inside] % _STRIDE
    if ids.size and int(ids.max()) >= _INSTANCES:
        raise ValueError(f"the instance map holds the id {ids.max()}, whose class {ids.max() // 1000} does not exist")
    ids = ids.astype(np.intp)
    present = np.flatnonzero(np.bincount(ids)).tolist()
    for instance in present:
        row = WRITTEN[instance // 1000]
        if not row.ignored and not row.has_instances:
            raise ValueError(f"the instance map holds the id {instance}, but class '{row.name}' has no instances")
    scored = [instance for instance in present if instance // 1000 in _SCORED]
    # Ids are renumbered without gaps, instances of ignored classes behind the last row, to be dropped with it.
    position = np.full(_INSTANCES, len(scored))
    position[scored] = np.arange(len(scored))
    lengths = None if runs.lengths is None else runs.lengths[inside]
    counted = _tally(position[ids] * _STRIDE + predicted, lengths, len(scored) + 1)[:-1]
    return tuple((instance // 1000, pixels) for instance, pixels in zip(scored, counted, strict=True))
