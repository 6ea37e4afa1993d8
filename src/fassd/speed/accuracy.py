"""The accuracy that belongs to a measured speed: the same file, runtime and precision, on labeled images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from fassd.checks.quick_check import quick_check
from fassd.core.labels import LabelSpace
from fassd.core.types import Event, Watch
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.runtimes.open import open_runtime
from fassd.scoring.evaluate import NetworkPredictions, check_classes, score_network
from fassd.speed.protocol import Request
from fassd.speed.report import EAGER, ScoredOn


def check_labeled(data: str, split: str, spaces: Iterable[LabelSpace]) -> ScoredOn:
    """Finds what would make scoring fail, before anything is measured.

    Args:
        data: "kind:PATH".
        split: of these.
        spaces: the classes of the weights to score.

    Raises:
        UsageError: there are no such data, or their classes are not those of the weights.
        DataError, FileError: the files are not as the kind describes them.
    """
    for space in spaces:
        dataset = open_dataset(data, split, space)
        check_classes(dataset, space)
        quick_check(dataset)
    height, width = read_image(dataset.pairs[0].image).shape[:2]
    return ScoredOn(data, split, len(dataset), (height, width))


def score_given_weights(
    requests: Sequence[Request], scored_on: ScoredOn, watch: Watch
) -> Iterator[tuple[int, float | None]]:
    """Scores all requests with given weights; each image at its own size, so sizes and batches share one score.

    Args:
        requests: opened; those with random weights are not scored.
        scored_on: labeled images, checked.
        watch: gets "scored" after each evaluation.

    Yields:
        The index of a request, and its mean IoU in per cent, see `_mean_iou`.
    """
    indices_of: dict[Request, list[int]] = {}
    for index, request in enumerate(requests):
        if request.variant.weights is not None:
            variant = msgspec.structs.replace(request.variant, size=scored_on.size, batch=1)
            indices_of.setdefault(msgspec.structs.replace(request, variant=variant), []).append(index)
    for number, (request, indices) in enumerate(indices_of.items()):
        score = _mean_iou(request, scored_on)
        yield from ((index, score) for index in indices)
        watch(Event("scored", {"done": number + 1, "total": len(indices_of)}))


def _mean_iou(request: Request, scored_on: ScoredOn) -> float | None:
    """Per cent, of the entire split, as `fassd evaluate` scores it; None if no image of it is fully annotated.

    The eager reference is scored as the runtime pytorch in float32, which gives the same predictions.
    """
    variant = request.variant
    runtime, precision = ("pytorch", "float32") if variant.runtime == EAGER else (variant.runtime, variant.precision)
    with open_runtime(Path(str(request.file)), variant.device, precision, runtime) as opened:
        dataset = open_dataset(scored_on.data, scored_on.split, opened.label_space)
        score = score_network(NetworkPredictions(opened, dataset), borders=False).parts[0].mean_iou
    return None if score is None else 100 * score
