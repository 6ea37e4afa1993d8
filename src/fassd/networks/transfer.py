"""Fine-tuning: initial weights from a trained network, which may have other classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fassd.core.checkpoint import Arrays, Checkpoint
from fassd.core.errors import CheckpointError
from fassd.core.labels import LabelSpace
from fassd.networks.build import arrays_of, load_arrays
from fassd.networks.network import SegmentationNetwork

_CLASSIFIER = ("classifier.weight", "classifier.bias")


@dataclass(frozen=True)
class LoadedWeights:
    """What was loaded of a checkpoint.

    Attributes:
        kept: classes whose row of the classifier was loaded, by their new names.
        new: classes whose row keeps its initial weights.
    """

    kept: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        if not self.new:
            return "all weights were loaded"
        kept = f", and the classifier's rows of {', '.join(self.kept)}" if self.kept else ""
        return f"all weights but the classifier were loaded{kept}; the classes {', '.join(self.new)} are new"


def load_pretrained(
    network: SegmentationNetwork, checkpoint: Checkpoint, path: Path, space: LabelSpace
) -> LoadedWeights:
    """Loads the weights of a checkpoint of the same row, in place.

    Classes are matched by name, ignoring case. Their rows of the classifier are loaded; other rows are not changed.

    Args:
        network: with initial weights.
        checkpoint: header and weights.
        path: names the file in messages.
        space: the network's classes.

    Raises:
        CheckpointError: an encoder-only file, another network or alpha, or weights that do not fit the header.
    """
    header = checkpoint.header
    if header.content != "network" or header.label_space is None:
        raise CheckpointError(path, "holds an encoder only; give it as --encoder-weights")
    own, theirs = (network.spec.name, network.alpha), (header.network, header.alpha)
    if own != theirs:
        raise CheckpointError(
            path,
            f"is {theirs[0]} with alpha {theirs[1]}, but {own[0]} with alpha {own[1]} is to be trained; train with "
            f"--network {theirs[0]}, or take its encoder alone with --encoder-weights",
        )
    arrays = dict(checkpoint.arrays)
    places = {name.casefold(): place for place, name in enumerate(header.label_space.names)}
    found = {place: places[name.casefold()] for place, name in enumerate(space.names) if name.casefold() in places}
    rows = arrays_of(network, np.float32)
    for name in _CLASSIFIER:
        if name in arrays and len(arrays[name]) == len(header.label_space):
            arrays[name] = _mixed(rows, arrays, name, found)
    load_arrays(network, arrays, path, f"{network.spec.name} with {len(header.label_space)} classes")
    names = space.names
    new = tuple(name for place, name in enumerate(names) if place not in found)
    return LoadedWeights(tuple(names[place] for place in found), new)


def _mixed(
    fresh: Arrays, trained: Arrays, name: str, found: dict[int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The rows of the classifier: trained where a class is known, fresh elsewhere."""
    mixed = fresh[name].copy()
    for place, source in found.items():
        mixed[place] = trained[name][source]
    return mixed
