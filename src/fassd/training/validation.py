"""Validation during training: mean IoU of a segmentation network, top-1 and top-5 accuracy of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fassd.core.arrays import IGNORE, Image, Images
from fassd.core.checkpoint import Header, Score
from fassd.core.recipe import Recipe
from fassd.core.types import Sample
from fassd.data.batches import validation_batches
from fassd.data.class_folders import ClassFolders
from fassd.data.dataset import Dataset
from fassd.media.paint import overlay, shares
from fassd.media.prediction_writer import write_overlay
from fassd.metrics.confusion import class_iou
from fassd.metrics.counts import Counts
from fassd.networks.classifier import Classifier
from fassd.networks.inference import normalize
from fassd.networks.network import SegmentationNetwork
from fassd.runtimes.pytorch import PyTorchRuntime
from fassd.scoring.count import Part, Report, overall_mean_iou
from fassd.scoring.evaluate import evaluate
from fassd.training.distributed import Distributed
from fassd.training.train_step import normalization_of

# Images drawn in each validation, their width in pixels at most, and what replaces infinite logits.
_DRAWN_IMAGES, _DRAWN_WIDTH, _LARGE = 4, 640, 1e30

EVALUATION_CONVENTIONS = (
    "one view of each image at its own size, no flip; ignored pixels never count; IoU from pixels added up over the "
    "split; mean over the classes that occur in labels or predictions"
)
"""Conventions of the mean IoU of an evaluation without options."""
VALIDATION_CONVENTIONS = f"{EVALUATION_CONVENTIONS}; several data sets weigh the same"
"""Conventions of the mean IoU of a validation."""
TOP_K_CONVENTIONS = "one view of the middle of each image, 7/8 of its shorter side; shares of the images"
"""Conventions of top-1 and top-5."""


@dataclass(frozen=True)
class ValidationResult:
    """The scores of a network.

    Attributes:
        figures: fractions 0..1 by name ("mean_iou"); the first decides which network is the best.
        iou: of each class, 0..1, None for a class that did not occur; empty for a classifier.
    """

    figures: dict[str, float]
    iou: dict[str, float | None] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """The figure that decides which network is the best."""
        return next(iter(self.figures.values()))


class NanTolerantRuntime(PyTorchRuntime):
    """Predicts even where logits overflow, as those of a young network may: a low score does not end the training."""

    def _run(self, images: Images) -> Tensor:
        return super()._run(images).nan_to_num(0, _LARGE, -_LARGE)


@dataclass(frozen=True)
class Validator:
    """Scores a segmentation network on the `val` splits, and draws its predictions for the same few images.

    Attributes:
        datasets: the splits.
        header: of the checkpoint of the network.
        distributed: the processes that share the images.
        samples: folder for the drawn images.
    """

    datasets: Sequence[Dataset]
    header: Header
    distributed: Distributed
    samples: Path

    def __call__(self, network: SegmentationNetwork, iteration: int) -> ValidationResult:
        """Scores the network on every image once. The processes share the images; the main process draws.

        Args:
            network: its weights at this time.
            iteration: how many it was trained for; names the drawn files.

        Raises:
            DataError, ImageError: an image or mask cannot be read or scored.
        """
        with NanTolerantRuntime(network, self.header, str(self.distributed.device)) as runtime:
            reports = self.reports(runtime)
            if self.distributed.is_main_process:
                self._draw(runtime, iteration)
        # IoU of each class, over the images in which every class is annotated.
        space = self.datasets[0].label_space
        total = Counts.none(len(space))
        for report in reports:
            for part in report.parts:
                if part.annotated is None:
                    total += part.counts
        iou = dict(zip(space.names, class_iou(total.confusion), strict=True))
        return ValidationResult({"mean_iou": overall_mean_iou(reports)}, iou)

    def reports(self, runtime: PyTorchRuntime) -> list[Report]:
        """A report of each split, equal in all processes, each of which evaluates its share of the images."""
        distributed, reports = self.distributed, []
        for dataset in self.datasets:
            share = replace(dataset, pairs=dataset.pairs[distributed.rank :: distributed.processes])
            reports.append(_merged(distributed.gather(evaluate(runtime, share))))
        return reports

    def score(self, result: ValidationResult) -> Score:
        """A result as checkpoint headers have it."""
        return Score(
            data=" + ".join(dataset.name for dataset in self.datasets),
            split="val",
            images=sum(len(dataset) for dataset in self.datasets),
            mean_iou=result.score,
            pixel_accuracy=None,
            classes=len(self.datasets[0].label_space),
            command="validation while training",
            conventions=VALIDATION_CONVENTIONS,
        )

    def _draw(self, runtime: PyTorchRuntime, iteration: int) -> None:
        places = [(dataset, index) for dataset in self.datasets for index in range(len(dataset))]
        chosen = places[:: max(1, len(places) // _DRAWN_IMAGES)][:_DRAWN_IMAGES]
        for dataset, index in chosen:
            sample = dataset[index]
            name = sample.name.replace("/", "_")
            write_overlay(self.samples / name / f"{iteration:08}.jpg", _comparison_image(runtime, sample))


def _comparison_image(runtime: PyTorchRuntime, sample: Sample) -> Image:
    """Image, prediction and labels in a row, above a legend with the shares of prediction and labels together."""
    predicted = runtime.segment(sample.image[None])[0]
    stride = -(-sample.image.shape[1] // _DRAWN_WIDTH)
    image, predicted, labels = (array[::stride, ::stride] for array in (sample.image, predicted, sample.labels))
    maps = np.hstack([np.full_like(predicted, IGNORE), predicted, labels])
    return overlay(np.hstack([image] * 3), maps, runtime.label_space, shares(maps, runtime.label_space), 0.6)


def _merged(reports: Sequence[Report]) -> Report:
    """One report from those of disjoint shares of a data set: the counts are added."""
    parts: dict[tuple[int, ...] | None, Part] = {}
    for part in (part for report in reports for part in report.parts):
        known = parts.setdefault(part.annotated, Part(part.annotated, Counts.none(len(reports[0].label_space))))
        known.counts += part.counts
        known.sizes += part.sizes
    ordered = sorted(parts.values(), key=lambda part: (part.annotated is not None, part.annotated or ()))
    return replace(reports[0], parts=tuple(ordered), images=tuple(one for report in reports for one in report.images))


def top_k_hits(logits: Tensor, targets: Tensor, k: int) -> int:
    """The number of images whose class is among the k highest logits.

    Args:
        logits: (N, classes).
        targets: (N,) int64.
        k: from 1; of fewer classes all count.
    """
    highest = logits.topk(min(k, logits.shape[1]), 1).indices
    return int((highest == targets[:, None]).any(1).sum())


def validate_classifier(
    network: Classifier, images: ClassFolders, recipe: Recipe, distributed: Distributed, workers: int
) -> ValidationResult:
    """Top-1 and top-5 on the middle of every image, in float32, shared by all processes.

    Args:
        network: its mode, training or evaluation, is the same afterwards.
        images: of `val`.
        recipe: crop, channel order, batch.
        distributed: processes and device.
        workers: that prepare batches, for each process.
    """
    top_1 = top_5 = 0
    normalization, was_training = normalization_of(recipe), network.training
    network.eval()
    with torch.inference_mode():
        for batch in validation_batches(images, recipe, workers, (distributed.rank, distributed.processes)):
            targets = batch.labels.to(distributed.device)
            logits = network(normalize(batch.images.to(distributed.device), normalization))
            top_1 += top_k_hits(logits, targets, 1)
            top_5 += top_k_hits(logits, targets, 5)
    network.train(was_training)
    top_1_sum, top_5_sum = distributed.all_reduce_sum([top_1, top_5])
    return ValidationResult({"top_1": top_1_sum / len(images), "top_5": top_5_sum / len(images)})
