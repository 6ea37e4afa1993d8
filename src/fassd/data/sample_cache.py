"""A cache of decoded samples, in memory that training shares with its worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from fassd.core.arrays import Image, Labels
from fassd.core.machine import free_memory, memory_bytes
from fassd.data.shared_memory import Bytes, SharedBytes

Size = tuple[int, int]
"""Height and width."""


def cache_bytes() -> int:
    """Bytes for decoded samples: half of the free memory, divided by the number of training processes of this machine.

    The other half is for training itself. Launchers of several processes set LOCAL_WORLD_SIZE.
    """
    free = free_memory()
    if free is None:  # known only on Linux
        free = (memory_bytes() or 0) // 2
    return free // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class SampleCache:
    """Memory for as many of the first samples as have room, filled by the process that reads a sample first.

    There are no locks: two processes that read a sample at the same time write the same bytes, and a sample counts as
    cached only once its flag is set, after its bytes. Memory is allocated as samples are written.

    Args:
        sizes: of every sample's image and labels; None where a header cannot be read. Consumed only as long as there
            is room.
        room: bytes.
    """

    def __init__(self, sizes: Iterable[tuple[Size, Size] | None], room: int) -> None:
        self._sizes = list[tuple[Size, Size] | None]()
        self._ends = [0]
        for size in sizes:
            end = self._ends[-1] + (0 if size is None else 3 * _area(size[0]) + _area(size[1]))
            if end > room:
                break
            self._sizes.append(size)
            self._ends.append(end)
        try:
            self._memory = SharedBytes(self._ends[-1] + len(self._sizes))
        except OSError:  # a limit set by ulimit
            self._sizes, self._ends, self._memory = [], [0], SharedBytes(0)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self if SharedBytes.picklable else SampleCache((), 0))

    def get(self, position: int) -> tuple[Image, Labels] | None:
        """The image and labels of a sample, not to be modified; None if they are not cached (yet)."""
        if position >= len(self) or not self._flags[position]:
            return None
        return self._slot(position)

    def put(self, position: int, image: Image, labels: Labels) -> None:
        """Caches a sample, if there is room for it and its sizes are those announced."""
        size = self._sizes[position] if position < len(self) else None
        if size == (image.shape[:2], labels.shape):
            cached_image, cached_labels = self._slot(position)
            cached_image[:], cached_labels[:] = image, labels
            self._flags[position] = 1

    @property
    def _flags(self) -> Bytes:
        return self._memory.array[self._ends[-1] :]

    def _slot(self, position: int) -> tuple[Image, Labels]:
        size = self._sizes[position]
        assert size is not None
        begin, end = self._ends[position], self._ends[position + 1]
        middle = begin + 3 * _area(size[0])
        memory = self._memory.array
        return memory[begin:middle].reshape(*size[0], 3), memory[middle:end].reshape(size[1])


def _area(size: Size) -> int:
    return size[0] * size[1]
