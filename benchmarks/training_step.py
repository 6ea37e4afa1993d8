"""A training iteration against the published loop, part by part, from files to updated weights.

    FASSD_DATA=../shared/data python benchmarks/training_step.py --save
    python benchmarks/training_step.py --batch 16 --network fassd-net

Published: float32, NCHW, entire images resized and then padded and cropped, normalized in float32, logits upsampled,
every image's losses sorted, weight decay on all parameters. Ours: what `fassd train camvid-published` does. Both have
the same network, batch and crop, and run in this process, without worker processes. Their iterations are interleaved,
so that load slows both alike. Data are CamVid in $FASSD_DATA, or else rendered streets, and fit in memory: we decode an
image once, the published loop every time; "speedup_decoded" omits decoding. Figures are medians of the rounds.
"--clock core" measures processor time on one core, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import msgspec
import numpy as np
import torch
from loss import published as published_loss  # type: ignore[import-not-found]
from PIL import Image as Pillow
from torch import Tensor

from fassd.core.arrays import IGNORE
from fassd.core.checkpoint import BGR_NORMALIZATION
from fassd.core.machine import describe_machine, load_before, usable_cores
from fassd.core.recipe import Recipe, locate_recipe, read_recipe
from fassd.data.batches import Samples, order_of, training_batches
from fassd.data.dataset import Dataset
from fassd.data.open_dataset import open_dataset
from fassd.networks.build import init_network
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import network_by_name
from fassd.synthesis.write import Streets
from fassd.tasks.synthesize import synthesize
from fassd.training import train_step as update_module
from fassd.training.distributed import Distributed
from fassd.training.loss import bootstrapped_cross_entropy
from fassd.training.train_step import SegmentationTrainStep

Clock: TypeAlias = Callable[[], float]

CLOCKS = {"wall": time.perf_counter, "core": time.process_time}
PARTS = ("decode", "augment", "forward", "loss", "backward", "optimizer")


def main() -> None:
    """Measures, prints, and saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="fassd-net-l2")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--crop", type=int, nargs=2, default=(360, 480), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="ours")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    busy = load_before(usable_cores())
    if given.clock == "core":
        torch.set_num_threads(1)
    overrides = {
        "network": given.network,
        "batch_size": given.batch,
        "precision": given.precision,
        "augmentation.crop_size": list(given.crop),
    }
    recipe = read_recipe(locate_recipe("camvid-published"), overrides)
    with tempfile.TemporaryDirectory() as folder:
        row = _measure(recipe, _dataset(Path(folder)), given.rounds, CLOCKS[given.clock])
    print(json.dumps(row, indent=2))
    if given.save:
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        results = {"date": date, "machine": msgspec.to_builtins(describe_machine()), "busy": busy, "row": row}
        path = (
            Path(__file__).parent / "results" / f"{date}-training-step{'-core' if given.clock == 'core' else ''}.json"
        )
        path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _dataset(folder: Path) -> Dataset:
    camvid = Path(os.environ.get("FASSD_DATA", "nowhere")) / "camvid"
    if camvid.is_dir():
        return open_dataset(f"camvid:{camvid}", "train")
    synthesize(folder, Streets(images=16, size=(360, 480)))
    return open_dataset(f"cityscapes:{folder}", "train")


def _measure(recipe: Recipe, dataset: Dataset, rounds: int, clock: Clock) -> dict[str, Any]:
    ours, published = Ours(recipe, dataset), Published(recipe, dataset)
    seconds: dict[str, list[dict[str, float]]] = {"published": [], "ours": []}
    for number in range(rounds + 1):
        for name, step in (("published", published), ("ours", ours)):
            parts = step(number, Watch(clock))
            if number:  # the first round warms up
                seconds[name].append(parts)
    images = {name: _images_per_second(recipe.batch_size, taken) for name, taken in seconds.items()}
    decoded = [{part: one for part, one in parts.items() if part != "decode"} for parts in seconds["published"]]
    return {
        "network": recipe.network,
        "data": f"{dataset.name}, {len(dataset)} images",
        "batch_size": recipe.batch_size,
        "crop": recipe.augmentation.crop_size,
        "threads": torch.get_num_threads(),
        "clock": clock.__name__,
        "precision": str(ours.update.precision).removeprefix("torch."),
        "kept_in_float32": ours.update.unsafe_bf16_convs,
        "ms": {name: _medians(taken) for name, taken in seconds.items()},
        "images_per_second": {name: round(one, 2) for name, one in images.items()},
        "speedup": round(images["ours"] / images["published"], 2),
        "speedup_decoded": round(images["ours"] / _images_per_second(recipe.batch_size, decoded), 2),
    }


def _images_per_second(batch: int, taken: list[dict[str, float]]) -> float:
    return batch / statistics.median(sum(parts.values()) for parts in taken)


def _medians(taken: list[dict[str, float]]) -> dict[str, float]:
    return {part: round(1e3 * statistics.median(parts.get(part, 0.0) for parts in taken), 1) for part in PARTS}


