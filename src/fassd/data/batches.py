"""Samples -> batches for training. What batch number n holds depends on the seed and n alone, not on workers."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fassd.core.errors import FassdError
from fassd.core.recipe import Recipe
from fassd.core.types import Sample
from fassd.data.dataset import Dataset
from fassd.data.transforms import augment

# Decoded images are kept in memory up to this size; beyond it they are read again each time.
CACHE_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Batch:
    """What one update sees.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        labels: (N, H, W) uint8, a class or IGNORE.
        marked: (N, classes) bool, or None where every class was marked in every image.
        names: of the samples.
    """

    images: Tensor
    labels: Tensor
    marked: Tensor | None
    names: tuple[str, ...]

    def parts(self, number: int) -> list[Batch]:
        """The batch cut into equal parts, in its order."""
        size = len(self.names) // number
        cuts = [slice(start, start + size) for start in range(0, size * number, size)]
        marked = self.marked
        return [
            Batch(self.images[cut], self.labels[cut], None if marked is None else marked[cut], self.names[cut])
            for cut in cuts
        ]


class Samples(Sequence[Sample]):
    """Several data sets as one sequence, decoded once and kept where memory allows."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._places = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
        self._kept: dict[int, Sample] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, position: int) -> Sample:  # type: ignore[override]
        if position in self._kept:
            return self._kept[position]
        dataset, index = self._places[position]
        sample = dataset[index]
        size = sample.image.nbytes + sample.labels.nbytes
        if self._bytes + size <= CACHE_BYTES:
            self._kept[position] = sample
            self._bytes += size
        return sample


def order_of(seed: int, step: int, batch: int, samples: int) -> list[int]:
    """The positions that update `step` (from 0) uses: a new shuffle for every pass, passes joined end to end.

    The published loader ends each pass with a smaller batch; here the next pass fills it.
    """
    positions = range(step * batch, (step + 1) * batch)
    shuffles = {
        passed: np.random.default_rng([seed, passed]).permutation(samples)
        for passed in {position // samples for position in positions}
    }
    return [int(shuffles[position // samples][position % samples]) for position in positions]


class _Crops(TorchDataset[Sample | FassdError]):
    """(step, slot, position) -> an augmented sample, its chance drawn from (seed, step, slot)."""

    def __init__(self, samples: Samples, recipe: Recipe) -> None:
        self._samples, self._recipe = samples, recipe

    def __getitem__(self, place: tuple[int, int, int]) -> Sample | FassdError:
        step, slot, position = place
        random = np.random.default_rng([self._recipe.seed, step, slot])
        try:
            return augment(self._samples[position], self._recipe.augmentation, random)
        except FassdError as error:
            # A worker's exception would arrive rewritten; ours travels as a value and is raised on arrival.
            return error


class _Order:
    """The steps still to do, as lists of (step, slot, position)."""

    def __init__(self, recipe: Recipe, samples: int, start: int, share: tuple[int, int]) -> None:
        self._recipe, self._samples, self._start = recipe, samples, start
        self._rank, self._processes = share

    def __len__(self) -> int:
        return self._recipe.iterations - self._start

    def __iter__(self) -> Iterator[list[tuple[int, int, int]]]:
        for step in range(self._start, self._recipe.iterations):
            positions = order_of(self._recipe.seed, step, self._recipe.batch, self._samples)
            places = [(step, slot, position) for slot, position in enumerate(positions)]
            yield places[self._rank :: self._processes]


def training_batches(
    samples: Samples, recipe: Recipe, start: int, workers: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """The batches of updates `start` to the last.

    Args:
        samples: to draw from.
        recipe: batch, crop, augmentation, seed, number of updates.
        start: first update, counted from 0; not 0 when a run goes on.
        workers: processes that prepare batches beside the training one; 0 prepares them in it.
        share: (rank, processes): which of the processes that train together this is, and how many there are. Each
            gets its part of every batch; together they get what one would.

    Raises:
        FassdError: what reading a sample raises.
    """
    loader: DataLoader[Sample | FassdError] = DataLoader(
        _Crops(samples, recipe),
        batch_sampler=_Order(recipe, len(samples), start, share),
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=leave_signals_to_parent,
        # Without one of its own it draws from the generator that a training state holds.
        generator=torch.Generator(),
    )
    for arrived in loader:
        yield _collate(arrived)


def leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and SIGTERM often go to a whole process group; the training process answers and ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _collate(arrived: list[Sample | FassdError]) -> Batch:
    samples = []
    for item in arrived:
        if isinstance(item, FassdError):
            raise item
        samples.append(item)
    partly = [sample.marked for sample in samples if sample.marked is not None]
    marked = None
    if partly:
        everything = np.ones_like(partly[0])
        rows = [everything if sample.marked is None else sample.marked for sample in samples]
        marked = torch.from_numpy(np.stack(rows))
    return Batch(
        torch.from_numpy(np.stack([sample.image for sample in samples])),
        torch.from_numpy(np.stack([sample.labels for sample in samples])),
        marked,
        tuple(sample.name for sample in samples),
    )
