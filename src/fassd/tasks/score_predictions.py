"""Scoring a folder of anybody's predictions: no network, no PyTorch; processes share the images."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from fassd.core.errors import DataError
from fassd.core.processes import worker_processes
from fassd.core.types import Event, Sample, Watch, ignore_events
from fassd.data.dataset import Dataset
from fassd.media.masks import read_values
from fassd.tasks.prediction_files import Ids, checked_prediction, expected_values, find_predictions, refuse_train_ids
from fassd.tasks.saved_predictions import ids_in
from fassd.tasks.scores import Origin, Report, Tally
from fassd.tasks.scoring import Answer, ReadValues, Scored, score, truth_of

_MANY = 32
_CHUNK = 8
"""Images that a process takes at once."""


@dataclass(frozen=True)
class FileAnswers:
    """Answers that lie in files.

    Attributes:
        dataset: what is predicted.
        files: one for each image.
        ids: what they hold, for data in Cityscapes' layout.
        read: reads label files and predictions.
        borders: whether to look near borders as well.
    """

    dataset: Dataset
    files: tuple[Path, ...]
    ids: Ids = "raw"
    read: ReadValues = read_values
    borders: bool = True

    def __call__(self, index: int, sample: Sample) -> Answer:
        """The answer to one image; raises as `checked_prediction`, or PictureError for a damaged file."""
        return self._read(index, sample.labels.shape)

    def score(self, index: int) -> Scored:
        """Counts one image without reading the picture itself."""
        truth = truth_of(self.dataset, index, read=self.read)
        return score(self.dataset, index, truth, self._read(index, truth.labels.shape), self.borders)

    def part(self, begin: int, end: int) -> FileAnswers:
        """Those of some of the images, so that little travels to another process."""
        dataset = replace(self.dataset, pairs=self.dataset.pairs[begin:end])
        return replace(self, dataset=dataset, files=self.files[begin:end])

    def _read(self, index: int, shape: tuple[int, ...]) -> Answer:
        path, mask = self.files[index], self.dataset.pairs[index].mask
        try:
            values = self.read(path)
        except DataError as error:
            # The reader's advice is for labels.
            problem, expected = error.problem.partition("; ")[0], expected_values(self.dataset, self.ids)
            raise DataError(path, f"{problem}; a prediction is a PNG with one channel of {expected}") from None
        return checked_prediction(path, values, self.dataset, mask, shape, self.ids)


def score_predictions(
    folder: Path,
    dataset: Dataset,
    ids: Ids | None = None,
    workers: int = 1,
    watch: Watch = ignore_events,
    borders: bool = True,
) -> tuple[Report, FileAnswers]:
    """Scores the predictions in a folder, as `evaluate` scores a network's.

    Counts are whole numbers and the weighted sums of the official scores are added in the data set's order, so that
    the result does not depend on the number of processes.

    Args:
        folder: PNGs as `SavedPredictions` writes them, or anybody else's; see `find_predictions`.
        dataset: what is predicted, in the classes in which it was; see `open_predicted`.
        ids: what the files hold, for data in Cityscapes' layout; None means what the record beside them says, or else
            raw ids unless they look otherwise.
        workers: processes; above 1 the caller's main module must be importable (`if __name__ == "__main__"`).
        watch: gets "image" for each image.
        borders: whether to look near borders as well, which is half of the work.

    Returns:
        The report, and the answers it is about.

    Raises:
        DataError, PictureError: a prediction is missing, there are two, or one is not what was expected.
        UsageError, DataError: as `ids_in`.
    """
    ids = ids_in(folder, dataset, ids)
    files = tuple(find_predictions(folder, dataset))
    answers = FileAnswers(dataset, files, ids or "raw", _reader(len(files)), borders)
    tally = Tally(dataset, borders)
    try:
        with closing(_scored(answers, workers)) as scores:
            for index, scored in enumerate(scores):
                tally.add(index, scored)
                watch(Event("image", {"done": index + 1, "total": len(dataset), "name": dataset.pairs[index].name}))
    except BrokenProcessPool:
        problem = "a process that read them was killed, most likely for want of memory; try again with --workers 1"
        raise DataError(folder, problem) from None
    if ids is None and tally.official is not None:
        refuse_train_ids(folder, tally.official.confusion.sum(0).tolist())
    return tally.report(Origin(predictions=str(folder))), answers


def _reader(files: int) -> ReadValues:
    """The compiled reader needs half a second to be loaded, so it is left alone for a few files."""
    if files < _MANY:
        return read_values
    from fassd.tasks.quick_labels import read_values_quickly

    return read_values_quickly


def _scored(answers: FileAnswers, workers: int) -> Generator[Scored]:
    """The images in order, counted here or by processes."""
    total = len(answers.dataset)
    step = min(_CHUNK, -(-total // workers))
    chunks = [answers.part(begin, begin + step) for begin in range(0, total, step)]
    with worker_processes(min(workers, len(chunks))) as spread:
        for chunk in spread(_score_all, chunks):
            yield from chunk


def _score_all(answers: FileAnswers) -> list[Scored]:
    return [answers.score(index) for index in range(len(answers.dataset))]
