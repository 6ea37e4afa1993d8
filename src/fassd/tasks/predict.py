"""Prediction: pictures, globs and folders -> overlays and class maps on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fassd.core.errors import FassdError, FileError, PictureError
from fassd.core.types import Event, Watch, ignore_events
from fassd.media.sink import RESULT_ENDINGS, write_prediction
from fassd.media.source import find_pictures
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
    """What was done, and the pictures that could not be."""

    done: list[Predicted] = field(default_factory=list)
    failed: list[PictureError] = field(default_factory=list)


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
    found = [picture for picture in find_pictures(sources) if not _is_earlier_result(picture.path, out)]
    if not found:
        raise FileError(out, "holds only the results of an earlier run; name pictures to label")
    report = PredictionReport()
    for number, picture in enumerate(found, 1):
        place = {"number": number, "total": len(found)}
        try:
            prediction = segmenter(picture.path)
        except PictureError as error:
            if len(found) == 1:
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
        raise _nothing_done(report.failed)
    return report


def _is_earlier_result(path: Path, out: Path) -> bool:
    """Whether a picture is what this verb itself wrote: `fassd predict .` must not label its own answers."""
    written = path.name.endswith(RESULT_ENDINGS)
    return written and path.resolve().is_relative_to(out.resolve())


def _nothing_done(failed: list[PictureError]) -> FassdError:
    return FassdError(f"none of the {len(failed)} pictures could be read; the first: {failed[0]}")
