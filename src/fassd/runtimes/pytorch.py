"""PyTorch as a runtime, on CPU and GPU."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

import numpy as np
import torch

from fassd.core.arrays import ClassMaps, Images
from fassd.core.checkpoint import Header
from fassd.core.errors import UsageError
from fassd.networks.inference import InferenceNetwork, class_map
from fassd.networks.network import SegmentationNetwork


class PyTorchRuntime:
    """A network executed by PyTorch, norms folded.

    Args:
        network: trained; it is copied.
        header: what the checkpoint says of it.
        device: "cpu", "cuda" or "cuda:N".
        precision: of the convolutions.

    Raises:
        UsageError: the header names no classes, or the device is not there.
    """

    name = "pytorch"

    def __init__(
        self,
        network: SegmentationNetwork,
        header: Header,
        device: str = "cpu",
        precision: Literal["float32", "bfloat16"] = "float32",
    ) -> None:
        if header.label_space is None:
            raise UsageError("the header names no classes, so there is nothing to answer with")
        self.header = header
        self.label_space = header.label_space
        self.precision = precision
        self.device = open_device(device)
        self._network = InferenceNetwork(network, header.pixels).to(self.device).eval()

    def segment(
        self, images: Images, size: tuple[int, int] | None = None, among: Sequence[int] | None = None
    ) -> ClassMaps:
        """See `Runtime.segment`."""
        check_images(images)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"),
        ):
            # PyTorch wants contiguous, writable memory; only other arrays are copied.
            given = torch.from_numpy(np.require(images, requirements=["C", "W"]))
            logits = self._network(given.to(self.device))
            maps: ClassMaps = class_map(logits, size or images.shape[1:3], among).cpu().numpy()
        return maps

    def close(self) -> None:
        """PyTorch frees by itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_device(name: str) -> torch.device:
    """The device that "cpu", "cuda" or "cuda:N" names.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"there is no device '{name}'; use cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device '{name}' is not one that fassd uses; use cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise UsageError(f"device '{name}' is not there: PyTorch finds {found or 'no'} GPUs; use --device cpu")
    return device


def check_images(images: Images) -> None:
    """Refuses what is no batch of images.

    Raises:
        UsageError: wrong dtype or shape, or an empty batch.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
        raise UsageError(
            f"images are {images.dtype} {tuple(images.shape)}; expected uint8 (n, height, width, 3) with n at least 1"
        )
