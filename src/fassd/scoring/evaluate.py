"""Scores a runtime on a split: integer counts at the labels' own resolution, scores from their sums.

`fassd evaluate`, the validation during training and the benchmark all score here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fassd.core.errors import DataError, UsageError
from fassd.core.labels import LabelSpace
from fassd.core.types import Event, Sample, Watch, ignore_events
from fassd.data.dataset import Dataset
from fassd.metrics.counts import EncodedMap
from fassd.runtimes.runtime import Runtime
from fassd.scoring.count import MetricAccumulator, Origin, Report, count_image, encode_prediction, read_truth
from fassd.scoring.prediction_files import SavedPredictions
from fassd.scoring.tta import NO_TTA, TestTimeAugmentation, segment_with_tta


@dataclass(frozen=True)
class NetworkPredictions:
    """A network's predictions for the images of a data set.

    Attributes:
        runtime: runs the network.
        dataset: in the runtime's label space.
        tta: test-time augmentation; none by default.
        saved: where predictions are saved, and read from if they are there.
    """

    runtime: Runtime
    dataset: Dataset
    tta: TestTimeAugmentation = NO_TTA
    saved: SavedPredictions | None = None

    def __call__(self, index: int, sample: Sample) -> EncodedMap:
        """The prediction for one image; only the classes annotated in it may be predicted.

        Raises:
            DataError: the image is too small for the network.
        """
        if self.saved is not None and (saved := self.saved.read(index, sample.labels.shape)) is not None:
            return saved
        annotated = None if sample.annotated is None else tuple(np.flatnonzero(sample.annotated).tolist())
        try:
            class_map = segment_with_tta(self.runtime, sample.image, self.tta, annotated)
        except UsageError as error:
            raise DataError(self.dataset.pairs[index].image, str(error)) from None
        prediction = encode_prediction(class_map, self.dataset)
        if self.saved is not None:
            self.saved.write(index, prediction)
        return prediction


def evaluate(runtime: Runtime, dataset: Dataset, watch: Watch = ignore_events) -> Report:
    """Scores a runtime on one split of one data set, every image at its own size, without augmentation.

    Pixels whose label is IGNORE never count. In partially annotated frames only the annotated classes may be
    predicted; these frames are reported apart.

    Args:
        runtime: predicts.
        dataset: in the runtime's label space.
        watch: gets "image" after each image.

    Raises:
        UsageError: the data set and the runtime differ in their classes.
        DataError: an image is too small for the network.
    """
    return score_network(NetworkPredictions(runtime, dataset), watch)


def score_network(predictions: NetworkPredictions, watch: Watch = ignore_events, borders: bool = True) -> Report:
    """Scores a network's predictions; with `borders` near borders as well. See `evaluate`."""
    dataset, runtime, tta = predictions.dataset, predictions.runtime, predictions.tta
    check_classes(dataset, runtime.label_space)
    accumulator = MetricAccumulator(dataset, borders)
    for index, sample in enumerate(dataset):
        truth = read_truth(dataset, index, sample.labels)
        accumulator.add(index, count_image(dataset, index, truth, predictions(index, sample), borders))
        place = {"done": index + 1, "total": len(dataset), "name": sample.name}
        watch(Event("image", {**place, "data": dataset.spec, "split": dataset.split}))
    return accumulator.report(Origin(runtime.header.network, runtime.name, runtime.precision, tta.scales, tta.flip))


def check_classes(dataset: Dataset, space: LabelSpace) -> None:
    """Refuses data whose classes differ from those of the weights.

    Raises:
        UsageError: they differ.
    """
    if dataset.label_space.names != space.names:
        raise UsageError(
            f"{dataset.spec} has the classes of '{dataset.label_space.name}' ({len(dataset.label_space)}) but the "
            f"weights predict those of '{space.name}' ({len(space)}); choose weights or data that share their classes"
        )
