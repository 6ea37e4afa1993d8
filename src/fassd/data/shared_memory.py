"""Memory that a process shares with its workers, and batches passed through it."""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Callable, Sequence
from multiprocessing import reduction
from typing import Any

import numpy as np

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Array = np.ndarray[Any, Any]
Layout = tuple[tuple[int, ...], str]
"""Shape and dtype."""


class SharedBytes:
    """Memory shared by a process and those it starts, forked or spawned; freed with the last of them, even if killed.

    It is an anonymous file (memfd), which only Linux has: containers often limit /dev/shm, the usual place, to 64 MiB.
    Elsewhere only forked processes share it, and spawned ones get empty memory.

    Args:
        size: bytes, all 0; physical memory is allocated when they are written.
    """

    picklable = hasattr(os, "memfd_create")
    """Whether it can be passed to spawned processes."""

    def __init__(self, size: int) -> None:
        if self.picklable:
            self._descriptor: int | None = os.memfd_create("fassd")
            os.ftruncate(self._descriptor, max(1, size))
            self._open()
        else:
            self._descriptor = None
            self.array: Bytes = np.frombuffer(mmap.mmap(-1, max(1, size)), np.uint8)

    def _open(self) -> None:
        assert self._descriptor is not None
        weakref.finalize(self, os.close, self._descriptor)
        self.array = np.frombuffer(mmap.mmap(self._descriptor, 0), np.uint8)

    def __reduce__(self) -> tuple[Callable[[Any], SharedBytes], tuple[Any]]:
        # Works while a process is started, which is when workers get their data.
        if self._descriptor is None:
            return SharedBytes, (0,)
        return _received, (reduction.DupFd(self._descriptor),)


def _received(descriptor: Any) -> SharedBytes:
    memory = SharedBytes.__new__(SharedBytes)
    memory._descriptor = descriptor.detach()
    memory._open()
    return memory


class SharedBatches:
    """Passes batches from workers to the process that started them; a pipe would copy every batch four times.

    Args:
        slots: batches in memory at a time: those being made and the one being taken.
        size: of the largest batch, in bytes; memory is allocated as it is written.
    """

    def __init__(self, slots: int, size: int) -> None:
        self._slots, self._size = slots, size
        self._memory = SharedBytes(slots * size)

    def put(self, number: int, stacks: Sequence[Sequence[Array]]) -> list[Layout]:
        """Stacks arrays into the slot of a batch, one stack after the other; returns their layouts, for `take`."""
        layouts: list[Layout] = [((len(stack), *stack[0].shape), stack[0].dtype.str) for stack in stacks]
        for stack, view in zip(stacks, self._views(number, layouts), strict=True):
            np.stack(stack, out=view)
        return layouts

    def take(self, number: int, layouts: Sequence[Layout]) -> list[Array]:
        """Copies of the stacks of a batch; its slot is free afterwards."""
        return [view.copy() for view in self._views(number, layouts)]

    def _views(self, number: int, layouts: Sequence[Layout]) -> list[Array]:
        slot, views, begin = self._memory.array[number % self._slots * self._size :][: self._size], list[Array](), 0
        for shape, dtype in layouts:
            end = begin + int(np.prod(shape)) * np.dtype(dtype).itemsize
            views.append(slot[begin:end].view(dtype).reshape(shape))
            begin = end
        return views
