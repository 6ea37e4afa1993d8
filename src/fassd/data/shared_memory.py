"""Memory that a process shares with its workers, and batches handed over through it."""

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
    """Memory that a process shares with those it starts, forked or spawned; gone with the last of them, even if killed.

    It is a file without a name, which only Linux has: containers often limit /dev/shm, the usual place, to 64 MiB.
    Elsewhere it stays with forked processes; spawned ones get an empty one.

    Args:
        size: bytes, all 0; physical memory is taken when they are written to.
    """

    travel = hasattr(os, "memfd_create")
    """Whether it can be handed to spawned processes."""

    def __init__(self, size: int) -> None:
        if self.travel:
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
        # Works while a process is being started, which is when workers get what they work on.
        if self._descriptor is None:
            return SharedBytes, (0,)
        return _received, (reduction.DupFd(self._descriptor),)


def _received(descriptor: Any) -> SharedBytes:
    memory = SharedBytes.__new__(SharedBytes)
    memory._descriptor = descriptor.detach()
    memory._open()
    return memory


class Exchange:
    """Where workers leave batches for the process that started them: through a pipe each would be copied four times.

    Args:
        slots: batches that may be there at the same time: those that are made and the one that is taken.
        size: of the largest, in bytes; memory is taken as it is needed.
    """

    def __init__(self, slots: int, size: int) -> None:
        self._slots, self._size = slots, size
        self._memory = SharedBytes(slots * size)

    def leave(self, number: int, stacks: Sequence[Sequence[Array]]) -> list[Layout]:
        """Stacks arrays into the slot of a batch, one stack after the other; returns what `take` needs."""
        layouts: list[Layout] = [((len(stack), *stack[0].shape), stack[0].dtype.str) for stack in stacks]
        for stack, place in zip(stacks, self._places(number, layouts), strict=True):
            np.stack(stack, out=place)
        return layouts

    def take(self, number: int, layouts: Sequence[Layout]) -> list[Array]:
        """Copies of the stacks of a batch, whose slot is free from then on."""
        return [place.copy() for place in self._places(number, layouts)]

    def _places(self, number: int, layouts: Sequence[Layout]) -> list[Array]:
        slot, places, begin = self._memory.array[number % self._slots * self._size :][: self._size], list[Array](), 0
        for shape, dtype in layouts:
            end = begin + int(np.prod(shape)) * np.dtype(dtype).itemsize
            places.append(slot[begin:end].view(dtype).reshape(shape))
            begin = end
        return places
