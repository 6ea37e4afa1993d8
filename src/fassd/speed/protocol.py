"""What is timed: a variant, opened so that one call answers one batch by the protocol's rule.

- "user": uint8 images in memory to class maps in memory, on any runtime.
- "paper": network and upsampling, float32, the input being a float tensor on the device already; no argmax, no copies.
  Only the authors' way takes float tensors, so only that is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fassd.core.errors import MissingExtra, UsageError
from fassd.runtimes.open import choose, open_runtime
from fassd.runtimes.rows import AUTO, CHECKPOINT, RUNTIMES
from fassd.runtimes.runtime import Stages, check_memory
from fassd.speed.images import Pictures
from fassd.speed.report import AUTHORS, ProtocolName, Variant

if TYPE_CHECKING:
    from fassd.speed.reference import EagerReference


# At the peak on a processor, measured as for the runtimes (docs/performance.md), and a little over.
AUTHORS_BYTES_PER_PIXEL = 200


class Request(msgspec.Struct, frozen=True):
    """A variant to open.

    Attributes:
        variant: what to measure.
        protocol: the rule.
        file: its weights; None for a network of the user's own, which its name tells where to import.
    """

    variant: Variant
    protocol: ProtocolName
    file: str | None


@dataclass(frozen=True)
class OpenVariant:
    """An opened variant.

    Attributes:
        request: what was opened, with the runtime's own names in place of "auto".
        answer: answers the batch whose turn it is, adding the seconds of each stage to what it is given. In the same
            turn all ways get the same pictures.
        close: frees what it holds.
        calibrated_on: pictures that its int8 form was calibrated on for this benchmark; None where none was made.
    """

    request: Request
    answer: Callable[[int, Stages | None], object]
    close: Callable[[], None]
    calibrated_on: int | None = None


def open_way(request: Request, pictures: Pictures) -> OpenVariant:
    """Opens a variant.

    Args:
        request: what to measure; see `benchmark_int8.in_int8` for checkpoints in int8.
        pictures: to answer by the user's protocol.

    Raises:
        ImageError: a picture is damaged.
        MissingExtra: the runtime's package is not installed.
        UnknownName, CheckpointError, UsageError: what `open_runtime` or the authors' way refuses.
    """
    variant = request.variant
    if variant.runtime == AUTHORS:
        return _authors(request, pictures)
    if request.file is None:
        raise UsageError("a network of your own is executed the authors' way alone: use --runtime authors")
    file = Path(request.file)
    choice = choose(_suffix(file), variant.runtime, variant.device, variant.precision)
    runtime = open_runtime(file, choice.device, choice.precision, choice.row.name)
    opened = msgspec.structs.replace(variant, runtime=runtime.name, precision=runtime.precision, device=choice.device)
    batches = pictures.batches(variant.size, variant.batch)
    return OpenVariant(
        msgspec.structs.replace(request, variant=opened),
        lambda turn, stages: runtime.segment(batches[turn % len(batches)], stages=stages),
        runtime.close,
    )


def is_checkpoint(file: Path) -> bool:
    """Whether a file is opened as a checkpoint; else it is an exported one."""
    return _suffix(file) == CHECKPOINT


def _suffix(file: Path) -> str:
    known = {suffix for row in RUNTIMES.values() for suffix in row.modules}
    return file.suffix.lower() if file.suffix.lower() in known else CHECKPOINT


def _authors(request: Request, pictures: Pictures) -> OpenVariant:
    # The GPU that others would take, so that they are compared on the same.
    device = choose(CHECKPOINT, AUTO, request.variant.device).device
    variant = msgspec.structs.replace(request.variant, device=device)
    request = msgspec.structs.replace(request, variant=variant)
    way = _open_authors(request)
    if request.file is not None and way.device.type == "cpu":
        # No memory is taken for these; what a network of one's own takes, nobody knows.
        images = np.broadcast_to(np.uint8(0), (variant.batch, *variant.size, 3))
        check_memory(images, AUTHORS_BYTES_PER_PIXEL)
    answer: Callable[[int, Stages | None], object]
    if request.protocol == "paper":
        planes = way.paper_input(variant.batch, variant.size)

        def answer(turn: int, stages: Stages | None) -> object:
            return way.enlarged(planes, stages)
    else:
        batches = pictures.batches(variant.size, variant.batch)

        def answer(turn: int, stages: Stages | None) -> object:
            return way.segment(batches[turn % len(batches)], stages)

    return OpenVariant(request, answer, lambda: None)


def _open_authors(request: Request) -> EagerReference:
    try:
        from fassd.speed.reference import open_checkpoint, open_own_network
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "torch", "measuring the authors' way") from None
    if request.file is None:
        return open_own_network(request.variant.network, request.variant.device)
    return open_checkpoint(Path(request.file), request.variant.device)
