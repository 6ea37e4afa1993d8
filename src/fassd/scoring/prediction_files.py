"""Predictions as files: saved by an evaluation, or scored from a folder without a network.

For data in Cityscapes' layout, files are what the official program and the test server take: label ids, in a PNG whose
name begins with city_sequence_frame. For other data they are class indices in STEM.png. `predictions.json` beside them
records their classes and what they were made from.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import PIL.Image

from fassd.core.arrays import IGNORE, MaskValues
from fassd.core.catalog import locate_weights
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.labels import CITYSCAPES, LabelSpace
from fassd.core.parallel import parallel_map
from fassd.core.renamed import HEADER_KEYS, with_new_keys
from fassd.core.types import Event, Sample, Watch, ignore_events
from fassd.data.dataset import Dataset, Pair
from fassd.data.mask_encoding import read_values_quickly
from fassd.data.open_dataset import open_dataset
from fassd.media.masks import read_values
from fassd.metrics.cityscapes import CLASSES_OF_LABEL_IDS
from fassd.metrics.counts import SAME, EncodedMap
from fassd.runtimes.runtime import Runtime
from fassd.scoring.count import (
    HIGHEST_LABEL_ID,
    ImageCounts,
    MetricAccumulator,
    Origin,
    Report,
    count_image,
    encode_prediction,
    has_official_scores,
    read_truth,
)
from fassd.scoring.tta import TestTimeAugmentation

Ids: TypeAlias = Literal["label", "train"]
"""What prediction files for Cityscapes hold: label ids, 0..33, or train ids, 0..18 and 255."""

RECORD = "predictions.json"

_LARGEST_RECORD = 1 << 26
_OWN_ENDINGS = (".png", "_classmap.png")  # the second is what `fassd predict` writes
_LISTED = 3

Stamps: TypeAlias = dict[str, tuple[int, int]]
"""Size in bytes and time of the last change in nanoseconds of each image, by its name in the data set."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `predictions.json`.

    Attributes:
        data, split: what was predicted.
        label_space: the classes of the predictions.
        values: what the files hold: label ids of Cityscapes, or indices into the classes.
        made_by: everything else that decides the predictions.
        images: the state of the image files when they were predicted.
    """

    data: str
    split: str
    label_space: LabelSpace
    values: Literal["label ids", "class indices"]
    made_by: dict[str, Any]
    images: Stamps


def read_record(folder: Path) -> Record | None:
    """The record of a folder of predictions, from the folder or, as predictions may lie there too, from those below it.

    None where there is none, or where another program's file has the name.

    Raises:
        DataError: a record is damaged, or two name different classes.
    """
    found = [(path, record) for path in sorted(folder.rglob(RECORD)) if (record := _read_record(path)) is not None]
    for path, record in found[1:]:
        first = found[0][1]
        if (record.label_space.names, record.values) != (first.label_space.names, first.values):
            raise DataError(path, f"names other classes or values than {found[0][0]}; name one of the two folders")
    return found[0][1] if found else None


def _read_record(path: Path) -> Record | None:
    try:
        if path.stat().st_size > _LARGEST_RECORD:
            return None
        values = msgspec.json.decode(path.read_bytes())
        if not isinstance(values, dict) or "label_space" not in values:
            return None
        values["label_space"] = with_new_keys(values["label_space"], HEADER_KEYS)
        if values.get("values") == "raw ids":  # the name in earlier versions
            values["values"] = "label ids"
        return msgspec.convert(values, Record)
    except OSError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        problem = f"is damaged ({error}), so the classes of the predictions are unknown"
        raise DataError(path, f"{problem}; restore it, or remove it if they are the data set's own") from None


def prediction_facts(weights: str, runtime: Runtime, tta: TestTimeAugmentation) -> dict[str, Any]:
    """Everything beside the images that decides a network's predictions, for `SavedPredictions`."""
    path = locate_weights(weights)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
    return {
        "weights": f"{Path(weights).name} {digest}",
        "runtime": runtime.name,
        "precision": runtime.precision,
        "scales": list(tta.scales),
        "flip": tta.flip,
    }


