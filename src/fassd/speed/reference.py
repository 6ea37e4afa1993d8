"""The authors' way to an answer, which every speed is given as a ratio to.

PyTorch eager, float32, NCHW, norms as they are; then the logits enlarged to full size (bilinear, corners aligned), then
the best class. Networks of one's own are executed in the same way, so that peers are measured by the same rule.
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

_REASON = 200


class EagerReference:
    """A network, executed as its authors would.

    Args:
        network: gives logits for (N, 3, H, W) normalized float32 images; it is moved to the device.
        pixels: what it expects as input.
        device: "cpu", "cuda" or "cuda:N".
        name: names the network in messages.

    Raises:
        UsageError: the device is not there.
    """

    def __init__(self, network: nn.Module, pixels: Normalization, device: str, name: str) -> None:
        self.device = open_device(device)
        self._network = network.eval().float().to(self.device)
        self._pixels = pixels
        self._name = name
        # As the authors' speed script does; it chooses nothing on a CPU.
        torch.backends.cudnn.benchmark = True

    def segment(self, images: Images, stages: Stages | None = None) -> ClassMaps:
        """Image in memory to class map in memory.

        Args:
            images: (N, H, W, 3) uint8 RGB.
            stages: gets the seconds of each stage.

        Returns:
            (N, H, W) uint8.

        Raises:
            UsageError: too little memory; or the network is one's own, and fails or gives no logits.
        """
        stages = stages or Stages()
        with self._answering(images.shape):
            with stages.timed(NORMALIZATION):
                given = torch.from_numpy(np.require(images, requirements=["C", "W"])).to(self.device)
                planes = normalize(given, self._pixels).contiguous()
                self._wait()
            enlarged = self.enlarged(planes, stages)
            with stages.timed(ARGMAX):
                maps: ClassMaps = enlarged.argmax(1).to(torch.uint8).cpu().numpy()
        return maps

    def enlarged(self, planes: Tensor, stages: Stages | None = None) -> Tensor:
        """Network and upsampling: what the paper timed.

        Args:
            planes: (N, 3, H, W) normalized float32, on the device.
            stages: gets the seconds of each stage.

        Returns:
            (N, classes, H, W) float32 logits.

        Raises:
            UsageError: as `segment`.
        """
        stages = stages or Stages()
        with self._answering(planes.shape):
            with stages.timed(NETWORK):
                logits = self._logits(planes)
                self._wait()
            with stages.timed(UPSAMPLING):
                size = (planes.shape[2], planes.shape[3])
                enlarged = logits if tuple(logits.shape[2:]) == size else upsample(logits, size)
                self._wait()
        return enlarged

    def paper_input(self, batch: int, size: tuple[int, int]) -> Tensor:
        """One random normal batch, (N, 3, H, W) float32, already on the device."""
        return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0)).to(self.device)

    def _logits(self, planes: Tensor) -> Tensor:
        answer: Any = self._network(planes)
        if isinstance(answer, Mapping):
            answer = answer.get("out")
        elif isinstance(answer, Sequence) and answer:
            answer = answer[0]
        if not _are_logits(answer, len(planes)):
            found = f"{_shape(answer.shape)} {answer.dtype}" if isinstance(answer, Tensor) else type(answer).__name__
            raise UsageError(
                f"network '{self._name}' gives {found} for {_shape(planes.shape)} images; expected logits, a float "
                f"tensor ({len(planes)}, classes, height, width) with 1 to 256 classes, alone, first of several, or "
                "as 'out'"
            )
        logits: Tensor = answer.float()
        return logits

    @contextmanager
    def _answering(self, shape: Sequence[int]) -> Iterator[None]:
        with torch.inference_mode(), _running_own_code(f"network '{self._name}' fails on {_shape(shape)} images"):
            yield

    def _wait(self) -> None:
        """A GPU computes behind the caller's back; a stage has ended when it has."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _are_logits(answer: object, batch: int) -> bool:
    if not isinstance(answer, Tensor) or answer.dim() != 4 or not answer.is_floating_point():
        return False
    return answer.shape[0] == batch and 1 <= answer.shape[1] <= 256 and 0 not in answer.shape


def _shape(shape: Sequence[int]) -> str:
    return f"({', '.join(map(str, shape))})"


def open_checkpoint(path: Path, device: str) -> EagerReference:
    """A checkpoint, executed the authors' way.

    Raises:
        CheckpointError: damaged, or encoder only.
        UsageError: the device is not there.
    """
    checkpoint = read_checkpoint(path)
    network = network_from_checkpoint(checkpoint, path)
    return EagerReference(network, checkpoint.header.normalization, device, checkpoint.header.network)


def open_own_network(place: str, device: str) -> EagerReference:
    """A network of the user's own, executed the authors' way. This runs the user's code.

    Args:
        place: "package.module:function", importable from here or from the current folder; called without arguments it
            returns a torch.nn.Module that gives logits for (N, 3, H, W) RGB images with ImageNet's normalization.
        device: "cpu", "cuda" or "cuda:N".

    Raises:
        UsageError: it cannot be imported, or returns no module; the device is not there.
    """
    made = _import(place)
    with _running_own_code(f"calling '{place}' without arguments failed"):
        network = made()
    if not isinstance(network, nn.Module):
        raise UsageError(f"'{place}' returns {type(network).__name__}; expected a torch.nn.Module that gives logits")
    return EagerReference(network, RGB_NORMALIZATION, device, place)


def _import(place: str) -> Any:
    if not re.fullmatch(r"[\w.]+:\w+", place):
        raise UsageError(f"'{place}' names no network; write --network package.module:function")
    module_name, name = place.split(":")
    # As `python -m` does; a console script does not look into the current folder by itself.
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with _running_own_code(f"importing '{module_name}' failed"):
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
    made = getattr(module, name)
    if isinstance(made, nn.Module):
        raise UsageError(f"'{place}' is a network itself; name a function that returns it, or its class")
    if not callable(made):
        raise UsageError(f"'{place}' is {type(made).__name__}; expected a function that returns a torch.nn.Module")
    return made


@contextmanager
def _running_own_code(problem: str) -> Iterator[None]:
    """Whatever it raises becomes a sentence, and what it prints goes where it does not mix with ours."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{problem} ({reason[:_REASON]}{'...' if len(reason) > _REASON else ''})") from error
