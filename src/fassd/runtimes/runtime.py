"""The interface of everything that executes a network: uint8 images in, class maps out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from fassd.core.arrays import ClassMaps, Images, Logits
from fassd.core.checkpoint import Header
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.labels import LabelSpace
from fassd.core.machine import free_memory
from fassd.networks.specs import network_by_name

NETWORK, CLASS_MAP = "network", "class map"
"""The stages of a prediction: images to coarse logits; upsampling and argmax."""


@dataclass
class Stages:
    """Times the stages of predictions; seconds add up over calls.

    Attributes:
        seconds: by stage, in the order of first use.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds the time of the block to a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun


class Runtime(Protocol):
    """Executes one network. tests/runtimes/test_runtime_laws.py holds all runtimes to the same laws.

    Attributes:
        name: of its row, for example "pytorch".
        header: of the checkpoint.
        label_space: the classes that it predicts.
    """

    name: str
    header: Header
    label_space: LabelSpace

    @property
    def precision(self) -> str:
        """Of its arithmetic, for example "float32"."""
        ...

    def segment(
        self,
        images: Images,
        size: tuple[int, int] | None = None,
        classes: Sequence[int] | None = None,
        stages: Stages | None = None,
    ) -> ClassMaps:
        """Labels every pixel.

        Args:
            images: (N, H, W, 3) uint8 RGB, N at least 1.
            size: (height, width) of the class maps; None: the images'. Logits are upsampled directly to it.
            classes: that may be predicted; None means all.
            stages: gets the seconds of each stage.

        Returns:
            (N, height, width) uint8, values below the number of classes.

        Raises:
            UsageError: wrong dtype or shape, an empty batch, a side below the network's minimum, or not enough memory.
        """
        ...

    def logits(self, images: Images) -> Logits:
        """The coarse logits, before upsampling.

        Args:
            images: (N, H, W, 3) uint8 RGB, N at least 1.

        Returns:
            (N, classes, h, w) float32; h and w are the images' height and width divided by the network's output stride.

        Raises:
            UsageError: as `segment`.
        """
        ...

    def close(self) -> None:
        """Releases the runtime's resources."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class OpenedNetwork:
    """What all runtimes share: the header, and the images that they refuse.

    Args:
        header: of the network's file.
        precision: of the arithmetic.

    Raises:
        UsageError: the header names no classes.
    """

    def __init__(self, header: Header, precision: str) -> None:
        if header.label_space is None:
            raise UsageError("the header names no classes, so nothing can be predicted")
        self.header = header
        self.label_space = header.label_space
        self.precision = precision
        self._spec = network_by_name(header.network)

    def close(self) -> None:
        """See `Runtime.close`. The garbage collector does the rest."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check(self, images: Images) -> None:
        check_images(images)
        self._spec.check_size(images.shape[1], images.shape[2], "the image")


def check_images(images: Images) -> None:
    """Refuses what is not a batch of images.

    Raises:
        UsageError: not an array, wrong dtype or shape, or an empty batch.
    """
    if not isinstance(images, np.ndarray):
        raise UsageError(f"images are of type {type(images).__name__}; expected an array, uint8 (n, height, width, 3)")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
        raise UsageError(
            f"images are {images.dtype} {tuple(images.shape)}; expected uint8 (n, height, width, 3) with n at least 1"
        )


def check_memory(images: Images, bytes_per_pixel: int) -> None:
    """Refuses images that need more memory than is free; the system would kill the process.

    Args:
        images: (N, H, W, 3) uint8.
        bytes_per_pixel: of memory that a runtime needs at its peak, per pixel of the images.

    Raises:
        UsageError: too large.
    """
    needed, free = images.size // 3 * bytes_per_pixel, free_memory()
    if free is not None and needed > free:
        fix = "make it smaller" if len(images) == 1 else "give fewer at once, or make them smaller"
        raise UsageError(
            f"{in_words(images)} would take about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
            f"{fix} ('fassd predict' does with --max-side)"
        )


def in_words(images: Images) -> str:
    """How many images of which size, for messages."""
    count, height, width = images.shape[:3]
    return f"an image of {width}x{height}" if count == 1 else f"{count} images of {width}x{height}"


def reason_of(error: Exception) -> str:
    """A library's error in a few words: its last line. The lines before it name places in its sources."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return shorten(lines[-1], 160, placeholder=" ...")


def execution_failed(path: Path, library: str, images: Images, error: Exception) -> CheckpointError:
    """The error for a file that is intact but that a library cannot execute."""
    problem = (
        f"{library} cannot run it on {in_words(images)} ({reason_of(error)}); try another runtime or precision, "
        "or make the file again"
    )
    return CheckpointError(path, problem)


def check_classes(path: Path, found: int, expected: int) -> None:
    """Refuses logits of another number of classes than a file names.

    Raises:
        CheckpointError: the numbers differ.
    """
    if found != expected:
        raise CheckpointError(path, f"it names {expected} classes but predicts {found}; make the file again")
