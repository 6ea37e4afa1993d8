"""Prediction: pictures, globs and folders -> overlays and class maps on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fassd.core.errors import FassdError, FileError, PictureError
from fassd.core.types import Event, Watch, ignore_events
from fassd.media.sink import RESULT_ENDINGS, write_prediction
from fassd.media.source import Found, find_pictures
from fassd.tasks.segmenter import Segmenter


@dataclass(frozen=True)
class Predicted:
    """What was done with one picture.

    Attributes:
        source: its file.
        overlay, class_map: the files written.
        width, height: pixels.
        seconds: from image in memory to class map in memory.
        shares: share of each class, by name.
    """

    source: Path
    overlay: Path
    class_map: Path
    width: int
    height: int
    seconds: float
    shares: dict[str, float]


@dataclass
class PredictionReport:
    """What was done, and the pictures and sources that could not be read."""

    done: list[Predicted] = field(default_factory=list)
    failed: list[FileError] = field(default_factory=list)


def predict(sources: Sequence[str], segmenter: Segmenter, out: Path, watch: Watch = ignore_events) -> PredictionReport:
    """Labels pictures and writes the answers. A bad picture among several does not stop the rest.

    Args:
        sources: files, globs and folders.
        segmenter: answers.
        out: folder for the results; made if missing.
        watch: gets "predicted" with a `Predicted`, or "failed" with a `PictureError`, for each picture.

    Raises:
        FassdError: no picture was found, none could be labelled, or the folder cannot be written.
    """
    everything, unusable = _find(sources)
    found = [picture for picture in everything if not _is_earlier_result(picture.path, out)]
    if not found:
        raise FileError(out, "holds only the results of an earlier run; name pictures to label")
    report = PredictionReport(failed=unusable)
    for error in unusable:
        watch(Event("failed", {"error": error}))
    for number, picture in enumerate(found, 1):
        place = {"number": number, "total": len(found)}
        try:
            prediction = segmenter(picture.path)
        except PictureError as error:
            if len(found) == 1 and not unusable:
                raise
            report.failed.append(error)
            watch(Event("failed", {**place, "error": error}))
            continue
        image = prediction.image
        overlay, class_map = write_prediction(
            out, picture.relative, image, prediction.class_map, prediction.label_space
        )
        predicted = Predicted(
            picture.path,
            overlay,
            class_map,
            image.shape[1],
            image.shape[0],
            prediction.seconds,
            prediction.shares,
        )
        report.done.append(predicted)
        watch(Event("predicted", {**place, "predicted": predicted}))
    if not report.done:
        raise FassdError(f"none of the {len(report.failed)} pictures could be labelled; the first: {report.failed[0]}")
    return report


def _is_earlier_result(path: Path, out: Path) -> bool:
    """Whether a picture is what this verb itself wrote: `fassd predict .` must not label its own answers."""
    written = path.name.endswith(RESULT_ENDINGS)
    return written and path.resolve().is_relative_to(out.resolve())


def _find(sources: Sequence[str]) -> tuple[list[Found], list[FileError]]:
    """The pictures, and what is wrong with sources that give none; a single source that gives none is refused."""
    try:
        return find_pictures(sources), []
    except FileError:
        if len(sources) == 1:
            raise
    usable, errors = [], []
    for source in sources:
        try:
            find_pictures([source])
            usable.append(source)
        except FileError as error:
            errors.append(error)
    return (find_pictures(usable) if usable else []), errors
