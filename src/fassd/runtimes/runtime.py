"""The seam to whatever executes a network: uint8 images in, class maps out."""

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
"""The stages of an answer: images to coarse logits; enlarging these and taking the best class."""


@dataclass
class Stages:
    """A stop-watch for the stages of an answer; seconds add up over calls.

    Attributes:
        seconds: by stage, in the order of their first appearance.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Adds what the block takes to a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun


class Runtime(Protocol):
    """Executes one network. Laws that every runtime keeps are tested over all of them.

    Attributes:
        name: the row, for example "pytorch".
        header: what the checkpoint says of itself.
        label_space: the classes it answers with.
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
            size: (height, width) of the answer; None means the images' own. Logits are enlarged straight to it.
            classes: that may be predicted; None means all.
            stages: gets the seconds of each stage.

        Returns:
            (N, height, width) uint8, each below the number of classes.

        Raises:
            UsageError: wrong dtype or shape, an empty batch, a side below the network's minimum, or more memory needed
                than there is.
        """
        ...

    def logits(self, images: Images) -> Logits:
        """The coarse logits, before they are enlarged.

        Args:
            images: (N, H, W, 3) uint8 RGB, N at least 1.

        Returns:
            (N, classes, h, w) float32, h and w being the images' sides divided by the network's output stride.

        Raises:
            UsageError: as `segment`; or the file that is executed ends in class maps and has no logits to show.
        """
        ...

    def close(self) -> None:
        """Frees what the runtime holds."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class OpenedNetwork:
    """What runtimes share: whose network they execute, and which images they refuse.

    Args:
        header: what the network's file says of it.
        precision: of the arithmetic.

    Raises:
        UsageError: the header names no classes.
    """

    def __init__(self, header: Header, precision: str) -> None:
        if header.label_space is None:
            raise UsageError("the header names no classes, so there is nothing to answer with")
        self.header = header
        self.label_space = header.label_space
        self.precision = precision
        self._spec = network_by_name(header.network)

    def close(self) -> None:
        """See `Runtime.close`. What Python frees by itself needs no more."""

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
    """Refuses what is no batch of images.

    Raises:
        UsageError: no array, wrong dtype or shape, or an empty batch.
    """
    if not isinstance(images, np.ndarray):
        raise UsageError(f"images are of type {type(images).__name__}; expected an array, uint8 (n, height, width, 3)")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape:
        raise UsageError(
            f"images are {images.dtype} {tuple(images.shape)}; expected uint8 (n, height, width, 3) with n at least 1"
        )


def check_memory(images: Images, bytes_per_pixel: int) -> None:
    """Refuses images whose answer would need more memory than is free: the system would end the process instead.

    Args:
        images: (N, H, W, 3) uint8.
        bytes_per_pixel: that a runtime needs at its peak for each pixel of the images.

    Raises:
        UsageError: too large.
    """
    needed, free = images.size // 3 * bytes_per_pixel, free_memory()
    if free is not None and needed > free:
        remedy = "make it smaller" if len(images) == 1 else "give fewer at once, or make them smaller"
        raise UsageError(
            f"{in_words(images)} would take about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free; "
            f"{remedy} ('fassd predict' does by --side)"
        )


def in_words(images: Images) -> str:
    """How many images of which size, for messages."""
    count, height, width = images.shape[:3]
    return f"an image of {width}x{height}" if count == 1 else f"{count} images of {width}x{height}"


def reason_of(error: Exception) -> str:
    """What a library raised, short: its last line says what was wrong, those before it where in its sources."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return shorten(lines[-1], 160, placeholder=" ...")


def cannot_answer(path: Path, library: str, images: Images, error: Exception) -> CheckpointError:
    """What a library raised, in a sentence: a file may pass for whole and yet not be executed."""
    problem = (
        f"{library} cannot answer {in_words(images)} with it ({reason_of(error)}); try another runtime or precision, "
        "or make the file again"
    )
    return CheckpointError(path, problem)


def check_classes(path: Path, found: int, expected: int) -> None:
    """Refuses logits of other classes than a file names: its answers would have the wrong names, or none.

    Raises:
        CheckpointError: they are not as many.
    """
    if found != expected:
        raise CheckpointError(path, f"it names {expected} classes but answers with {found}; make the file again")
