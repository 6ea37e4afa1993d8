"""Prediction: pictures, globs and folders -> overlays and class maps on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fassd.core.errors import FassdError, FileError, ImageError
from fassd.core.machine import usable_cores
from fassd.core.parallel import parallel_map
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.image_sources import images_of
from fassd.media.prediction_writer import RESULT_ENDINGS, write_prediction
from fassd.media.source import Found, find_images, without_repeats
from fassd.segmenter import Segmenter

# Each stream holds a picture and the network's maps of its own; more cores share the streams.
_MOST_STREAMS = 8


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

    Reading, network and writing of `segmenter.streams` pictures overlap; events come in the pictures' order.

    Args:
        sources: files, globs, folders and data sets, "kind:PATH".
        segmenter: answers.
        out: folder for the results; made if missing.
        watch: gets "predicted" with a `Predicted`, or "failed" with a `ImageError`, for each picture.

    Raises:
        FassdError: no picture was found, none could be labeled, or the folder cannot be written.
    """
    everything, unusable = _find(sources)
    found = [picture for picture in everything if not _is_earlier_result(picture.path, out)]
    if not found:
        raise FileError(out, "holds only the results of an earlier run; name pictures to label")
    report = PredictionReport(failed=unusable)
    for error in unusable:
        watch(Event("failed", {"error": error}))

    def label(picture: Found) -> Predicted | ImageError:
        try:
            return _label(picture, segmenter, out)
        except ImageError as error:
            return error

    for number, result in enumerate(parallel_map(label, found, segmenter.streams), 1):
        place = {"number": number, "total": len(found)}
        if isinstance(result, Predicted):
            report.done.append(result)
            watch(Event("predicted", {**place, "predicted": result}))
        elif len(found) == 1 and not unusable:
            raise result
        else:
            report.failed.append(result)
            watch(Event("failed", {**place, "error": result}))
    if not report.done:
        raise FassdError(f"none of the {len(report.failed)} pictures could be labeled; the first: {report.failed[0]}")
    return report


def streams_for(sources: Sequence[str]) -> int:
    """How many pictures to answer side by side: one for each core, not more than there are."""
    try:
        pictures = len(_find(sources)[0])
    except FileError:
        return 1  # `predict` says what is wrong
    return max(1, min(pictures, usable_cores(), _MOST_STREAMS))


def _label(picture: Found, segmenter: Segmenter, out: Path) -> Predicted:
    prediction = segmenter(picture.path)
    image = prediction.image
    written = write_prediction(out, picture.relative, image, prediction.class_map, prediction.label_space)
    return Predicted(picture.path, *written, image.shape[1], image.shape[0], prediction.seconds, prediction.shares)


def _is_earlier_result(path: Path, out: Path) -> bool:
    """Whether a picture is what this verb itself wrote: `fassd predict .` must not label its own answers."""
    written = path.name.endswith(RESULT_ENDINGS)
    return written and path.resolve().is_relative_to(out.resolve())


def _find(sources: Sequence[str]) -> tuple[list[Found], list[FileError]]:
    """The pictures, and what is wrong with sources that give none; a single source that gives none is refused."""
    if not sources:
        return find_images(sources), []
    found: list[Found] = []
    errors: list[FileError] = []
    for source in sources:
        try:
            found += images_of(source)
        except FileError as error:
            if len(sources) == 1:
                raise
            errors.append(error)
    return without_repeats(found), errors
