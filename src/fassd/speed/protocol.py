"""What is timed, and in which order: a variant, opened so that one call predicts one batch; and interleaved rounds.

- "user": uint8 images in memory to class maps in memory, on any runtime.
- "paper": network and upsampling in float32; the input is a float tensor that is already on the device; no argmax, no
  copies. Only the eager PyTorch reference takes float tensors, so only that is timed.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np

from fassd.core.errors import MissingExtra, UsageError
from fassd.core.types import Event, Watch, ignore_events
from fassd.runtimes.open import choose_runtime, open_runtime
from fassd.runtimes.rows import AUTO, CHECKPOINT, weights_suffix
from fassd.runtimes.runtime import Stages, check_memory
from fassd.speed.images import TimedImages
from fassd.speed.report import EAGER, ProtocolName, Variant

Milliseconds: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

# Of the eager reference at its peak on a processor, measured as for the runtimes (docs/performance.md), rounded up.
EAGER_BYTES_PER_PIXEL = 200


class Request(msgspec.Struct, frozen=True):
    """A variant to open.

    Attributes:
        variant: what to measure.
        protocol: what is timed.
        file: its weights; None for a custom network, which is imported by its name.
    """

    variant: Variant
    protocol: ProtocolName
    file: str | None


@dataclass(frozen=True)
class OpenVariant:
    """An opened variant.

    Attributes:
        request: what was opened, with the runtime's own names in place of "auto".
        predict: runs the batch of a round and adds the seconds of each stage to what it is given. In a round all
            variants get the same images.
        close: frees what it holds.
        calibrated_on: number of images that its int8 form was calibrated on for this benchmark; None where none was
            made.
    """

    request: Request
    predict: Callable[[int, Stages | None], object]
    close: Callable[[], None]
    calibrated_on: int | None = None

    @property
    def variant(self) -> Variant:
        """What is measured."""
        return self.request.variant


def open_variant(request: Request, images: TimedImages) -> OpenVariant:
    """Opens a variant.

    Args:
        request: what to measure; a checkpoint in int8 goes through `speed.int8.int8_request` first.
        images: the input of the user's protocol.

    Raises:
        ImageError: an image is damaged.
        MissingExtra: the runtime's package is not installed.
        UnknownName, CheckpointError, UsageError: `open_runtime` or the eager reference refuses.
    """
    variant = request.variant
    if variant.runtime == EAGER:
        return _open_eager(request, images)
    if request.file is None:
        raise UsageError("a custom network is executed by the eager PyTorch reference alone: use --runtime eager")
    file = Path(request.file)
    choice = choose_runtime(weights_suffix(file), variant.runtime, variant.device, variant.precision)
    runtime = open_runtime(file, choice.device, choice.precision, choice.row.name)
    opened = msgspec.structs.replace(variant, runtime=runtime.name, precision=runtime.precision, device=choice.device)
    batches = images.batches(variant.size, variant.batch)
    return OpenVariant(
        msgspec.structs.replace(request, variant=opened),
        lambda number, stages: runtime.segment(batches[number % len(batches)], stages=stages),
        runtime.close,
    )


def is_checkpoint(file: Path) -> bool:
    """Whether a file is opened as a checkpoint; otherwise it is an exported file."""
    return weights_suffix(file) == CHECKPOINT


def _open_eager(request: Request, images: TimedImages) -> OpenVariant:
    # The same GPU that the runtimes would choose, so that all are compared on one device.
    device = choose_runtime(CHECKPOINT, AUTO, request.variant.device).device
    variant = msgspec.structs.replace(request.variant, device=device)
    request = msgspec.structs.replace(request, variant=variant)
    try:
        from fassd.speed.reference import open_checkpoint, open_custom_network
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "torch", "measuring the eager PyTorch reference") from None
    if request.file is None:
        reference = open_custom_network(variant.network, device)
    else:
        reference = open_checkpoint(Path(request.file), device)
    if request.file is not None and reference.device.type == "cpu":
        # A broadcast array takes no memory. How much a custom network takes is unknown.
        check_memory(np.broadcast_to(np.uint8(0), (variant.batch, *variant.size, 3)), EAGER_BYTES_PER_PIXEL)
    predict: Callable[[int, Stages | None], object]
    if request.protocol == "paper":
        planes = reference.paper_input(variant.batch, variant.size)

        def predict(number: int, stages: Stages | None) -> object:
            return reference.full_size_logits(planes, stages)
    else:
        batches = images.batches(variant.size, variant.batch)

        def predict(number: int, stages: Stages | None) -> object:
            return reference.segment(batches[number % len(batches)], stages)

    return OpenVariant(request, predict, lambda: None)


@dataclass(frozen=True)
class RoundTimes:
    """The times of all rounds.

    Attributes:
        times: (rounds, variants) milliseconds.
        interrupted: Ctrl-C came before all rounds were done.
    """

    times: Milliseconds
    interrupted: bool


def run_rounds(variants: Sequence[OpenVariant], rounds: int, watch: Watch = ignore_events) -> RoundTimes:
    """Times every variant once per round, in a new random order in each round.

    In a fixed order a variant would always follow the same other one, and pay for what that leaves in the caches.

    Args:
        variants: opened and warmed up.
        rounds: at least 1.
        watch: gets "round" after each.

    Raises:
        KeyboardInterrupt: before the first round was done.
    """
    times: list[list[float]] = []
    orders = np.random.default_rng(0)
    interrupted = False
    with _no_garbage_collection():
        try:
            for number in range(rounds):
                this_round = [0.0] * len(variants)
                for index in orders.permutation(len(variants)):
                    started = time.perf_counter()
                    variants[index].predict(number, None)
                    this_round[index] = (time.perf_counter() - started) * 1000
                times.append(this_round)
                watch(Event("round", {"done": number + 1, "total": rounds}))
        except KeyboardInterrupt:
            if not times:
                raise
            interrupted = True
    return RoundTimes(np.array(times), interrupted)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A collection would be charged to whichever variant happens to run."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
