"""Predictions as files: how they are called, found and checked.

For data in Cityscapes' layout they are what the owners' program and the test server take: raw ids, in a PNG whose name
begins with city_sequence_frame. For other data they are class indices in STEM.png.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from fassd.core.arrays import IGNORE, Codes
from fassd.core.errors import DataError, FileError
from fassd.core.labels import CITYSCAPES
from fassd.data.dataset import Dataset, Pair
from fassd.metrics.cityscapes import CLASSES_OF_RAW_IDS
from fassd.metrics.counts import SAME, Coded
from fassd.tasks.scoring import HIGHEST_RAW_ID, answer_of, has_official_scores

Ids: TypeAlias = Literal["raw", "train"]
"""What prediction files for Cityscapes hold: raw ids, 0..33, or train ids, 0..18 and 255."""

_OWN_ENDINGS = (".png", "_classmap.png")  # the second is what `fassd predict` writes
_SHOWN = 3


def find_predictions(folder: Path, dataset: Dataset) -> list[Path]:
    """The prediction of each image, in the data set's order, from the folder and those below it.

    Raises:
        FileError: no such folder.
        DataError: an image has no prediction, or two.
    """
    if not folder.is_dir():
        raise FileError(folder, "there is no such folder; --predictions takes the folder with the predicted PNGs")
    walked = [(name, Path(root) / name) for root, _, names in os.walk(folder) for name in names]
    files = sorted((name, path) for name, path in walked if name.endswith(".png"))
    official = has_official_scores(dataset)
    candidates = [_candidates(files, stem_of(pair), official) for pair in dataset.pairs]
    missing = [stem_of(pair) for pair, found in zip(dataset.pairs, candidates, strict=True) if not found]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise DataError(
            folder,
            f"has no prediction for {len(missing)} of {len(dataset)} images: {', '.join(missing[:_SHOWN])}{more}; "
            f"expected are files named {missing[0]}{'*' if official else ''}.png",
        )
    for pair, found in zip(dataset.pairs, candidates, strict=True):
        if len(found) > 1:
            shown = " and ".join(str(path.relative_to(folder)) for path in found[:2])
            raise DataError(folder, f"has {len(found)} predictions for {stem_of(pair)}: {shown}; leave one of them")
    return [found[0] for found in candidates]


def checked_prediction(
    path: Path, values: Codes, dataset: Dataset, mask: Path, shape: tuple[int, ...], ids: Ids
) -> Coded:
    """Somebody's answer to an image.

    Args:
        path: its file.
        values: what the file holds.
        dataset: what is predicted.
        mask: the label file of the image, for the message.
        shape: height and width of the labels.
        ids: what the file holds, for data in Cityscapes' layout.

    Raises:
        DataError: another size than the labels', or values that are no classes.
    """
    if values.shape != shape:
        raise DataError(
            path,
            f"is {values.shape[1]}x{values.shape[0]} but the labels {mask.name} are {shape[1]}x{shape[0]}; a "
            "prediction has the full size of its labels",
        )
    return _answer(path, values, dataset, ids)


def expected_values(dataset: Dataset, ids: Ids) -> str:
    """What a prediction holds, in words."""
    classes = len(dataset.label_space)
    if not has_official_scores(dataset):
        return f"class indices, 0-{classes - 1}"
    return f"raw ids of Cityscapes, 0-{HIGHEST_RAW_ID}" if ids == "raw" else f"train ids, 0-{classes - 1} and {IGNORE}"


def refuse_train_ids(folder: Path, predicted: Sequence[int]) -> None:
    """Raises if all predictions of a folder together look like train ids where raw ids were expected.

    Args:
        folder: for the message.
        predicted: pixels by predicted raw id, 0..33.

    Raises:
        DataError: nothing above 18 was predicted, but ids that are no scored class as raw ids.
    """
    classes = len(CITYSCAPES)
    lowest = min(label.raw_id for label in CITYSCAPES.classes)
    if any(predicted[:lowest]) and not any(predicted[classes:]):
        raise DataError(
            folder,
            f"the predictions hold no value above {classes - 1}, but some below {lowest}, which are void as raw ids: "
            "they look like train ids, which the official program and the test server would score as wrong; add "
            "--ids train if they are train ids indeed (not indices into other classes), or --ids raw if they are raw "
            "ids after all",
        )


def stem_of(pair: Pair) -> str:
    """How the files of an image's predictions begin."""
    return pair.name.rpartition("/")[2]


def _candidates(files: Sequence[tuple[str, Path]], stem: str, official: bool) -> list[Path]:
    if not official:
        names = {stem + ending for ending in _OWN_ENDINGS}
    found = []
    for name, path in files[bisect_left(files, (stem, Path())) :]:
        if not name.startswith(stem):
            break
        if official or name in names:
            found.append(path)
    return found


def _answer(path: Path, values: Codes, dataset: Dataset, ids: Ids) -> Coded:
    classes = len(dataset.label_space)
    if not has_official_scores(dataset):
        _refuse_above(path, values, classes - 1, f"the {classes} classes are 0-{classes - 1}")
    elif ids == "raw":
        _refuse_above(path, values, HIGHEST_RAW_ID, "raw ids of Cityscapes are 0-33; for train ids, add --ids train")
        return Coded(values.astype(np.uint8, copy=False), CLASSES_OF_RAW_IDS, SAME)
    else:
        _refuse_above(path, values[values != IGNORE], classes - 1, f"train ids are 0-{classes - 1} and {IGNORE}")
    return answer_of(values.astype(np.uint8, copy=False), dataset)


def _refuse_above(path: Path, values: np.ndarray[Any, Any], highest: int, expected: str) -> None:
    if values.size and int(values.max()) > highest:
        foreign = np.unique(values[values > highest])
        shown = ", ".join(map(str, foreign[:_SHOWN].tolist())) + (" ..." if len(foreign) > _SHOWN else "")
        raise DataError(path, f"holds the value {shown}; {expected}")
