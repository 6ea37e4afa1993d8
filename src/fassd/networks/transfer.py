"""Fine-tuning: the weights of a trained network as the beginning of another, with other classes perhaps."""

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
class Taken:
    """What a checkpoint gave to a network.

    Attributes:
        classes: those whose row of the classifier was kept, by their new names.
        fresh: those that begin anew.
    """

    classes: tuple[str, ...]
    fresh: tuple[str, ...]

    def __str__(self) -> str:
        if not self.fresh:
            return "every weight was kept"
        kept = f"; of the classifier the rows of {', '.join(self.classes)} were kept" if self.classes else ""
        return f"every weight but the classifier was kept{kept}; fresh are the classes {', '.join(self.fresh)}"


def load_pretrained(network: SegmentationNetwork, checkpoint: Checkpoint, path: Path, space: LabelSpace) -> Taken:
    """Fills a network with the weights of a checkpoint of the same row, in place.

    A class that both know by name, however it is capitalized, keeps its row of the classifier; the others stay as
    they are in `network`.

    Args:
        network: fresh.
        checkpoint: header and weights.
        path: names the file in messages.
        space: the network's classes.

    Raises:
        CheckpointError: an encoder-only file, another network or alpha, or weights that are not the header's.
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
    fresh = tuple(name for place, name in enumerate(names) if place not in found)
    return Taken(tuple(names[place] for place in found), fresh)


def _mixed(
    fresh: Arrays, trained: Arrays, name: str, found: dict[int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The rows of the classifier: trained where a class is known, fresh elsewhere."""
    mixed = fresh[name].copy()
    for place, source in found.items():
        mixed[place] = trained[name][source]
    return mixed
