"""PyTorch as a runtime, on CPU and GPU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fassd.core.arrays import ClassMaps, Images, Logits
from fassd.core.checkpoint import Header, read_checkpoint
from fassd.core.errors import UsageError
from fassd.networks.build import network_from_checkpoint
from fassd.networks.inference import InferenceNetwork, class_map
from fassd.networks.network import SegmentationNetwork
from fassd.runtimes.rows import RuntimeChoice
from fassd.runtimes.runtime import CLASS_MAP, NETWORK, OpenedNetwork, Stages, check_memory, in_words

# At the peak on a CPU, measured and rounded up, as for the other runtimes (docs/performance.md).
_BYTES_PER_PIXEL = 160


class TorchRuntime(OpenedNetwork, ABC):
    """A network or program that PyTorch executes up to its logits.

    Args:
        name: of the row.
        header: of the network's file.
        precision: of the arithmetic.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: the header names no classes, or the device does not exist.
    """

    def __init__(self, name: str, header: Header, precision: str, device: str) -> None:
        super().__init__(header, precision)
        self.name = name
        self.device = open_device(device)

    @abstractmethod
    def _run(self, images: Images) -> Tensor:
        """(N, classes, h, w) logits of checked images."""

    def segment(
        self,
        images: Images,
        size: tuple[int, int] | None = None,
        classes: Sequence[int] | None = None,
        stages: Stages | None = None,
    ) -> ClassMaps:
        """See `Runtime.segment`."""
        stages = stages or Stages()
        with self._checked(images):
            with stages.timed(NETWORK):
                logits = self._run(images)
                self._wait()
            with stages.timed(CLASS_MAP):
                maps: ClassMaps = class_map(logits, images.shape[1:3] if size is None else size, classes).cpu().numpy()
        return maps

    def logits(self, images: Images) -> Logits:
        """See `Runtime.logits`."""
        with self._checked(images):
            logits: Logits = self._run(images).float().cpu().numpy()
        return logits

    @contextmanager
    def _checked(self, images: Images) -> Iterator[None]:
        self._check(images)
        if self.device.type == "cpu":
            check_memory(images, _BYTES_PER_PIXEL)
        try:
            with torch.inference_mode():
                yield
        except torch.OutOfMemoryError:
            # Free GPU memory cannot be known in advance: other programs share it, and PyTorch keeps a cache.
            raise UsageError(
                f"{in_words(images)} would take more memory than is free on {self.device}; give fewer images "
                "at once, make them smaller, or use --device cpu"
            ) from None

    def _wait(self) -> None:
        """Waits for the GPU, which computes asynchronously, so that stages are timed correctly."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


class PyTorchRuntime(TorchRuntime):
    """A network executed by PyTorch, with BatchNorm layers folded.

    Args:
        network: trained; it is copied.
        header: of the checkpoint.
        device: "cpu", "cuda" or "cuda:N".
        precision: of the convolutions, "float32" or "bfloat16".
        compiled: use torch.compile, once for each size of images.

    Raises:
        UsageError: the header names no classes, or the device does not exist.
    """

    compiled_name = "pytorch-compiled"

    def __init__(
        self,
        network: SegmentationNetwork,
        header: Header,
        device: str = "cpu",
        precision: str = "float32",
        compiled: bool = False,
    ) -> None:
        super().__init__(self.compiled_name if compiled else "pytorch", header, precision, device)
        deployed = InferenceNetwork(network, header.normalization).to(self.device).eval()
        self._network: Callable[[Tensor], Tensor] = torch.compile(deployed, dynamic=False) if compiled else deployed

    def _run(self, images: Images) -> Tensor:
        # PyTorch needs contiguous, writable memory; other arrays are copied.
        given = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self._network(given.to(self.device))


def open_device(name: str) -> torch.device:
    """The device that "cpu", "cuda" or "cuda:N" names.

    Raises:
        UsageError: no such device, or it does not exist on this machine.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"there is no device '{name}'; use cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device '{name}' is not one that fassd uses; use cpu, cuda or cuda:N")
    found = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= found:
        raise UsageError(f"device '{name}' does not exist: PyTorch finds {found or 'no'} GPUs; use --device cpu")
    return device


def open_file(path: Path, choice: RuntimeChoice, streams: int) -> PyTorchRuntime:
    """Opens a checkpoint. `streams` is ignored: PyTorch distributes its threads itself.

    Raises:
        CheckpointError: damaged, or not a complete network.
        UsageError: the device does not exist.
    """
    checkpoint = read_checkpoint(path)
    network = network_from_checkpoint(checkpoint, path)
    compiled = choice.row.name == PyTorchRuntime.compiled_name
    return PyTorchRuntime(network, checkpoint.header, choice.device, choice.precision, compiled)
