"""Samples -> batches. The content of training batch n depends only on the seed and n, not on the worker processes."""

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
from fassd.data.class_folders import ClassFolders, central_view, random_view
from fassd.data.dataset import Dataset
from fassd.data.mask_encoding import read_values_quickly
from fassd.data.sample_cache import SampleCache, Size, cache_bytes
from fassd.data.shared_memory import Array, Layout, SharedBatches, SharedBytes
from fassd.data.transforms import augment
from fassd.media.images import read_size

Slot = tuple[int, int, int]
"""Iteration, index in its batch, index of the sample."""

_AHEAD = 2
"""Batches that every worker prepares in advance."""


@dataclass(frozen=True)
class Batch:
    """The samples of one iteration.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        labels: (N, H, W) uint8, a class or IGNORE; for classification (N,) int64.
        annotated: (N, classes) bool, the classes annotated in each image; None means all in all.
        names: of the samples.
    """

    images: Tensor
    labels: Tensor
    annotated: Tensor | None
    names: tuple[str, ...]

    def parts(self, number: int) -> list[Batch]:
        """The batch cut into equal parts, in order."""
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
    """One image of a batch; see `Batch`."""

    name: str
    image: Image
    labels: np.ndarray[Any, Any]
    annotated: AnnotatedClasses | None = None


class Samples(Sequence[Sample]):
    """Several data sets as one sequence; every sample is decoded once and kept in memory as far as there is room.

    Args:
        datasets: their samples follow each other.
        factor: the largest factor by which images will be resized; JPEGs may come reduced, see `read_image`.
        room: bytes for decoded samples, shared with worker processes; None means `cache_bytes()`.
    """

    def __init__(self, datasets: Sequence[Dataset], factor: float = 1.0, room: int | None = None) -> None:
        self._pairs = [(dataset, index) for dataset in datasets for index in range(len(dataset))]
        self._factor = factor
        sizes = (self._sizes(dataset.pairs[index].image) for dataset, index in self._pairs)
        self._cache = SampleCache(sizes, cache_bytes() if room is None else room)

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def cached(self) -> int:
        """The number of samples that stay in memory once they were read."""
        return len(self._cache)

    def __getitem__(self, position: int) -> Sample:  # type: ignore[override]
        dataset, index = self._pairs[position]
        found = self._cache.get(position)
        if found is not None:
            return Sample(dataset.pairs[index].name, *found, dataset.annotated(index))
        sample = dataset.read(index, self._factor, read_values_quickly)
        self._cache.put(position, sample.image, sample.labels)
        return sample

    def labels(self) -> Iterator[Labels]:
        """The labels of all samples in order, without reading images."""
        for position, (dataset, index) in enumerate(self._pairs):
            found = self._cache.get(position)
            yield dataset.read_labels(index, read_values_quickly) if found is None else found[1]

    def _sizes(self, image: Path) -> tuple[Size, Size] | None:
        """The sizes of an image and its labels; None if its header is damaged, an error only when it is read."""
        try:
            return read_size(image, self._factor), read_size(image)
        except ImageError:
            return None


