"""Networks with initial weights, with those of a checkpoint, or with a pre-trained encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fassd.core.checkpoint import Arrays, Checkpoint, Header
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import NetworkSpec, check_alpha
from fassd.networks.weights import COUNTER, check_arrays, check_checkpoint


def init_network(spec: NetworkSpec, classes: int, alpha: int = 2, seed: int = 0) -> SegmentationNetwork:
    """A network with the published initialization: Xavier normal for every convolution.

    Raises:
        UsageError: an impossible alpha.
    """
    check_alpha(spec, alpha)
    network = SegmentationNetwork(spec, classes, alpha)
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def network_from_checkpoint(checkpoint: Checkpoint, path: Path) -> SegmentationNetwork:
    """The network of a checkpoint, in float32.

    Args:
        checkpoint: header and weights.
        path: names the file in messages.

    Raises:
        CheckpointError: an encoder-only file, or weights that do not fit the header's network.
    """
    spec, header = check_checkpoint(checkpoint, path), checkpoint.header
    assert header.label_space is not None, "checked"
    network = SegmentationNetwork(spec, len(header.label_space), header.alpha)
    load_arrays(network, checkpoint.arrays, path, f"{spec.name} with {network.classes} classes")
    return network


def load_arrays(network: nn.Module, arrays: Mapping[str, np.ndarray[Any, Any]], path: Path, what: str) -> None:
    """Loads all weights of a network, in place.

    Args:
        network: that gets the weights.
        arrays: by name; the batch counters of BatchNorm layers may be missing.
        path: names the file in messages.
        what: names the network in messages.

    Raises:
        CheckpointError: a weight is missing, unexpected, or of another shape.
    """
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.endswith(COUNTER)}
    check_arrays(shapes, arrays, path, what)
    given = {name: value for name, value in arrays.items() if not name.endswith(COUNTER)}
    network.load_state_dict({name: _tensor(value) for name, value in given.items()}, strict=False)


@dataclass(frozen=True)
class LoadedEncoder:
    """What was loaded of an encoder file.

    Attributes:
        loaded: number of arrays.
        unused: names of the file's arrays that the network does not have.
    """

    loaded: int
    unused: tuple[str, ...]


def load_encoder(network: SegmentationNetwork, arrays: Arrays, path: Path) -> LoadedEncoder:
    """Loads the network's encoder from pre-trained weights, in place.

    FC-HarDNet-70's file fits every network: one with four stages does not use the fifth.

    Raises:
        CheckpointError: an encoder weight of the network is missing or of another shape.
    """
    encoder = {name.removeprefix("encoder."): value for name, value in arrays.items() if name.startswith("encoder.")}
    wanted = {name for name in network.encoder.state_dict() if not name.endswith(COUNTER)}
    fitting = {name: value for name, value in encoder.items() if name in wanted}
    load_arrays(network.encoder, fitting, path, f"the encoder of {network.spec.name}")
    return LoadedEncoder(len(fitting), tuple(sorted(encoder.keys() - wanted)))


def arrays_of(network: nn.Module, dtype: type[np.floating[Any]]) -> Arrays:
    """Weights and running statistics by name, without batch counters, as NumPy arrays of `dtype`."""
    return {
        name: value.detach().cpu().float().numpy().astype(dtype)
        for name, value in network.state_dict().items()
        if not name.endswith(COUNTER)
    }


def checkpoint_of(network: nn.Module, header: Header, dtype: type[np.floating[Any]] = np.float32) -> Checkpoint:
    """The network as a checkpoint under the given header."""
    return Checkpoint(header, arrays_of(network, dtype))


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