class Watch:
    """A stop-watch: the seconds between moments, named by the part that ends there."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._moments = clock, [("", clock())]

    def ended(self, part: str) -> None:
        """Marks the end of a part."""
        self._moments.append((part, self._clock()))

    def seconds(self) -> dict[str, float]:
        """Of every part; parts that end several times are summed."""
        taken: dict[str, float] = {}
        for (_, since), (part, until) in pairwise(self._moments):
            taken[part] = taken.get(part, 0.0) + until - since
        return taken


class Ours:
    """Our iteration, as in training."""

    def __init__(self, recipe: Recipe, dataset: Dataset) -> None:
        samples = Samples([dataset])
        for position in range(len(samples)):
            samples[position]
        self._batches = training_batches(samples, recipe, 0, 0)
        self.update = SegmentationTrainStep(
            _network(recipe, dataset), recipe, samples, Distributed(torch.device("cpu"))
        )
        optimizer = self.update._optimizer
        optimizer.register_step_pre_hook(lambda *_: self._watch.ended("backward"))
        optimizer.register_step_post_hook(lambda *_: self._watch.ended("optimizer"))

    def __call__(self, number: int, watch: Watch) -> dict[str, float]:
        """One iteration: the seconds of its parts."""
        self._watch = watch
        batch = next(self._batches)
        self._watch.ended("augment")
        with mock.patch.object(update_module, "bootstrapped_cross_entropy", self._lose):
            self.update(batch, number)
        self._watch.ended("optimizer")
        return watch.seconds()

    def _lose(self, *arguments: Any, **options: Any) -> Tensor:
        """The loss; it computes its gradient by the logits at once."""
        self._watch.ended("forward")
        loss = bootstrapped_cross_entropy(*arguments, **options)
        self._watch.ended("loss")
        return loss


class Published:
    """The loop of the authors' code: the same operations in the same order."""

    def __init__(self, recipe: Recipe, dataset: Dataset) -> None:
        self._recipe, self._dataset, self._random = recipe, dataset, np.random.default_rng(0)
        self._network = _network(recipe, dataset).train()
        values = recipe.optimizer
        self._optimizer = torch.optim.SGD(
            self._network.parameters(), values.lr, values.momentum, weight_decay=values.weight_decay
        )

    def __call__(self, number: int, watch: Watch) -> dict[str, float]:
        """One iteration: the seconds of its parts."""
        images, labels = self._batch(number, watch)
        self._optimizer.zero_grad()
        logits = self._network(images)
        watch.ended("forward")
        coarse = logits.detach().requires_grad_()
        published_loss(coarse, labels).backward()
        watch.ended("loss")
        logits.backward(coarse.grad)
        watch.ended("backward")
        self._optimizer.step()
        watch.ended("optimizer")
        return watch.seconds()

    def _batch(self, number: int, watch: Watch) -> tuple[Tensor, Tensor]:
        images, labels = [], []
        for position in order_of(self._recipe.seed, number, self._recipe.batch_size, len(self._dataset)):
            sample = self._dataset[position]
            watch.ended("decode")
            image, truth = self._augment(Pillow.fromarray(sample.image), Pillow.fromarray(sample.labels))
            mean, std = (np.array(values, np.float32) for values in (BGR_NORMALIZATION.mean, BGR_NORMALIZATION.std))
            planes = ((image[..., ::-1].astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)
            images.append(torch.from_numpy(np.ascontiguousarray(planes)))
            labels.append(torch.from_numpy(truth.astype(np.int64)))
            watch.ended("augment")
        batch = torch.stack(images), torch.stack(labels)
        watch.ended("augment")
        return batch

    def _augment(self, image: Pillow.Image, labels: Pillow.Image) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Flip, resize, pad both ends by what is missing, crop."""
        values, random = self._recipe.augmentation, self._random
        if random.random() < values.hflip:
            image, labels = (one.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT) for one in (image, labels))
        factor = random.uniform(*values.scale)
        size = int(image.width * factor), int(image.height * factor)
        pixels = np.asarray(image.resize(size, Pillow.Resampling.BILINEAR))
        truth = np.asarray(labels.resize(size, Pillow.Resampling.NEAREST))
        short = [(max(0, crop - side),) * 2 for crop, side in zip(values.crop_size, truth.shape, strict=True)]
        pixels, truth = np.pad(pixels, [*short, (0, 0)]), np.pad(truth, short, constant_values=IGNORE)
        top, left = (
            int(random.integers(side - crop + 1)) for side, crop in zip(truth.shape, values.crop_size, strict=True)
        )
        here = slice(top, top + values.crop_size[0]), slice(left, left + values.crop_size[1])
        return pixels[here], truth[here]


def _network(recipe: Recipe, dataset: Dataset) -> SegmentationNetwork:
    return init_network(network_by_name(recipe.network), len(dataset.label_space), recipe.alpha, recipe.seed)


if __name__ == "__main__":
    main()
