"""Training: recipe and data -> a run's folder with its best checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

import fassd
from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import Header, Score, read_checkpoint, write_checkpoint
from fassd.core.errors import MissingSplit, UsageError
from fassd.core.labels import LabelSpace
from fassd.core.recipe import Recipe
from fassd.core.types import Watch, ignore_events
from fassd.data.batches import Samples
from fassd.data.dataset import Dataset
from fassd.data.kinds import open_together
from fassd.networks.build import checkpoint_of, fresh_network, load_arrays, take_encoder
from fassd.networks.network import SegmentationNetwork
from fassd.networks.table import network_by_name
from fassd.runtimes.pytorch import PyTorchRuntime, open_device
from fassd.tasks.evaluate import evaluate, overall_mean_iou
from fassd.training.fit import Setting, fit, pixels_of
from fassd.training.run import Progress, Run


@dataclass(frozen=True)
class TrainingOrder:
    """What the user asked for.

    Attributes:
        recipe: every value of the training.
        data: data sets as "kind:PATH"; the first one's label space is the network's.
        out: folder of the run.
        resume: go on from the run's training state.
        encoder: encoder-only checkpoint to start from; None starts fresh.
        start: shipped weights by name, or a checkpoint, of the same network and classes; None starts fresh.
        device: "cpu", "cuda" or "cuda:N".
        workers: processes that prepare batches.
    """

    recipe: Recipe
    data: Sequence[str]
    out: Path
    resume: bool = False
    encoder: Path | None = None
    start: str | None = None
    device: str = "cpu"
    workers: int = 1


def train(order: TrainingOrder, watch: Watch = ignore_events) -> Progress:
    """Trains as ordered, from the start or from where the run stands.

    The best checkpoint by the mean IoU on the `val` splits is `best.safetensors` in the run's folder.

    Raises:
        FassdError: whatever is wrong with recipe, data, folder or checkpoint, before the first update where it can
            be known.
    """
    recipe = order.recipe
    if order.encoder is not None and order.start is not None:
        raise UsageError("--encoder and --start both say what to begin with; give one of them")
    spec = network_by_name(recipe.network)
    spec.check_size(*recipe.augmentation.crop, "augmentation.crop")
    learned, scored = open_together(order.data, "train"), _validation_sets(order.data)
    space = learned[0].label_space
    run = Run(order.out)
    device = open_device(order.device)
    if order.resume:
        _check_resumable(run.read_progress(), recipe, learned)
    network = fresh_network(spec, len(space), recipe.alpha, recipe.seed)
    if not order.resume:
        _start_from(network, order, space)
        run.begin(recipe)
    header = _header(order, space, learned)

    def validate(current: SegmentationNetwork) -> float:
        runtime = PyTorchRuntime(current, header, order.device)
        return overall_mean_iou(evaluate(runtime, dataset) for dataset in scored)

    def save_best(current: SegmentationNetwork, step: int, mean_iou: float | None) -> None:
        scores = [] if mean_iou is None else [_score(scored, mean_iou, len(space))]
        named = msgspec.structs.replace(header, scores=scores, origin=f"{header.origin}, after update {step}")
        write_checkpoint(run.best_path, checkpoint_of(current, named))

    setting = Setting(
        recipe,
        Samples(learned),
        run,
        validate if scored else None,
        save_best,
        device,
        order.workers,
        watch,
    )
    return fit(network, setting, order.resume)


def _validation_sets(data: Sequence[str]) -> list[Dataset]:
    """The `val` splits, where every data set has one; none otherwise, for a score over some of them would mislead."""
    try:
        return open_together(data, "val")
    except MissingSplit:
        return []


def _check_resumable(progress: Progress, recipe: Recipe, learned: Sequence[Dataset]) -> None:
    samples = sum(len(dataset) for dataset in learned)
    if progress.recipe != recipe:
        changed = [name for name in Recipe.__struct_fields__ if getattr(progress.recipe, name) != getattr(recipe, name)]
        raise UsageError(f"the run was begun with another recipe ({', '.join(changed)} differ); resume with its own")
    if progress.samples != samples:
        raise UsageError(
            f"the run was begun on {progress.samples} samples, now there are {samples}; resume with its data"
        )


def _start_from(network: SegmentationNetwork, order: TrainingOrder, space: LabelSpace) -> None:
    if order.encoder is not None:
        take_encoder(network, read_checkpoint(order.encoder).arrays, order.encoder)
    if order.start is not None:
        path = locate_weights(order.start)
        load_arrays(network, read_checkpoint(path).arrays, path, f"{network.spec.name} with {len(space)} classes")


def _header(order: TrainingOrder, space: LabelSpace, learned: Sequence[Dataset]) -> Header:
    data: list[dict[str, Any]] = [
        {"name": one.name, "split": one.split, "images": len(one), "terms": one.terms} for one in learned
    ]
    terms = "; ".join(dict.fromkeys(one.terms for one in learned if one.terms))
    return Header(
        network=order.recipe.network,
        alpha=order.recipe.alpha,
        label_space=space,
        pixels=pixels_of(order.recipe),
        recipe=msgspec.to_builtins(order.recipe),
        data=data,
        terms=terms,
        origin="trained by fassd" + (f" from {Path(order.start).stem}" if order.start else ""),
        version=fassd.__version__,
    )


def _score(scored: Sequence[Dataset], mean_iou: float, classes: int) -> Score:
    return Score(
        data=" + ".join(dataset.name for dataset in scored),
        split="val",
        images=sum(len(dataset) for dataset in scored),
        mean_iou=mean_iou,
        pixel_accuracy=None,
        classes=classes,
        command="validation while training",
    )
