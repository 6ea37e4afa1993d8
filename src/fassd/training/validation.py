"""The validation of a network that is being trained: scored by all processes together, drawn by the first.

How well a classifier names pictures: top-1 and top-5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
from fassd.training.fit import ValidationResult
from fassd.training.train_step import normalization_of

if TYPE_CHECKING:
    from torch import Tensor


_DRAWN, _WIDEST, _LARGE = 4, 640, 1e30
NO_TTA = (
    "one look at each image at its own size, no flip; ignored pixels never count; IoU from pixels added up over the "
    "split; mean over the classes that occur in labels or answers"
)
"""How the mean IoU of an evaluation is meant that was asked for nothing else; `fassd evaluate` tells more."""
CONVENTIONS = f"{NO_TTA}; several data sets weigh the same"
"""How that of a validation is meant."""


class NanTolerantRuntime(PyTorchRuntime):
    """Answers even where logits overflow, as a network's may for a while: that scores badly, and training goes on."""

    def _run(self, images: Images) -> Tensor:
        return super()._run(images).nan_to_num(0, _LARGE, -_LARGE)


@dataclass(frozen=True)
class Validator:
    """Scores a network on the `val` splits, and draws what it says of the same few images each time.

    Attributes:
        datasets: the splits.
        header: what the checkpoint will say of the network.
        engine: the processes that share the images.
        samples: folder for the drawn images.
    """

    datasets: Sequence[Dataset]
    header: Header
    engine: Distributed
    samples: Path

    def __call__(self, network: SegmentationNetwork, step: int) -> ValidationResult:
        """Scores it on every image once, each process on its share.

        Args:
            network: as it stands.
            step: the updates it has seen.

        Raises:
            DataError, ImageError: an image or mask cannot be read or scored.
        """
        with NanTolerantRuntime(network, self.header, str(self.engine.device)) as runtime:
            reports = self.reports(runtime)
            if self.engine.first:
                self._draw(runtime, step)
        return ValidationResult({"mean_iou": overall_mean_iou(reports)}, self._iou(reports))

    def reports(self, runtime: PyTorchRuntime) -> list[Report]:
        """Of each split, the same in every process, each of which scores its share of the images; see above."""
        engine, reports = self.engine, []
        for dataset in self.datasets:
            share = replace(dataset, pairs=dataset.pairs[engine.rank :: engine.processes])
            reports.append(_joined(engine.gather(evaluate(runtime, share))))
        return reports

    def score(self, verdict: ValidationResult) -> Score:
        """What the header says of a verdict."""
        return Score(
            data=" + ".join(dataset.name for dataset in self.datasets),
            split="val",
            images=sum(len(dataset) for dataset in self.datasets),
            mean_iou=verdict.score,
            pixel_accuracy=None,
            classes=len(self.datasets[0].label_space),
            command="validation while training",
            conventions=CONVENTIONS,
        )

    def _iou(self, reports: Sequence[Report]) -> dict[str, float | None]:
        """Of each class, over all fully annotated images."""
        space = self.datasets[0].label_space
        total = Counts.none(len(space))
        for report in reports:
            for part in report.parts:
                if part.annotated is None:
                    total += part.counts
        return dict(zip(space.names, class_iou(total.confusion), strict=True))

    def _draw(self, runtime: PyTorchRuntime, step: int) -> None:
        places = [(dataset, index) for dataset in self.datasets for index in range(len(dataset))]
        chosen = places[:: max(1, len(places) // _DRAWN)][:_DRAWN]
        for dataset, index in chosen:
            sample = dataset[index]
            name = sample.name.replace("/", "_")
            write_overlay(self.samples / name / f"{step:08}.jpg", _side_by_side(runtime, sample))


def _side_by_side(runtime: PyTorchRuntime, sample: Sample) -> Image:
    """Photo, answer and truth in a row; below the legend, with the shares of answer and truth together."""
    answer = runtime.segment(sample.image[None])[0]
    stride = -(-sample.image.shape[1] // _WIDEST)
    image, answer, truth = (array[::stride, ::stride] for array in (sample.image, answer, sample.labels))
    maps = np.hstack([np.full_like(answer, IGNORE), answer, truth])
    return overlay(np.hstack([image] * 3), maps, runtime.label_space, shares(maps, runtime.label_space), 0.6)


def _joined(reports: Sequence[Report]) -> Report:
    """One report of the shares of one data set: every count added up."""
    parts: dict[tuple[int, ...] | None, Part] = {}
    for part in (part for report in reports for part in report.parts):
        known = parts.setdefault(part.annotated, Part(part.annotated, Counts.none(len(reports[0].label_space))))
        known.counts += part.counts
        known.sizes += part.sizes
    ordered = sorted(parts.values(), key=lambda part: (part.annotated is not None, part.annotated or ()))
    return replace(reports[0], parts=tuple(ordered), images=tuple(one for report in reports for one in report.images))


def hits(logits: Tensor, targets: Tensor, guesses: int) -> int:
    """How many pictures have their class among the network's first guesses.

    Args:
        logits: (N, classes).
        targets: (N,) int64.
        guesses: that count; of fewer classes all.
    """
    first = logits.topk(min(guesses, logits.shape[1]), 1).indices
    return int((first == targets[:, None]).any(1).sum())


def judge(
    network: Classifier, pictures: ClassFolders, recipe: Recipe, engine: Distributed, workers: int
) -> ValidationResult:
    """Scores a classifier on the middle of every picture, once, in float32, shared out over all processes.

    Args:
        network: left in the mode in which it is.
        pictures: of `val`.
        recipe: crop, channel order, batch.
        engine: processes and device.
        workers: that prepare batches, for each process.
    """
    top_1 = top_5 = 0
    pixels, was_training = normalization_of(recipe), network.training
    network.eval()
    with torch.inference_mode():
        for batch in validation_batches(pictures, recipe, workers, (engine.rank, engine.processes)):
            targets = batch.labels.to(engine.device)
            logits = network(normalize(batch.images.to(engine.device), pixels))
            top_1 += hits(logits, targets, 1)
            top_5 += hits(logits, targets, 5)
    network.train(was_training)
    first, fifth = engine.total([top_1, top_5])
    return ValidationResult({"top_1": first / len(pictures), "top_5": fifth / len(pictures)})
