"""Pictures of known class -> batches. What update n sees depends on the seed and n alone, as in `batches.py`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fassd.core.arrays import Image
from fassd.core.errors import FassdError
from fassd.core.recipe import Recipe
from fassd.data.batches import leave_signals_to_parent, order_of
from fassd.data.class_folders import ClassFolders, central_view, random_view


@dataclass(frozen=True)
class ClassBatch:
    """Some pictures.

    Attributes:
        images: (N, H, W, 3) uint8 RGB.
        targets: (N,) int64, the class of each.
        names: of the pictures.
    """

    images: Tensor
    targets: Tensor
    names: tuple[str, ...]


@dataclass(frozen=True)
class _View:
    image: Image
    target: int
    name: str


_Place = tuple[int, int, int]


class _Views(TorchDataset[_View | FassdError]):
    """(step, slot, position) -> a view of a picture: a random one for a step, the central one for step -1."""

    def __init__(self, pictures: ClassFolders, recipe: Recipe) -> None:
        self._pictures, self._recipe = pictures, recipe

    def __getitem__(self, place: _Place) -> _View | FassdError:
        step, slot, position = place
        pictures, augmentation = self._pictures, self._recipe.augmentation
        try:
            image = pictures.image(position)
        except FassdError as error:
            # A worker's exception would arrive rewritten; ours travels as a value and is raised on arrival.
            return error
        if step < 0:
            view = central_view(image, augmentation.crop)
        else:
            view = random_view(image, augmentation, np.random.default_rng([self._recipe.seed, step, slot]))
        return _View(view, pictures.targets[position], pictures.names[position])


def views_to_learn(
    pictures: ClassFolders, recipe: Recipe, start: int, workers: int, share: tuple[int, int] = (0, 1)
) -> Iterator[ClassBatch]:
    """The batches of updates `start` to the last.

    Args:
        pictures: to draw from.
        recipe: batch, crop, augmentation, seed, number of updates.
        start: first update, counted from 0; not 0 when a run goes on.
        workers: processes that prepare batches beside the training one; 0 prepares them in it.
        share: (rank, processes): each process gets its part of every batch.

    Raises:
        FassdError: what reading a picture raises.
    """
    rank, processes = share

    def places() -> Iterator[list[_Place]]:
        for step in range(start, recipe.iterations):
            positions = order_of(recipe.seed, step, recipe.batch, len(pictures))
            yield [(step, slot, position) for slot, position in enumerate(positions)][rank::processes]

    return _load(_Views(pictures, recipe), places(), workers)


def views_to_judge(
    pictures: ClassFolders, recipe: Recipe, workers: int, share: tuple[int, int] = (0, 1)
) -> Iterator[ClassBatch]:
    """The central view of each picture, once; see `views_to_learn`. The last batch may be smaller."""
    rank, processes = share
    own = range(rank, len(pictures), processes)
    size = max(1, recipe.batch // processes)
    places = ([(-1, 0, position) for position in own[first : first + size]] for first in range(0, len(own), size))
    return _load(_Views(pictures, recipe), places, workers)


def _load(views: _Views, places: Iterable[list[_Place]], workers: int) -> Iterator[ClassBatch]:
    loader: DataLoader[_View | FassdError] = DataLoader(
        views,
        batch_sampler=places,
        num_workers=workers,
        collate_fn=list,
        worker_init_fn=leave_signals_to_parent,
        # Without one of its own it draws from the generator that a training state holds.
        generator=torch.Generator(),
    )
    for arrived in loader:
        yield _collate(arrived)


def _collate(arrived: list[_View | FassdError]) -> ClassBatch:
    views = []
    for item in arrived:
        if isinstance(item, FassdError):
            raise item
        views.append(item)
    images = torch.from_numpy(np.stack([view.image for view in views]))
    targets = torch.tensor([view.target for view in views])
    return ClassBatch(images, targets, tuple(view.name for view in views))
