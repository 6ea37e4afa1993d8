"""Types that several layers share: samples, and the events of running tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fassd.core.arrays import Image, Labels

AnnotatedClasses: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.bool_]]"
"""(classes,) bool: which classes were annotated in a frame."""


@dataclass(frozen=True)
class Sample:
    """An image with its ground truth.

    Attributes:
        name: unique within its data set; what messages call it.
        image: uint8 RGB, (H, W, 3).
        labels: (H, W), a class or IGNORE.
        annotated: the classes that were annotated in this frame; None means all. Other objects carry the label of what
            is behind them.
    """

    name: str
    image: Image
    labels: Labels
    annotated: AnnotatedClasses | None = None


@dataclass(frozen=True)
class Event:
    """Progress of a running task, to be shown.

    Attributes:
        kind: what happened, for example "step", "validated", "saved".
        values: its details by name.
    """

    kind: str
    values: dict[str, Any]


Watch: TypeAlias = Callable[[Event], None]
"""A function that gets the events of a task: the command line draws them, tests collect them."""


def ignore_events(event: Event) -> None:
    """The default `Watch`: does nothing."""
