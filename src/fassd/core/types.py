"""What travels between layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fassd.core.arrays import Image, Labels

Marked: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.bool_]]"
"""(classes,) bool: which classes were marked in a frame."""


@dataclass(frozen=True)
class Sample:
    """An image with its ground truth.

    Attributes:
        name: unique within its data set; what messages call it.
        image: uint8 RGB, (H, W, 3).
        labels: (H, W), a class or IGNORE.
        marked: the classes that were marked in this frame; what else is there carries the class behind it. None: all.
    """

    name: str
    image: Image
    labels: Labels
    marked: Marked | None = None


@dataclass(frozen=True)
class Event:
    """Something worth showing while a task runs.

    Attributes:
        kind: which moment it is, for example "step", "validated", "saved".
        values: what belongs to it, by name.
    """

    kind: str
    values: dict[str, Any]


Watch: TypeAlias = Callable[[Event], None]
"""Gets the events of a task: the command line draws them, tests collect them."""


def ignore_events(event: Event) -> None:
    """The watcher of those who do not watch."""
