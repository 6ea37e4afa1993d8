"""Samples -> batches for training. What batch number n holds depends on the seed and n alone, not on workers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fassd.core.arrays import Image, Labels
from fassd.core.errors import FassdError, ImageError
from fassd.core.recipe import Recipe
from fassd.core.types import AnnotatedClasses, Sample
from fassd.data.dataset import Dataset
from fassd.data.quick_labels import read_values_quickly
from fassd.data.sample_cache import KeptSamples, Size, memory_to_keep
from fassd.data.shared_memory import Array, Exchange, Layout, SharedBytes
from fassd.data.transforms import augment
from fassd.media.images import read_size

Place = tuple[int, int, int]
"""Update, slot in its batch, position of the sample."""

_AHEAD = 2
"""Batches that each worker prepares beforehand."""


@dataclass(frozen=True)
class Batch:
    """What one update sees.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        labels: (N, H, W) uint8, a class or IGNORE; of pictures with one class each (N,) int64.
        annotated: (N, classes) bool, or None where every class was annotated in every image.
        names: of the samples.
    """

    images: Tensor
    labels: Tensor
    annotated: Tensor | None
    names: tuple[str, ...]

    def parts(self, number: int) -> list[Batch]:
        """The batch cut into equal parts, in its order."""
        size = len(self.names) // number
        cuts = [slice(start, start + size) for start in range(0, size * number, size)]
        annotated = self.annotated
        return [
            Batch(self.images[cut], self.labels[cut], None if annotated is None else annotated[cut], self.names[cut])
            for cut in cuts
        ]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        annotated = None if self.annotated is None else self.annotated.to(device)
        return Batch(self.images.to(device), self.labels.to(device), annotated, self.names)


@dataclass(frozen=True)
class Example:
    """One image of a batch; see there."""

    name: str
    image: Image
    labels: np.ndarray[Any, Any]
    annotated: AnnotatedClasses | None = None


class Samples(Sequence[Sample]):
    """Several data sets as one sequence, each sample decoded once and kept where memory allows.

    Args:
        datasets: whose samples follow each other.
        factor: by how much images are resized at most; JPEG may come reduced, see `read_image`.
        room: bytes for decoded samples, shared with worker processes; None takes what `memory_to_keep` says.
    """

    def __init__(self, datasets: Sequence[Dataset], factor: float = 1.0, room: int | None = None) -> None:
        self._places = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
        self._factor = factor
        sizes = (self._sizes(dataset.pairs[index].image) for dataset, index in self._places)
        self._memory = KeptSamples(sizes, memory_to_keep() if room is None else room)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def kept(self) -> int:
        """How many of the samples stay in memory once they were read."""
        return len(self._memory)

    def __getitem__(self, position: int) -> Sample:  # type: ignore[override]
        dataset, index = self._places[position]
        found = self._memory.get(position)
        if found is not None:
            return Sample(dataset.pairs[index].name, *found, dataset.annotated(index))
        sample = dataset.read(index, self._factor, read_values_quickly)
        self._memory.put(position, sample.image, sample.labels)
        return sample

    def labels(self) -> Iterator[Labels]:
        """The labels of one sample after the other; images are not read for them."""
        for position, (dataset, index) in enumerate(self._places):
            found = self._memory.get(position)
            yield dataset.read_labels(index, read_values_quickly) if found is None else found[1]

    def _sizes(self, image: Path) -> tuple[Size, Size] | None:
        """Of an image and its labels; None if its header is damaged, which is for the one who needs it to say."""
        try:
            return read_size(image, self._factor), read_size(image)
        except ImageError:
            return None


def order_of(seed: int, step: int, batch: int, samples: int) -> list[int]:
    """The positions that update `step` (from 0) uses: a new shuffle for every pass, passes joined end to end.

    The published loader ends each pass with a smaller batch; here the next pass fills it.
    """
    positions = range(step * batch, (step + 1) * batch)
    return [int(_shuffled(seed, position // samples, samples)[position % samples]) for position in positions]


@lru_cache(maxsize=2)
def _shuffled(seed: int, passed: int, samples: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order of a pass, kept from one update to the next: of a million samples it takes longer than a batch may."""
    return np.random.default_rng([seed, passed]).permutation(samples)


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
    places = places_of(recipe, len(samples), start, share)
    return load(
        partial(_crop, samples, recipe), places, workers, 4 * recipe.batch_size * prod(recipe.augmentation.crop_size)
    )


