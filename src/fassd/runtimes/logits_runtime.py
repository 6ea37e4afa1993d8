"""The base of the runtimes without PyTorch: a library computes the logits, the compiled kernel the class map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar, Literal

import numpy as np

from fassd.core.arrays import ClassMaps, Images, Logits
from fassd.core.checkpoint import Header
from fassd.core.machine import usable_cores
from fassd.kernels.upsample_in_numpy import upsample_argmax_in_numpy
from fassd.runtimes.runtime import CLASS_MAP, OpenedNetwork, Stages, check_classes, check_memory, execution_failed


class LogitsRuntime(OpenedNetwork, ABC):
    """A network whose logits a library computes, and whose class maps the kernel computes. Threads may share it.

    Attributes:
        layout: of the logits.
        bytes_per_pixel: of memory at the peak, by precision; measured and rounded up (docs/performance.md).

    Args:
        path: of the network's file, for messages.
        header: of the file.
        precision: of the arithmetic.
        streams: number of threads that call at once; each gets its share of the cores.
        few_images: whether NumPy computes the class maps, which needs no kernel to be loaded or compiled.

    Raises:
        UsageError: the header names no classes.
    """

    name: ClassVar[str]
    layout: ClassVar[Literal["nchw", "nhwc"]]
    bytes_per_pixel: ClassVar[dict[str, int]]

    def __init__(self, path: Path, header: Header, precision: str, streams: int = 1, few_images: bool = False) -> None:
        super().__init__(header, precision)
        self._path = path
        self._threads = max(1, usable_cores() // streams)
        self._few_images = few_images
        if not few_images:
            # Importing Numba takes half a second, as long as the library needs to compile a network: both at once.
            Thread(target=_import_kernel, daemon=True).start()

    @abstractmethod
    def _running(self, images: Images, stages: Stages) -> AbstractContextManager[np.ndarray[Any, Any]]:
        """The logits of checked images, float32 in `layout`, valid inside the block; times the network."""

    def segment(
        self,
        images: Images,
        size: tuple[int, int] | None = None,
        classes: Sequence[int] | None = None,
        stages: Stages | None = None,
    ) -> ClassMaps:
        """See `Runtime.segment`."""
        stages = stages or Stages()
        with self._checked_logits(images, stages) as logits:
            shape = images.shape[1:3] if size is None else size
            if self._few_images:
                with stages.timed(CLASS_MAP):
                    return upsample_argmax_in_numpy(logits, shape, layout=self.layout, classes=classes)
            from fassd.kernels.upsample_argmax import upsample_argmax

            with stages.timed(CLASS_MAP):
                return upsample_argmax(logits, shape, layout=self.layout, classes=classes, threads=self._threads)

    def logits(self, images: Images) -> Logits:
        """See `Runtime.logits`."""
        with self._checked_logits(images, Stages()) as logits:
            planes = logits.transpose(0, 3, 1, 2) if self.layout == "nhwc" else logits
            return np.array(planes, np.float32, order="C")

    @contextmanager
    def _checked_logits(self, images: Images, stages: Stages) -> Iterator[np.ndarray[Any, Any]]:
        """As `_running`, with images and logits checked."""
        self._check(images)
        check_memory(images, self.bytes_per_pixel[self.precision])
        with ExitStack() as held:
            try:
                logits = held.enter_context(self._running(images, stages))
            except Exception as error:
                # Errors of these libraries share no base class.
                raise execution_failed(self._path, self.name, images, error) from None
            check_classes(self._path, logits.shape[self.layout.index("c")], len(self.label_space))
            yield logits


def _import_kernel() -> None:
    import fassd.kernels.upsample_argmax  # noqa: F401