class SavedPredictions:
    """A folder in which an evaluation saves its predictions, and from which an interrupted one resumes.

    Predictions for images that have changed since are removed, to be made again.

    Args:
        folder: new, empty, or started by an evaluation with the same facts.
        dataset: whose images are predicted.
        facts: everything that decides the predictions; recorded beside them.

    Raises:
        FileError: the folder holds other files, or cannot be written.
    """

    def __init__(self, folder: Path, dataset: Dataset, facts: Mapping[str, Any]) -> None:
        self.folder, self._dataset = folder, dataset
        stats = {pair.name: pair.image.stat() for pair in dataset.pairs}
        wanted = Record(
            data=dataset.spec,
            split=dataset.split,
            label_space=dataset.label_space,
            values="label ids" if has_official_scores(dataset) else "class indices",
            made_by=dict(facts),
            images={name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()},
        )
        try:
            empty = not any(folder.iterdir())
        except FileNotFoundError:
            empty = True
        except OSError as error:
            raise FileError(folder, f"cannot be used for predictions ({error.strerror}); name another folder") from None
        if not empty:
            self._resume(wanted)
        with written_whole(folder / RECORD) as temporary:
            lines = [f'"{key}": {json.dumps(value)}' for key, value in msgspec.to_builtins(wanted).items()]
            temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def read(self, index: int, shape: tuple[int, ...]) -> EncodedMap | None:
        """The saved prediction for an image of this height and width; None if there is none that can be used."""
        path, mask = self._path(index), self._dataset.pairs[index].mask
        try:
            return checked_prediction(path, read_values(path), self._dataset, mask, shape, "label")
        except FileError:
            return None

    def write(self, index: int, prediction: EncodedMap) -> None:
        """Saves a prediction; an interruption leaves no partial file."""
        with written_whole(self._path(index)) as temporary:
            label_ids = prediction.label_id_map
            PIL.Image.fromarray(prediction.class_map if label_ids is None else label_ids).save(temporary, "PNG")

    def _resume(self, wanted: Record) -> None:
        """Checks that the folder's predictions were made from the same; removes those of changed images."""
        found = _read_record(self.folder / RECORD)
        if found is None:
            problem = "holds files that are not from an earlier run of this command"
            raise FileError(self.folder, f"{problem}; name a new or empty folder for the predictions")
        before, now = (
            {
                "data": record.data,
                "split": record.split,
                "classes": f"of {record.label_space.name} ({len(record.label_space)})",
                **record.made_by,
            }
            for record in (found, wanted)
        )
        changed = [f"{key} {before.get(key)} instead of {now[key]}" for key in now if before.get(key) != now[key]]
        if changed:
            problem = f"holds the predictions of another run ({', '.join(changed)})"
            raise FileError(self.folder, f"{problem}; name another folder")
        for index, pair in enumerate(self._dataset.pairs):
            if found.images.get(pair.name) != wanted.images[pair.name]:
                self._path(index).unlink(missing_ok=True)

    def _path(self, index: int) -> Path:
        ending = "_pred.png" if has_official_scores(self._dataset) else ".png"
        return self.folder / f"{stem_of(self._dataset.pairs[index])}{ending}"


def open_predicted(folder: Path, spec: str, split: str) -> Dataset:
    """Opens the data that were predicted, in the classes of the predictions.

    Where no record names classes, they are the data set's own.

    Raises:
        UsageError, DataError, FileError: as `open_dataset`, or the record is damaged.
        DataError: no table leads from the data's classes into those of the predictions.
    """
    dataset, record = open_dataset(spec, split), read_record(folder)
    if record is None or record.label_space.names == dataset.label_space.names:
        return dataset
    try:
        return open_dataset(spec, split, record.label_space)
    except UsageError as error:
        raise DataError(folder / RECORD, f"names predictions in '{record.label_space.name}', but {error}") from None


