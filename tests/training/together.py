"""What the processes of `test_distributed.py` run: train, validate or wait, and write the result.

python together.py WHAT DATA OUT
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import Normalization, read_checkpoint
from fassd.core.errors import FassdError
from fassd.core.recipe import recipe_from
from fassd.core.types import Event
from fassd.data.batches import Batch, Samples, training_batches
from fassd.data.open_dataset import open_dataset
from fassd.networks import inference
from fassd.networks.build import init_network, network_from_checkpoint
from fassd.networks.specs import network_by_name
from fassd.tasks.train import train
from fassd.training import train_step as train_step_module
from fassd.training.curves import Curves
from fassd.training.distributed import Distributed
from fassd.training.setup import TrainConfig, checkpoint_header, load_training_data
from fassd.training.train_step import SegmentationTrainStep
from fassd.training.validation import NanTolerantRuntime, Validator

VALUES = {
    "network": "fassd-net-l2",
    "iterations": 3,
    "batch_size": 4,
    "precision": "float32",
    "ema_decay": 0.9,
    "validate_every": 3,
    "augmentation": {"crop_size": (96, 128), "scale": (0.9, 1.5)},
    "loss": {"min_kept": 512, "aux_weight": 0.3, "class_weights": "inverse-log"},
    "optimizer": {"clip_grad_norm": 10.0},
}


def exact_iterations(data: str, out: Path) -> dict[str, object]:
    """Updates in float64, in which nothing is lost but by a fault: each of fresh weights, and one after the other."""

    def normalize(images: Tensor, normalization: Normalization) -> Tensor:
        return inference.normalize(images, normalization).double()

    train_step_module.normalize = normalize  # type: ignore[attr-defined]
    recipe = recipe_from(VALUES, "test")
    samples = Samples([open_dataset(data, "train")])
    distributed = Distributed(torch.device("cpu"))
    torch.set_default_dtype(torch.float64)

    def begun(seed: int) -> SegmentationTrainStep:
        return SegmentationTrainStep(
            init_network(network_by_name(recipe.network), 11, seed=seed), recipe, samples, distributed
        )

    batches = list(training_batches(samples, recipe, 0, 0, (distributed.rank, distributed.processes)))
    alone = [_trained(begun(step), [batch], step) for step, batch in enumerate(batches)]
    found = {"alone": alone, "in_a_row": [_trained(begun(0), batches, 0)]}
    torch.set_default_dtype(torch.float32)
    train_step_module.normalize = inference.normalize  # type: ignore[attr-defined]
    return {name: distributed.gather(value) for name, value in found.items()}


def _trained(train_step: SegmentationTrainStep, batches: list[Batch], first: int) -> dict[str, list[float]]:
    """Results of iterations, and norms of the weights, momenta, averages and statistics after them."""
    results = [train_step(batch, step) for step, batch in enumerate(batches, first)]
    tensors = {name: value for name, value in train_step.tensors().items() if value.is_floating_point()}
    return {
        "losses": [one.loss for one in results],
        "gradients": [one.grad_norm for one in results],
        "lengths": [float(value.norm()) for value in tensors.values()],
    }


def whole_training(data: str, out: Path) -> dict[str, object]:
    """A training with its validation, as users start it."""
    Curves.draw = lambda self: None  # type: ignore[method-assign]
    events: list[Event] = []
    config = TrainConfig(recipe_from(VALUES, "test"), [data], out / "run", workers=0, trackers=())
    progress = train(config, events.append)
    return {"iteration": progress.iteration, "kinds": [event.kind for event in events]}


def scores(data: str, out: Path) -> dict[str, object]:
    """What weights that ship score, pixel by pixel."""
    path = locate_weights("fassd-net-l2-camvid")
    config = TrainConfig(recipe_from(VALUES, "test"), [data], out)
    training_data = load_training_data(config)
    network = network_from_checkpoint(read_checkpoint(path), path)
    validator = Validator(
        training_data.val_sets,
        checkpoint_header(config, training_data),
        Distributed(torch.device("cpu")),
        out / "samples",
    )
    with NanTolerantRuntime(network, validator.header, "cpu") as runtime:
        (report,) = validator.reports(runtime)
    result = validator(network, 0)
    return {
        "confusion": [part.counts.confusion.tolist() for part in report.parts],
        "scored": [one.name for one in report.images],
        "figures": result.figures,
        "iou": result.iou,
    }


def endless_training(data: str, out: Path) -> object:
    """Trains until something stops it."""
    Curves.draw = lambda self: None  # type: ignore[method-assign]
    endless = recipe_from({**VALUES, "iterations": 100_000, "validate_every": 100_000}, "test")
    train(TrainConfig(endless, [data], out / "run", workers=0, trackers=()))
    return None


def both(data: str, out: Path) -> object:
    """All of these, for starting a process takes longer than any."""
    return {**exact_iterations(data, out), **scores(data, out), **whole_training(data, out)}


WHAT: dict[str, Callable[[str, Path], object]] = {"both": both, "endless": endless_training}

if __name__ == "__main__":
    what, data, out = sys.argv[1:]
    try:
        result = WHAT[what](data, Path(out))
    except FassdError as error:
        print(f"fassd: {error}", file=sys.stderr)
        sys.exit(2)
    if os.environ.get("RANK", "0") == "0":
        (Path(out) / "found.json").write_text(json.dumps(result))
