"""Decoded samples kept in memory that a process shares with those it starts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from fassd.core.arrays import Image, Labels
from fassd.core.machine import free_memory, memory_bytes
from fassd.data.shared_memory import Bytes, SharedBytes

Size = tuple[int, int]
"""Height and width."""


def memory_to_keep() -> int:
    """Bytes that may hold decoded samples: half of what is free, shared with the other trainings of this machine.

    The other half is for the training itself. Launchers of several processes say how many there are.
    """
    free = free_memory()
    if free is None:  # only Linux tells
        free = (memory_bytes() or 0) // 2
    return free // 2 // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


class KeptSamples:
    """A slot for each of the first samples, as many as have room, filled by whichever process reads one first.

    Two that read one at the same time write the same bytes, and a slot counts from when it is marked, after that: so
    nobody waits for anybody. The slots are laid out beforehand; memory is taken as they are filled.

    Args:
        sizes: of each sample's image and of its labels, or None where a header cannot be read. Asked for only as long
            as there is room.
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
        except OSError:  # a limit of the shell's, ulimit
            self._sizes, self._ends, self._memory = [], [0], SharedBytes(0)

    def __len__(self) -> int:
        return len(self._sizes)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self if SharedBytes.travel else KeptSamples((), 0))

    def get(self, position: int) -> tuple[Image, Labels] | None:
        """The pixels of a sample, not to be changed; None if they are not kept, or not yet."""
        if position >= len(self) or not self._marks[position]:
            return None
        return self._slot(position)

    def put(self, position: int, image: Image, labels: Labels) -> None:
        """Keeps the pixels of a sample, if it has a slot and they are as large as was said."""
        size = self._sizes[position] if position < len(self) else None
        if size == (image.shape[:2], labels.shape):
            kept_image, kept_labels = self._slot(position)
            kept_image[:], kept_labels[:] = image, labels
            self._marks[position] = 1

    @property
    def _marks(self) -> Bytes:
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
