"""Scoring a folder of anybody's predictions: no network, no PyTorch; threads share the images."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fassd.core.errors import DataError
from fassd.core.types import Event, Sample, Watch, ignore_events
from fassd.data.dataset import Dataset
from fassd.data.quick_labels import read_values_quickly
from fassd.metrics.counts import Coded
from fassd.tasks.prediction_files import Ids, checked_prediction, expected_values, find_predictions, refuse_train_ids
from fassd.tasks.saved_predictions import ids_in
from fassd.tasks.scores import Origin, Report, Tally
from fassd.tasks.scoring import Scored, score, truth_of
from fassd.tasks.side_by_side import side_by_side


@dataclass(frozen=True)
class FileAnswers:
    """Answers that lie in files.

    Attributes:
        dataset: what is predicted.
        files: one for each image.
        ids: what they hold, for data in Cityscapes' layout.
        borders: whether to look near borders as well.
    """

    dataset: Dataset
    files: tuple[Path, ...]
    ids: Ids = "raw"
    borders: bool = True

    def __call__(self, index: int, sample: Sample) -> Coded:
        """The answer to one image; raises as `checked_prediction`, or PictureError for a damaged file."""
        return self._read(index, sample.labels.shape)

    def score(self, index: int) -> Scored:
        """Counts one image without reading the picture itself."""
        truth = truth_of(self.dataset, index)
        return score(self.dataset, index, truth, self._read(index, truth.labels.values.shape), self.borders)

    def _read(self, index: int, shape: tuple[int, ...]) -> Coded:
        path, mask = self.files[index], self.dataset.pairs[index].mask
        try:
            values = read_values_quickly(path)
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
    the result does not depend on the number of threads. They share the work well, for nearly all of it is compiled or a
    library's, and leaves Python's lock alone.

    Args:
        folder: PNGs as `SavedPredictions` writes them, or anybody else's; see `find_predictions`.
        dataset: what is predicted, in the classes in which it was; see `open_predicted`.
        ids: what the files hold, for data in Cityscapes' layout; None means what the record beside them says, or else
            raw ids unless they look otherwise.
        workers: threads.
        watch: gets "image" for each image.
        borders: whether to look near borders as well.

    Returns:
        The report, and the answers it is about.

    Raises:
        DataError, PictureError: a prediction is missing, there are two, or one is not what was expected.
        UsageError, DataError: as `ids_in`.
    """
    ids = ids_in(folder, dataset, ids)
    files = tuple(find_predictions(folder, dataset))
    answers = FileAnswers(dataset, files, ids or "raw", borders)
    tally = Tally(dataset, borders)
    with closing(side_by_side(answers.score, range(len(dataset)), workers)) as scores:
        for index, scored in enumerate(scores):
            tally.add(index, scored)
            watch(Event("image", {"done": index + 1, "total": len(dataset), "name": dataset.pairs[index].name}))
    if ids is None and tally.official is not None:
        refuse_train_ids(folder, tally.official.confusion.sum(0).tolist())
    return tally.report(Origin(predictions=str(folder))), answers