def _crop(samples: Samples, recipe: Recipe, place: Place) -> Example:
    """An augmented sample, its chance drawn from (seed, update, slot)."""
    step, slot, position = place
    random = np.random.default_rng([recipe.seed, step, slot])
    crop = augment(samples[position], recipe.augmentation, random)
    return Example(crop.name, crop.image, crop.labels, crop.annotated)


def places_of(recipe: Recipe, samples: int, start: int, share: tuple[int, int]) -> Iterator[list[Place]]:
    """A process's share of each batch from update `start` to the last; see `training_batches`."""
    rank, processes = share
    for step in range(start, recipe.iterations):
        positions = order_of(recipe.seed, step, recipe.batch_size, samples)
        yield [(step, slot, position) for slot, position in enumerate(positions)][rank::processes]


def load(make: Callable[[Place], Example], places: Iterable[list[Place]], workers: int, size: int) -> Iterator[Batch]:
    """Batches of what is made for each place, in order.

    Args:
        make: gets a place; called in the worker processes.
        places: those of each batch.
        workers: processes; 0 makes all in this one.
        size: bytes of the largest batch's images and labels.

    Raises:
        FassdError: what `make` raises; or a worker process was killed.
    """
    exchange = _exchange(workers, size)
    loader: DataLoader[_Made | FassdError] = DataLoader(
        _Maker(make, exchange),
        # Any object may stand for a batch; `_Maker` gets it whole.
        batch_sampler=enumerate(places),  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_signals_to_parent,
        # Without one of its own it draws from the generator that a training state holds.
        generator=torch.Generator(),
    )
    for number, made in enumerate(_watched(loader)):
        if isinstance(made, FassdError):
            raise made
        images, labels = made.arrays if exchange is None else exchange.take(number, made.layouts)
        annotated = None if made.annotated is None else torch.from_numpy(made.annotated)
        yield Batch(torch.from_numpy(images), torch.from_numpy(labels), annotated, made.names)


def _watched(loader: DataLoader[_Made | FassdError]) -> Iterator[_Made | FassdError]:
    """What a loader gives, for whoever should know what it means that a worker is gone."""
    try:
        yield from loader
    except RuntimeError as error:
        # PyTorch has no class for it.
        if not str(error).startswith("DataLoader worker"):
            raise
        raise FassdError(
            "a process that prepares batches was killed, most often because memory ran out; go on from the last "
            "training state with --resume, and with fewer --workers"
        ) from None


def _exchange(workers: int, size: int) -> Exchange | None:
    """What batches come through; None where a pipe has to do."""
    if not workers or not SharedBytes.travel:
        return None
    try:
        return Exchange(_AHEAD * workers + 1, size)
    except OSError:  # a limit of the shell's, ulimit
        return None


@dataclass(frozen=True)
class _Made:
    """A batch on its way: images and labels themselves, or what describes them in an exchange."""

    arrays: list[Array]
    layouts: list[Layout]
    annotated: np.ndarray[Any, np.dtype[np.bool_]] | None
    names: tuple[str, ...]


class _Maker(TorchDataset[_Made | FassdError]):
    """Makes whole batches."""

    def __init__(self, make: Callable[[Place], Example], exchange: Exchange | None) -> None:
        self._make, self._exchange = make, exchange

    def __getitems__(self, numbered: tuple[int, list[Place]]) -> _Made | FassdError:
        number, places = numbered
        try:
            examples = [self._make(place) for place in places]
        except FassdError as error:
            # A worker's exception would arrive rewritten; ours travels as a value and is raised on arrival.
            return error
        stacks = [[example.image for example in examples], [example.labels for example in examples]]
        annotated, names = _annotated(examples), tuple(example.name for example in examples)
        if self._exchange is None:
            return _Made([np.stack(stack) for stack in stacks], [], annotated, names)
        return _Made([], self._exchange.leave(number, stacks), annotated, names)


def _annotated(examples: Sequence[Example]) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    partly = [example.annotated for example in examples if example.annotated is not None]
    if not partly:
        return None
    everything = np.ones_like(partly[0])
    return np.stack([everything if example.annotated is None else example.annotated for example in examples])


def _as_it_is(made: Any) -> Any:
    return made


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and SIGTERM often go to a whole process group; the training process answers and ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
