"""From weights to a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_checkpoint
from fassd.core.errors import MissingExtra
from fassd.runtimes.runtime import Runtime


def open_runtime(
    weights: str | Path = DEFAULT_WEIGHTS,
    device: str = "cpu",
    precision: Literal["float32", "bfloat16"] = "float32",
) -> Runtime:
    """Opens weights on the runtime that executes them.

    Args:
        weights: the name of shipped weights, or a checkpoint file.
        device: "cpu", "cuda" or "cuda:N".
        precision: of the convolutions.

    Raises:
        UnknownName, CheckpointError: no such weights, or a damaged file.
        MissingExtra: PyTorch is not installed.
        UsageError: the device is not there.
    """
    path = locate_weights(weights)
    checkpoint = read_checkpoint(path)
    try:
        from fassd.networks.build import network_from_checkpoint
        from fassd.runtimes.pytorch import PyTorchRuntime
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "torch", "running a network") from None
    return PyTorchRuntime(network_from_checkpoint(checkpoint, path), checkpoint.header, device, precision)
