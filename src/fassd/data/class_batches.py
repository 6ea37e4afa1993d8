"""Pictures of known class -> batches. What update n sees depends on the seed and n alone, as in `batches.py`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod

import numpy as np

from fassd.core.recipe import Recipe
from fassd.data.batches import Batch, Example, Place, load, places_of
from fassd.data.class_folders import ClassFolders, central_view, random_view


def views_to_learn(
    pictures: ClassFolders, recipe: Recipe, start: int, workers: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
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
    places = places_of(recipe, len(pictures), start, share)
    return load(partial(_random_view, pictures, recipe), places, workers, _size(recipe))


def views_to_judge(
    pictures: ClassFolders, recipe: Recipe, workers: int, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """The central view of each picture, once; see `views_to_learn`. The last batch may be smaller."""
    rank, processes = share
    own = range(rank, len(pictures), processes)
    size = max(1, recipe.batch_size // processes)
    places = ([(0, 0, position) for position in own[first : first + size]] for first in range(0, len(own), size))
    return load(partial(_central_view, pictures, recipe), places, workers, _size(recipe))


def _size(recipe: Recipe) -> int:
    """Bytes of a batch's images and classes."""
    return recipe.batch_size * (3 * prod(recipe.augmentation.crop_size) + 8)


def _random_view(pictures: ClassFolders, recipe: Recipe, place: Place) -> Example:
    step, slot, position = place
    views = recipe.augmentation
    image = random_view(pictures.image(position, views), views, np.random.default_rng([recipe.seed, step, slot]))
    return Example(pictures.names[position], image, np.array(pictures.targets[position]))


def _central_view(pictures: ClassFolders, recipe: Recipe, place: Place) -> Example:
    _, _, position = place
    image = central_view(pictures.image(position), recipe.augmentation.crop_size)
    return Example(pictures.names[position], image, np.array(pictures.targets[position]))
