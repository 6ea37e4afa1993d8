"""What is timed: a variant, opened so that one call answers one batch by the protocol's rule.

- "user": uint8 images in memory to class maps in memory, on any runtime. The image is a photo of a street, since how
  fast the best class is found depends on what is to be seen.
- "paper": network and upsampling, float32, the input being a float tensor on the device already; no argmax, no copies.
  Only the authors' way takes float tensors, so only that is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import Images
from fassd.core.errors import MissingExtra, UsageError
from fassd.media.images import read_image
from fassd.runtimes.choose import choose
from fassd.runtimes.open import open_runtime
from fassd.runtimes.rows import AUTO, CHECKPOINT, RUNTIMES
from fassd.runtimes.runtime import Stages
from fassd.tasks.benchmark_report import AUTHORS, ProtocolName, Variant

if TYPE_CHECKING:
    from fassd.tasks.authors_way import AuthorsWay


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
class Way:
    """An opened variant.

    Attributes:
        request: what was opened, with the runtime's own names in place of "auto".
        answer: answers one batch, adding the seconds of each stage to what it is given.
        close: frees what it holds.
    """

    request: Request
    answer: Callable[[Stages | None], object]
    close: Callable[[], None]


def open_way(request: Request) -> Way:
    """Opens a variant.

    Raises:
        MissingExtra: the runtime's package is not installed.
        UnknownName, CheckpointError, UsageError: what `open_runtime` or the authors' way refuses.
    """
    variant = request.variant
    if variant.runtime == AUTHORS:
        return _authors(request)
    if request.file is None:
        raise UsageError("a network of your own is executed the authors' way alone: use --runtime authors")
    file = Path(request.file)
    choice = choose(_suffix(file), variant.runtime, variant.device, variant.precision)
    runtime = open_runtime(file, choice.device, choice.precision, choice.row.name)
    opened = msgspec.structs.replace(variant, runtime=runtime.name, precision=runtime.precision, device=choice.device)
    images = street(variant.batch, variant.size)
    return Way(
        msgspec.structs.replace(request, variant=opened),
        lambda stages: runtime.segment(images, stages=stages),
        runtime.close,
    )


def is_checkpoint(file: Path) -> bool:
    """Whether a file is opened as a checkpoint; else it is an exported one."""
    return _suffix(file) == CHECKPOINT


def _suffix(file: Path) -> str:
    known = {suffix for row in RUNTIMES.values() for suffix in row.suffixes}
    return file.suffix.lower() if file.suffix.lower() in known else CHECKPOINT


def _authors(request: Request) -> Way:
    # The GPU that others would take, so that they are compared on the same.
    device = choose(CHECKPOINT, AUTO, request.variant.device).device
    variant = msgspec.structs.replace(request.variant, device=device)
    request = msgspec.structs.replace(request, variant=variant)
    way = _open_authors(request)
    answer: Callable[[Stages | None], object]
    if request.protocol == "paper":
        planes = way.paper_input(variant.batch, variant.size)

        def answer(stages: Stages | None) -> object:
            return way.enlarged(planes, stages)
    else:
        images = street(variant.batch, variant.size)

        def answer(stages: Stages | None) -> object:
            return way.segment(images, stages)

    return Way(request, answer, lambda: None)


def _open_authors(request: Request) -> AuthorsWay:
    try:
        from fassd.tasks.authors_way import open_checkpoint, open_own_network
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "torch", "measuring the authors' way") from None
    if request.file is None:
        return open_own_network(request.variant.network, request.variant.device)
    return open_checkpoint(Path(request.file), request.variant.device)


def street(batch: int, size: tuple[int, int]) -> Images:
    """The photo that ships, brought to a size; each image of the batch is shifted, so that no two are the same.

    Returns:
        (batch, H, W, 3) uint8 RGB.
    """
    photo = read_image(Path(str(files("fassd"))) / "assets" / "street.jpg")
    image = np.asarray(Pillow.fromarray(photo).resize((size[1], size[0]), Pillow.Resampling.BILINEAR))
    return np.stack([np.roll(image, number * size[1] // batch, axis=1) for number in range(batch)])
