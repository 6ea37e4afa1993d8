"""Evaluation: a network over a split, integer counts at the labels' own resolution, scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.core.errors import DataError, UsageError
from fassd.core.labels import LabelSpace
from fassd.core.types import Event, Sample, Watch, ignore_events
from fassd.data.dataset import Dataset
from fassd.metrics.counts import Coded
from fassd.runtimes.runtime import Runtime
from fassd.scoring.count import MetricAccumulator, Origin, Report, answer_of, score, truth_of
from fassd.scoring.prediction_files import SavedPredictions
from fassd.scoring.tta import NO_TTA, TestTimeAugmentation, averaged_answer


@dataclass(frozen=True)
class NetworkPredictions:
    """Answers of a network to the images of a data set.

    Attributes:
        runtime: runs it.
        dataset: in the runtime's label space.
        averaging: of several looks; one look at the picture as it is by default.
        saved: where answers are kept, and taken from if they are there.
    """

    runtime: Runtime
    dataset: Dataset
    averaging: TestTimeAugmentation = NO_TTA
    saved: SavedPredictions | None = None

    def __call__(self, index: int, sample: Sample) -> Coded:
        """The answer to one image, among the classes that were annotated in it.

        Raises:
            DataError: the image is too small for the network.
        """
        if self.saved is not None and (kept := self.saved.read(index, sample.labels.shape)) is not None:
            return kept
        annotated = None if sample.annotated is None else tuple(np.flatnonzero(sample.annotated).tolist())
        try:
            class_map = averaged_answer(self.runtime, sample.image, self.averaging, annotated)
        except UsageError as error:
            raise DataError(self.dataset.pairs[index].image, str(error)) from None
        answer = answer_of(class_map, self.dataset)
        if self.saved is not None:
            self.saved.write(index, answer)
        return answer

    @property
    def origin(self) -> Origin:
        """What the report says of the answers."""
        return Origin(
            self.runtime.header.network,
            self.runtime.name,
            self.runtime.precision,
            self.averaging.scales,
            self.averaging.flip,
        )


def evaluate(runtime: Runtime, dataset: Dataset, watch: Watch = ignore_events) -> Report:
    """Scores a runtime on one split of one data set.

    Each image is answered at its own size, one scale, no flip; pixels whose label is IGNORE never count. On partly
    annotated frames only the annotated classes may be the answer, and these frames are reported apart.

    Args:
        runtime: answers.
        dataset: in the runtime's label space.
        watch: gets "image" after each image.

    Raises:
        UsageError: the data set has other classes than the runtime answers with.
        DataError: an image is too small for the network.
    """
    return evaluate_answers(NetworkPredictions(runtime, dataset), watch)


def evaluate_answers(answers: NetworkPredictions, watch: Watch = ignore_events, borders: bool = True) -> Report:
    """Scores a network's answers, however they are made, and if wanted near borders as well; see `evaluate`."""
    dataset = answers.dataset
    check_classes(dataset, answers.runtime.label_space)
    tally = MetricAccumulator(dataset, borders)
    for index, sample in enumerate(dataset):
        truth = truth_of(dataset, index, sample.labels)
        tally.add(index, score(dataset, index, truth, answers(index, sample), borders))
        watch(Event("image", {"done": index + 1, "total": len(dataset), "name": sample.name}))
    return tally.report(answers.origin)


def check_classes(dataset: Dataset, space: LabelSpace) -> None:
    """Refuses data of other classes than weights answer with.

    Raises:
        UsageError: they differ.
    """
    if dataset.label_space.names != space.names:
        raise UsageError(
            f"{dataset.spec} has the classes of '{dataset.label_space.name}' ({len(dataset.label_space)}) but the "
            f"weights answer with '{space.name}' ({len(space)}); choose weights or data that share their classes"
        )