def score_predictions(
    folder: Path,
    dataset: Dataset,
    ids: Ids | None = None,
    workers: int = 1,
    watch: Watch = ignore_events,
    borders: bool = True,
) -> tuple[Report, FilePredictions]:
    """Scores the predictions in a folder, whoever made them.

    Counts are integers, and the weighted sums of the official scores are added in the data set's order, so the result
    does not depend on the number of threads. Threads scale well: nearly all of the work releases Python's lock.

    Args:
        folder: PNGs as `SavedPredictions` writes them, or another program's; see `find_predictions`.
        dataset: what is predicted, in the classes of the predictions; see `open_predicted`.
        ids: what the files hold, for data in Cityscapes' layout; None: what the record beside them says, or else
            label ids; suspected train ids are then refused.
        workers: threads.
        watch: gets "image" for each image.
        borders: whether to score near borders as well.

    Returns:
        The report, and the predictions that it is about.

    Raises:
        DataError, ImageError: a prediction is missing, there are two, or one is not what was expected.
        UsageError, DataError: as `ids_in`.
    """
    ids = ids_in(folder, dataset, ids)
    files = tuple(find_predictions(folder, dataset))
    predictions = FilePredictions(dataset, files, ids or "label", borders)
    accumulator = MetricAccumulator(dataset, borders)
    with closing(parallel_map(predictions.count, range(len(dataset)), workers)) as counts:
        for index, counted in enumerate(counts):
            accumulator.add(index, counted)
            place = {"done": index + 1, "total": len(dataset), "name": dataset.pairs[index].name}
            watch(Event("image", {**place, "data": dataset.spec, "split": dataset.split}))
    if ids is None and accumulator.official is not None:
        refuse_train_ids(folder, accumulator.official.confusion.sum(0).tolist())
    return accumulator.report(Origin(predictions=str(folder))), predictions


@dataclass(frozen=True)
class FilePredictions:
    """Predictions in files.

    Attributes:
        dataset: what is predicted.
        files: one for each image.
        ids: what they hold, for data in Cityscapes' layout.
        borders: whether to count near borders as well.
    """

    dataset: Dataset
    files: tuple[Path, ...]
    ids: Ids = "label"
    borders: bool = True

    def __call__(self, index: int, sample: Sample) -> EncodedMap:
        """The prediction for one image; raises as `checked_prediction`, or ImageError for a damaged file."""
        return self._read(index, sample.labels.shape)

    def count(self, index: int) -> ImageCounts:
        """Counts one image without reading the image itself."""
        truth = read_truth(self.dataset, index)
        return count_image(self.dataset, index, truth, self._read(index, truth.labels.values.shape), self.borders)

    def _read(self, index: int, shape: tuple[int, ...]) -> EncodedMap:
        path, mask = self.files[index], self.dataset.pairs[index].mask
        try:
            values = read_values_quickly(path)
        except DataError as error:
            # The reader's advice is about labels.
            problem, classes = error.problem.partition("; ")[0], len(self.dataset.label_space)
            if not has_official_scores(self.dataset):
                expected = f"class indices, 0-{classes - 1}"
            elif self.ids == "label":
                expected = f"label ids of Cityscapes, 0-{HIGHEST_LABEL_ID}"
            else:
                expected = f"train ids, 0-{classes - 1} and {IGNORE}"
            raise DataError(path, f"{problem}; a prediction is a PNG with one channel of {expected}") from None
        return checked_prediction(path, values, self.dataset, mask, shape, self.ids)


