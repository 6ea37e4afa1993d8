"""Prediction: images, globs, folders and data sets -> overlays and class maps on disk."""

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
from fassd.media.source import FoundImage, find_images, without_repeats
from fassd.segmenter import Segmenter

# A stream holds an image and the network's feature maps; more cores share the streams.
_MOST_STREAMS = 8

FEW_IMAGES = 3
"""So many images take less time than loading the compiled kernel (`Segmenter`'s `few_images`)."""


@dataclass(frozen=True)
class Predicted:
    """The results for one image.

    Attributes:
        source: its file.
        overlay, class_map: the files written.
        width, height: pixels.
        seconds: from image in memory to class map in memory.
        shares: of each class, by name.
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
    """The results, and the errors of images and sources that could not be read."""

    done: list[Predicted] = field(default_factory=list)
    failed: list[FileError] = field(default_factory=list)


def predict(sources: Sequence[str], segmenter: Segmenter, out: Path, watch: Watch = ignore_events) -> PredictionReport:
    """Predicts images and writes the results. A bad image among several does not stop the rest.

    Reading, network and writing of `segmenter.streams` images overlap; events come in the images' order.

    Args:
        sources: files, globs, folders and data sets, "kind:PATH".
        segmenter: predicts.
        out: folder for the results; made if missing.
        watch: gets "predicted" with a `Predicted`, or "failed" with an `ImageError`, for each image.

    Raises:
        FassdError: no image was found, none could be predicted, or the folder cannot be written.
    """
    found, unusable = _find(sources)
    # `fassd predict .` must not predict its own results.
    images = [
        one
        for one in found
        if not (one.path.name.endswith(RESULT_ENDINGS) and one.path.resolve().is_relative_to(out.resolve()))
    ]
    if not images:
        raise FileError(out, "holds only the results of an earlier run; name images to predict")
    report = PredictionReport(failed=unusable)
    for error in unusable:
        watch(Event("failed", {"error": error}))

    def predict_one(one: FoundImage) -> Predicted | ImageError:
        try:
            prediction = segmenter(one.path)
            image = prediction.image
            written = write_prediction(out, one.relative, image, prediction.class_map, prediction.label_space)
        except ImageError as error:
            return error
        return Predicted(one.path, *written, image.shape[1], image.shape[0], prediction.seconds, prediction.shares)

    for number, result in enumerate(parallel_map(predict_one, images, segmenter.streams), 1):
        place = {"number": number, "total": len(images)}
        if isinstance(result, Predicted):
            report.done.append(result)
            watch(Event("predicted", {**place, "predicted": result}))
        elif len(images) == 1 and not unusable:
            raise result
        else:
            report.failed.append(result)
            watch(Event("failed", {**place, "error": result}))
    if not report.done:
        raise FassdError(f"none of the {len(report.failed)} images could be predicted; the first: {report.failed[0]}")
    return report


def count_images(sources: Sequence[str]) -> int:
    """How many images `predict` will find; 0 where it will raise that there are none."""
    try:
        return len(_find(sources)[0])
    except FileError:
        return 0


def streams_for(images: int) -> int:
    """How many images to predict at the same time: one for each core, at most as many as there are."""
    return max(1, min(images, usable_cores(), _MOST_STREAMS))


def _find(sources: Sequence[str]) -> tuple[list[FoundImage], list[FileError]]:
    """The images, and the errors of sources without any; raises the error of a single source."""
    if not sources:
        return find_images(sources), []
    found: list[FoundImage] = []
    errors: list[FileError] = []
    for source in sources:
        try:
            found += images_of(source)
        except FileError as error:
            if len(sources) == 1:
                raise
            errors.append(error)
    return without_repeats(found), errors
