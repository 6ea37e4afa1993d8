"""Predictions that an evaluation keeps, and the record beside them: their classes, and what they were made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
import PIL.Image

from fassd.core.catalog import locate_weights
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.files import written_whole
from fassd.core.labels import LabelSpace
from fassd.data.dataset import Dataset
from fassd.data.kinds import open_dataset
from fassd.media.masks import read_values
from fassd.metrics.counts import Coded
from fassd.runtimes.runtime import Runtime
from fassd.tasks.averaging import Averaging
from fassd.tasks.prediction_files import Ids, checked_prediction, stem_of
from fassd.tasks.scoring import has_official_scores

RECORD = "predictions.json"
_LARGEST_RECORD = 1 << 26

Stamps = dict[str, tuple[int, int]]
"""Size in bytes and time of the last change, nanoseconds, of each image, by its name in the data set."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a folder of predictions.

    Attributes:
        data, split: what was answered.
        label_space: the classes of the answers.
        values: what the files hold: raw ids of Cityscapes, or indices into the classes.
        made_by: whatever else decides the answers.
        images: as they were when they were answered.
    """

    data: str
    split: str
    label_space: LabelSpace
    values: Literal["raw ids", "class indices"]
    made_by: dict[str, Any]
    images: Stamps


def order_of(weights: str, runtime: Runtime, averaging: Averaging) -> dict[str, Any]:
    """The facts that decide a network's answers, for `SavedPredictions`."""
    path = locate_weights(weights)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
    return {
        "weights": f"{Path(weights).name} {digest}",
        "runtime": runtime.name,
        "precision": runtime.precision,
        "scales": list(averaging.scales),
        "flip": averaging.flip,
    }


class SavedPredictions:
    """A folder into which an evaluation writes its answers, and from which an interrupted one goes on.

    Answers to images that have changed since are removed, and made anew.

    Args:
        folder: new, empty, or begun by an evaluation with the same facts.
        dataset: whose images are answered.
        facts: whatever decides the answers; kept beside them.

    Raises:
        FileError: the folder holds other things, or cannot be written.
    """

    def __init__(self, folder: Path, dataset: Dataset, facts: Mapping[str, Any]) -> None:
        self.folder, self._dataset = folder, dataset
        values: Literal["raw ids", "class indices"] = "raw ids" if has_official_scores(dataset) else "class indices"
        wanted = Record(
            data=dataset.spec,
            split=dataset.split,
            label_space=dataset.label_space,
            values=values,
            made_by=dict(facts),
            images=_stamps(dataset),
        )
        if not _is_empty(folder):
            self._go_on(wanted)
        with written_whole(folder / RECORD) as temporary:
            lines = [f'"{key}": {json.dumps(value)}' for key, value in msgspec.to_builtins(wanted).items()]
            temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")

    def read(self, index: int, shape: tuple[int, ...]) -> Coded | None:
        """The answer that was written for an image of this height and width; None if there is none that can be used."""
        path, mask = self._path(index), self._dataset.pairs[index].mask
        try:
            return checked_prediction(path, read_values(path), self._dataset, mask, shape, "raw")
        except FileError:
            return None

    def write(self, index: int, answer: Coded) -> None:
        """Writes an answer whole or not at all."""
        with written_whole(self._path(index)) as temporary:
            values = answer.class_map if answer.raw is None else answer.raw
            PIL.Image.fromarray(values).save(temporary, "PNG")

    def _go_on(self, wanted: Record) -> None:
        found = _read(self.folder / RECORD)
        if found is None:
            problem = "holds files that are not from an earlier run of this command"
            raise FileError(self.folder, f"{problem}; name a new or empty folder for the predictions")
        before, now = _facts(found), _facts(wanted)
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


def read_record(folder: Path) -> Record | None:
    """What is said of a folder of predictions, in it or, as predictions may lie there too, in those below it.

    None where nothing is said, or another program's file has the name.

    Raises:
        DataError: a record is damaged, or two name different classes.
    """
    found = [(path, record) for path in sorted(folder.rglob(RECORD)) if (record := _read(path)) is not None]
    for path, record in found[1:]:
        first = found[0][1]
        if (record.label_space.names, record.values) != (first.label_space.names, first.values):
            raise DataError(path, f"names other classes or values than {found[0][0]}; name one of the two folders")
    return found[0][1] if found else None


def _read(path: Path) -> Record | None:
    try:
        if path.stat().st_size > _LARGEST_RECORD:
            return None
        values = msgspec.json.decode(path.read_bytes())
        return msgspec.convert(values, Record) if isinstance(values, dict) and "label_space" in values else None
    except OSError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        what = f"is damaged ({error}), so that nobody knows in which classes the predictions are"
        raise DataError(path, f"{what}; bring it back, or remove it if they are the data set's own") from None


def open_predicted(folder: Path, spec: str, split: str) -> Dataset:
    """The data that a folder of predictions is about, in the classes in which it was answered.

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


def ids_in(folder: Path, dataset: Dataset, ids: Ids | None) -> Ids | None:
    """What the files of a folder hold, for data in Cityscapes' layout: what the user says, or else the record.

    Raises:
        UsageError: the user says what cannot be, or what the record denies.
        DataError: the record names other classes than the data set has, or raw ids for data that have none.
    """
    if ids is not None and not has_official_scores(dataset):
        raise UsageError(
            f"--ids {ids} is for data in Cityscapes' layout and its 19 classes; predictions for {dataset.spec} hold "
            f"indices into the {len(dataset.label_space)} classes of '{dataset.label_space.name}': leave --ids out"
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
        if record.values == "raw ids":
            problem = f"says that the files hold raw ids, made for {record.data}; {dataset.spec} takes class indices"
            raise DataError(folder / RECORD, f"{problem}: save predictions for these data")
        return None
    held: Ids = "raw" if record.values == "raw ids" else "train"
    if ids not in (None, held):
        raise UsageError(f"--ids {ids} is not what {folder / RECORD} says: the files hold {held} ids; leave --ids out")
    return held


def _facts(record: Record) -> dict[str, Any]:
    classes = f"of {record.label_space.name} ({len(record.label_space)})"
    return {"data": record.data, "split": record.split, "classes": classes, **record.made_by}


def _stamps(dataset: Dataset) -> Stamps:
    found = {pair.name: pair.image.stat() for pair in dataset.pairs}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def _is_empty(folder: Path) -> bool:
    try:
        return not any(folder.iterdir())
    except FileNotFoundError:
        return True
    except OSError as error:
        raise FileError(folder, f"cannot be used for predictions ({error.strerror}); name another folder") from None