def ids_in(folder: Path, dataset: Dataset, ids: Ids | None) -> Ids | None:
    """What the files of a folder hold, for data in Cityscapes' layout: what the user says, or else the record.

    Raises:
        UsageError: --ids does not apply to the data, or contradicts the record.
        DataError: the record names other classes than the data set has, or label ids for data that have none.
    """
    if ids is not None and not has_official_scores(dataset):
        raise UsageError(
            f"--ids {ids} is for data in Cityscapes' layout and its 19 classes; predictions for {dataset.spec} hold "
            f"indices into the {len(dataset.label_space)} classes of '{dataset.label_space.name}': omit --ids"
        )
    record = read_record(folder)
    if record is None:
        return ids
    theirs, ours = record.label_space, dataset.label_space
    if theirs.names != ours.names:
        raise DataError(
            folder / RECORD,
            f"names predictions in '{theirs.name}' ({len(theirs)} classes), but {dataset.spec} is in '{ours.name}' "
            f"({len(ours)}); open the data in the classes of the predictions",
        )
    if not has_official_scores(dataset):
        if record.values == "label ids":
            problem = f"says that the files hold label ids, made for {record.data}; {dataset.spec} takes class indices"
            raise DataError(folder / RECORD, f"{problem}: save predictions for these data")
        return None
    held: Ids = "label" if record.values == "label ids" else "train"
    if ids not in (None, held):
        raise UsageError(f"--ids {ids} contradicts {folder / RECORD}: the files hold {held} ids; omit --ids")
    return held


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
        more = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
        raise DataError(
            folder,
            f"has no prediction for {len(missing)} of {len(dataset)} images: {', '.join(missing[:_LISTED])}{more}; "
            f"expected are files named {missing[0]}{'*' if official else ''}.png",
        )
    for pair, found in zip(dataset.pairs, candidates, strict=True):
        if len(found) > 1:
            shown = " and ".join(str(path.relative_to(folder)) for path in found[:2])
            raise DataError(folder, f"has {len(found)} predictions for {stem_of(pair)}: {shown}; keep one of them")
    return [found[0] for found in candidates]


def stem_of(pair: Pair) -> str:
    """How the names of an image's prediction files begin."""
    return pair.name.rpartition("/")[2]


def _candidates(files: Sequence[tuple[str, Path]], stem: str, official: bool) -> list[Path]:
    """Of files sorted by name, those that may be the prediction for a stem."""
    names = {stem + ending for ending in _OWN_ENDINGS}
    found = []
    for name, path in files[bisect_left(files, (stem, Path())) :]:
        if not name.startswith(stem):
            break
        if official or name in names:
            found.append(path)
    return found


def checked_prediction(
    path: Path, values: MaskValues, dataset: Dataset, mask: Path, shape: tuple[int, ...], ids: Ids
) -> EncodedMap:
    """The values of a prediction file, checked, with what they mean.

    Args:
        path: the file.
        values: what it holds.
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
    classes = len(dataset.label_space)
    if not has_official_scores(dataset):
        _refuse_above(path, values, classes - 1, f"the {classes} classes are 0-{classes - 1}")
    elif ids == "label":
        expected = f"label ids of Cityscapes are 0-{HIGHEST_LABEL_ID}; for train ids, add --ids train"
        _refuse_above(path, values, HIGHEST_LABEL_ID, expected)
        return EncodedMap(values.astype(np.uint8, copy=False), CLASSES_OF_LABEL_IDS, SAME)
    else:
        _refuse_above(path, values[values != IGNORE], classes - 1, f"train ids are 0-{classes - 1} and {IGNORE}")
    return encode_prediction(values.astype(np.uint8, copy=False), dataset)


def _refuse_above(path: Path, values: np.ndarray[Any, Any], highest: int, expected: str) -> None:
    if values.size and int(values.max()) > highest:
        unknown = np.unique(values[values > highest])
        shown = ", ".join(map(str, unknown[:_LISTED].tolist())) + (" ..." if len(unknown) > _LISTED else "")
        raise DataError(path, f"holds the value {shown}; {expected}")


def refuse_train_ids(folder: Path, predicted: Sequence[int]) -> None:
    """Raises if the predictions of a folder together look like train ids where label ids were expected.

    Args:
        folder: for the message.
        predicted: pixels by predicted label id, 0..33.

    Raises:
        DataError: nothing above 18 was predicted, but ids that are no scored class as label ids.
    """
    classes = len(CITYSCAPES)
    lowest = min(label.label_id for label in CITYSCAPES.classes)
    if any(predicted[:lowest]) and not any(predicted[classes:]):
        raise DataError(
            folder,
            f"the predictions hold no value above {classes - 1}, but some below {lowest}, which are void as label ids: "
            "they look like train ids, which the official program and the test server would score as wrong; add "
            "--ids train if they are train ids (not indices into other classes), or --ids label if they are label ids",
        )
