"""What the runtimes without PyTorch share: a library for the logits, our compiled kernel for the class map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Thread
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import numpy as np

from fassd.core.arrays import ClassMaps, Images, Logits
from fassd.core.checkpoint import Header
from fassd.core.errors import UsageError
from fassd.networks.table import network_by_name
from fassd.runtimes.runtime import CLASS_MAP, Stages, check_images, check_memory


class FusedRuntime(ABC):
    """A network whose logits a library computes, and whose class maps our kernel. Threads may share it.

    Attributes:
        layout: of the logits.
        bytes_per_pixel: of memory at the peak, by precision, a little over what was measured (docs/performance.md).

    Args:
        header: what the network's file says of it.
        precision: of the arithmetic.
        kernel_threads: that the kernel may use for one call; None means every core.

    Raises:
        UsageError: the header names no classes.
    """

    name: ClassVar[str]
    layout: ClassVar[Literal["nchw", "nhwc"]]
    bytes_per_pixel: ClassVar[dict[str, int]]

    def __init__(self, header: Header, precision: str, kernel_threads: int | None = None) -> None:
        if header.label_space is None:
            raise UsageError("the header names no classes, so there is nothing to answer with")
        self.header = header
        self.label_space = header.label_space
        self.precision = precision
        self._spec = network_by_name(header.network)
        self._kernel_threads = kernel_threads
        # Numba takes half a second to import, and the library about as long to compile a network: side by side.
        Thread(target=_import_kernel, daemon=True).start()

    @abstractmethod
    def _running(self, images: Images, stages: Stages) -> AbstractContextManager[np.ndarray[Any, Any]]:
        """The logits of checked images, float32 in `layout`, valid until the block ends; times the network."""

    def segment(
        self,
        images: Images,
        size: tuple[int, int] | None = None,
        among: Sequence[int] | None = None,
        stages: Stages | None = None,
    ) -> ClassMaps:
        """See `Runtime.segment`."""
        self._check(images)
        stages = stages or Stages()
        height, width = size or images.shape[1:3]
        with self._running(images, stages) as logits:
            from fassd.kernels.upsample_argmax import upsample_argmax

            with stages.timed(CLASS_MAP):
                return upsample_argmax(
                    logits, (height, width), layout=self.layout, among=among, threads=self._kernel_threads
                )

    def logits(self, images: Images) -> Logits:
        """See `Runtime.logits`."""
        self._check(images)
        with self._running(images, Stages()) as logits:
            planes = logits.transpose(0, 3, 1, 2) if self.layout == "nhwc" else logits
            return np.array(planes, np.float32, order="C")

    def close(self) -> None:  # noqa: B027 (what Python frees by itself needs no more)
        """See `Runtime.close`."""

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
        check_memory(images, self.bytes_per_pixel[self.precision])


def _import_kernel() -> None:
    import fassd.kernels.upsample_argmax  # noqa: F401
