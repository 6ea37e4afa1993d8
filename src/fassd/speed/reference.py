"""The eager PyTorch reference, to which every speedup refers.

As the authors run their networks: PyTorch eager, float32, NCHW, BatchNorm layers not folded; then the logits upsampled
to full size (bilinear, aligned corners), then the argmax class. Custom networks are executed in the same way, so that
all networks are measured by one rule.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fassd.core.arrays import ClassMaps, Images
from fassd.core.checkpoint import RGB_NORMALIZATION, Normalization, read_checkpoint
from fassd.core.errors import UnknownName, UsageError
from fassd.networks.build import network_from_checkpoint
from fassd.networks.inference import normalize
from fassd.networks.network import upsample
from fassd.runtimes.pytorch import open_device
from fassd.runtimes.runtime import NETWORK, Stages

NORMALIZATION, UPSAMPLING, ARGMAX = "normalization", "upsampling", "argmax"
"""Its stages besides the network."""

_LONGEST_REASON = 200


class EagerReference:
    """A network, executed as its authors do.

    Args:
        network: gives logits for (N, 3, H, W) normalized float32 images; it is moved to the device.
        normalization: of the images it expects.
        device: "cpu", "cuda" or "cuda:N".
        name: the network's name in messages.

    Raises:
        UsageError: the device is not there.
    """

    def __init__(self, network: nn.Module, normalization: Normalization, device: str, name: str) -> None:
        self.device = open_device(device)
        self._network = network.eval().float().to(self.device)
        self._normalization = normalization
        self._name = name
        # As in the authors' speed script; it has no effect on a CPU.
        torch.backends.cudnn.benchmark = True

    def segment(self, images: Images, stages: Stages | None = None) -> ClassMaps:
        """Images in memory to class maps in memory.

        Args:
            images: (N, H, W, 3) uint8 RGB.
            stages: gets the seconds of each stage.

        Returns:
            (N, H, W) uint8.

        Raises:
            UsageError: too little memory; or a custom network fails or gives no logits.
        """
        stages = stages or Stages()
        with self._inference(images.shape):
            with stages.timed(NORMALIZATION):
                on_device = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self.device)
                planes = normalize(on_device, self._normalization).contiguous()
                self._wait()
            logits = self.full_size_logits(planes, stages)
            with stages.timed(ARGMAX):
                maps: ClassMaps = logits.argmax(1).to(torch.uint8).cpu().numpy()
        return maps

    def full_size_logits(self, planes: Tensor, stages: Stages | None = None) -> Tensor:
        """Network and upsampling, which is what the paper timed.

        Args:
            planes: (N, 3, H, W) normalized float32, on the device.
            stages: gets the seconds of each stage.

        Returns:
            (N, classes, H, W) float32.

        Raises:
            UsageError: as `segment`.
        """
        stages = stages or Stages()
        with self._inference(planes.shape):
            with stages.timed(NETWORK):
                logits = self._coarse_logits(planes)
                self._wait()
            with stages.timed(UPSAMPLING):
                size = (planes.shape[2], planes.shape[3])
                full_size = logits if tuple(logits.shape[2:]) == size else upsample(logits, size)
                self._wait()
        return full_size

    def paper_input(self, batch: int, size: tuple[int, int]) -> Tensor:
        """One batch of normally distributed random numbers, (N, 3, H, W) float32, already on the device."""
        return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0)).to(self.device)

    def _coarse_logits(self, planes: Tensor) -> Tensor:
        output: Any = self._network(planes)
        if isinstance(output, Mapping):
            output = output.get("out")
        elif isinstance(output, Sequence) and output:
            output = output[0]
        if not _are_logits(output, len(planes)):
            found = f"{_in_words(output.shape)} {output.dtype}" if isinstance(output, Tensor) else type(output).__name__
            raise UsageError(
                f"network '{self._name}' gives {found} for {_in_words(planes.shape)} images; expected logits, a float "
                f"tensor ({len(planes)}, classes, height, width) with 1 to 256 classes, alone, first of several, or "
                "as 'out'"
            )
        logits: Tensor = output.float()
        return logits

    @contextmanager
    def _inference(self, shape: Sequence[int]) -> Iterator[None]:
        problem = f"network '{self._name}' fails on {_in_words(shape)} images"
        with torch.inference_mode(), _running_custom_code(problem):
            yield

    def _wait(self) -> None:
        """A GPU works asynchronously; a stage ends when the GPU is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _are_logits(output: object, batch: int) -> bool:
    if not isinstance(output, Tensor) or output.dim() != 4 or not output.is_floating_point():
        return False
    return output.shape[0] == batch and 1 <= output.shape[1] <= 256 and 0 not in output.shape


def _in_words(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def open_checkpoint(path: Path, device: str) -> EagerReference:
    """The eager reference of a checkpoint.

    Raises:
        CheckpointError: damaged, or encoder only.
        UsageError: the device is not there.
    """
    checkpoint = read_checkpoint(path)
    network = network_from_checkpoint(checkpoint, path)
    return EagerReference(network, checkpoint.header.normalization, device, checkpoint.header.network)


def open_custom_network(place: str, device: str) -> EagerReference:
    """The eager reference of a user's own network. This runs the user's code.

    Args:
        place: "package.module:function", importable from here or from the current folder; called without arguments it
            returns a torch.nn.Module that gives logits for (N, 3, H, W) RGB images with ImageNet's normalization.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: it cannot be imported, or returns no module; the device is not there.
    """
    function = _import(place)
    with _running_custom_code(f"calling '{place}' without arguments failed"):
        network = function()
    if not isinstance(network, nn.Module):
        raise UsageError(f"'{place}' returns {type(network).__name__}; expected a torch.nn.Module that gives logits")
    return EagerReference(network, RGB_NORMALIZATION, device, place)


def _import(place: str) -> Any:
    if not re.fullmatch(r"[\w.]+:\w+", place):
        raise UsageError(f"'{place}' names no network; write --network package.module:function")
    module_name, name = place.split(":")
    # As `python -m` does; a console script does not search the current folder by itself.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with _running_custom_code(f"importing '{module_name}' failed"):
            module = importlib.import_module(module_name)
    except UsageError as error:
        if not isinstance(missing := error.__cause__, ModuleNotFoundError):
            raise
        raise UsageError(
            f"'{place}' cannot be imported: there is no module '{missing.name}', neither in {here} nor installed"
        ) from missing
    if not hasattr(module, name):
        functions = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        raise UnknownName(f"function in {module_name}", name, functions)
    function = getattr(module, name)
    if isinstance(function, nn.Module):
        raise UsageError(f"'{place}' is a network itself; name a function that returns it, or its class")
    if not callable(function):
        raise UsageError(f"'{place}' is {type(function).__name__}; expected a function that returns a torch.nn.Module")
    return function


@contextmanager
def _running_custom_code(problem: str) -> Iterator[None]:
    """Turns every exception of the user's code into a UsageError, and sends what it prints to standard error."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        shortened = f"{reason[:_LONGEST_REASON]}{'...' if len(reason) > _LONGEST_REASON else ''}"
        raise UsageError(f"{problem} ({shortened})") from error