def training_batches(
    samples: Samples | ClassFolders, recipe: Recipe, start: int, workers: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """The batches of iterations `start` to the last, randomly augmented.

    Args:
        samples: labeled images, or images of known class.
        recipe: batch size, crop size, augmentation, seed, iterations.
        start: first iteration, counted from 0; not 0 when a run is resumed.
        workers: processes that prepare batches; 0 prepares them in this process.
        share: (rank, processes) of this process among those that train together. Each gets its part of every batch;
            together they get the batches that a single process would.

    Raises:
        FassdError: a sample cannot be read, or a worker process was killed.
    """
    make = (
        partial(_random_crop, samples, recipe)
        if isinstance(samples, Samples)
        else partial(_random_view, samples, recipe)
    )
    return _load(make, _slots(recipe, len(samples), start, share), workers, recipe)


def validation_batches(
    images: ClassFolders, recipe: Recipe, workers: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """The central view of every image, once; arguments as of `training_batches`. The last batch may be smaller."""
    rank, processes = share
    own = range(rank, len(images), processes)
    size = max(1, recipe.batch_size // processes)
    slots = ([(0, 0, position) for position in own[first : first + size]] for first in range(0, len(own), size))
    return _load(partial(_central_view, images, recipe), slots, workers, recipe)


def _random_crop(samples: Samples, recipe: Recipe, slot: Slot) -> Example:
    iteration, index, position = slot
    crop = augment(samples[position], recipe.augmentation, np.random.default_rng([recipe.seed, iteration, index]))
    return Example(crop.name, crop.image, crop.labels, crop.annotated)


def _random_view(images: ClassFolders, recipe: Recipe, slot: Slot) -> Example:
    iteration, index, position = slot
    views, random = recipe.augmentation, np.random.default_rng([recipe.seed, iteration, index])
    image = random_view(images.image(position, views), views, random)
    return Example(images.names[position], image, np.array(images.targets[position]))


def _central_view(images: ClassFolders, recipe: Recipe, slot: Slot) -> Example:
    position = slot[-1]
    image = central_view(images.image(position), recipe.augmentation.crop_size)
    return Example(images.names[position], image, np.array(images.targets[position]))


def _slots(recipe: Recipe, samples: int, start: int, share: tuple[int, int]) -> Iterator[list[Slot]]:
    """This process's share of every batch from iteration `start` on; see `training_batches`."""
    rank, processes = share
    for iteration in range(start, recipe.iterations):
        positions = order_of(recipe.seed, iteration, recipe.batch_size, samples)
        yield [(iteration, index, position) for index, position in enumerate(positions)][rank::processes]


def order_of(seed: int, iteration: int, batch: int, samples: int) -> list[int]:
    """The samples of an iteration, counted from 0: every epoch is a new shuffle, and epochs follow without a gap.

    The published loader ends an epoch with a smaller batch; here the next epoch fills that batch.
    """
    positions = range(iteration * batch, (iteration + 1) * batch)
    return [int(_shuffled(seed, position // samples, samples)[position % samples]) for position in positions]


@lru_cache(maxsize=2)
def _shuffled(seed: int, epoch: int, samples: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The order of an epoch; cached, because shuffling a million samples takes longer than preparing a batch."""
    return np.random.default_rng([seed, epoch]).permutation(samples)


def _load(
    make: Callable[[Slot], Example], slots: Iterable[list[Slot]], workers: int, recipe: Recipe
) -> Iterator[Batch]:
    """Batches of the examples that `make` returns for the slots of every batch, in order; see `training_batches`."""
    # An RGB pixel and its label, or 8 bytes for the class of an image.
    shared = _shared_batches(workers, recipe.batch_size * (4 * prod(recipe.augmentation.crop_size) + 8))
    loader: DataLoader[_Made | FassdError] = DataLoader(
        _Maker(make, shared),
        # Any object may describe a batch; `_Maker` gets it unchanged.
        batch_sampler=enumerate(slots),  # type: ignore[arg-type]
        num_workers=workers,
        prefetch_factor=_AHEAD if workers else None,
        collate_fn=_unchanged,
        worker_init_fn=_leave_signals_to_parent,
        # Without its own generator it would draw from the global one, which is part of the training state.
        generator=torch.Generator(),
    )
    try:
        for number, made in enumerate(loader):
            if isinstance(made, FassdError):
                raise made
            images, labels = made.arrays if shared is None else shared.take(number, made.layouts)
            annotated = None if made.annotated is None else torch.from_numpy(made.annotated)
            yield Batch(torch.from_numpy(images), torch.from_numpy(labels), annotated, made.names)
    except RuntimeError as error:
        # PyTorch has no class for it.
        if not str(error).startswith("DataLoader worker"):
            raise
        raise FassdError(
            "a process that prepares batches was killed, most often because memory ran out; use --resume to continue "
            "from the last training state, with fewer --workers"
        ) from None


def _shared_batches(workers: int, size: int) -> SharedBatches | None:
    """Shared memory for the workers' batches; None where they have to go through a pipe."""
    if not workers or not SharedBytes.picklable:
        return None
    try:
        return SharedBatches(_AHEAD * workers + 1, size)
    except OSError:  # a limit set by ulimit
        return None


@dataclass(frozen=True)
class _Made:
    """A batch in transit: images and labels as arrays, or their layouts in shared memory."""

    arrays: list[Array]
    layouts: list[Layout]
    annotated: np.ndarray[Any, np.dtype[np.bool_]] | None
    names: tuple[str, ...]


class _Maker(TorchDataset[_Made | FassdError]):
    """Makes complete batches, in a worker process."""

    def __init__(self, make: Callable[[Slot], Example], shared: SharedBatches | None) -> None:
        self._make, self._shared = make, shared

    def __getitems__(self, numbered: tuple[int, list[Slot]]) -> _Made | FassdError:
        number, slots = numbered
        try:
            examples = [self._make(slot) for slot in slots]
        except FassdError as error:
            # PyTorch would rewrite a worker's exception, so ours is returned as a value and raised on arrival.
            return error
        stacks = [[example.image for example in examples], [example.labels for example in examples]]
        annotated, names = _annotated(examples), tuple(example.name for example in examples)
        if self._shared is None:
            return _Made([np.stack(stack) for stack in stacks], [], annotated, names)
        return _Made([], self._shared.put(number, stacks), annotated, names)


def _annotated(examples: Sequence[Example]) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    partly = [example.annotated for example in examples if example.annotated is not None]
    if not partly:
        return None
    everything = np.ones_like(partly[0])
    return np.stack([everything if example.annotated is None else example.annotated for example in examples])


def _unchanged(made: Any) -> Any:
    return made


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C and SIGTERM often go to a process group; the training process handles them and ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
