"""The accuracy that belongs to a measured speed: the same file, runtime and precision, on labeled images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from fassd.checks.quick_check import quick_check
from fassd.core.labels import LabelSpace
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.runtimes.open import open_runtime
from fassd.scoring.evaluate import NetworkPredictions, check_classes, score_network
from fassd.speed.protocol import Request
from fassd.speed.report import AUTHORS, ScoredOn


def check_labeled(data: str, split: str, spaces: Iterable[LabelSpace]) -> ScoredOn:
    """Finds out before anything is measured what would make scoring fail.

    Args:
        data: "kind:PATH".
        split: of these.
        spaces: the classes of the weights to score.

    Raises:
        UsageError: no such data, or other classes than the weights'.
        DataError, FileError: the files are not as the kind describes them.
    """
    for space in spaces:
        dataset = open_dataset(data, split, space)
        check_classes(dataset, space)
        quick_check(dataset)
    height, width = read_image(dataset.pairs[0].image).shape[:2]
    return ScoredOn(data, split, len(dataset), (height, width))


def mean_iou(request: Request, scored_on: ScoredOn) -> float | None:
    """Per cent, of the whole split, each image at its own size, as `fassd evaluate` scores it.

    The authors' way is scored as the runtime pytorch in float32, which gives the same answers.

    Args:
        request: of given weights.
        scored_on: labeled images, checked.

    Returns:
        None where nothing was scored: the split has no fully annotated images.
    """
    variant = request.variant
    runtime, precision = ("pytorch", "float32") if variant.runtime == AUTHORS else (variant.runtime, variant.precision)
    with open_runtime(Path(str(request.file)), variant.device, precision, runtime) as opened:
        dataset = open_dataset(scored_on.data, scored_on.split, opened.label_space)
        score = score_network(NetworkPredictions(opened, dataset), borders=False).parts[0].mean_iou
    return None if score is None else 100 * score
