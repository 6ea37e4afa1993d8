"""TensorBoard, Weights & Biases, MLflow, trackio: by Accelerate, in a thread of their own.

A tracker may be slow, offline or broken. Training never waits for it: figures that find the queue full are dropped.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import msgspec

from fassd.core.errors import MissingExtra, UnknownName
from fassd.core.recipe import Recipe

# Accelerate's names, and the module that each needs.
TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}

# Figures that may wait, and how long the end of a run waits for trackers to take them.
_QUEUED, _FINISH_S = 10_000, 10.0

_Message = tuple[dict[str, float], int] | None


def select_trackers(names: Sequence[str] | None) -> tuple[str, ...]:
    """The trackers of a run.

    Args:
        names: as the user gave them; None means TensorBoard where it is installed.

    Raises:
        UnknownName: it is none of TRACKERS.
        MissingExtra: its package is not installed.
    """
    if names is None:
        return ("tensorboard",) if find_spec("tensorboard") else ()
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        if find_spec(TRACKERS[name]) is None:
            raise MissingExtra(TRACKERS[name], "train" if name == "tensorboard" else name, f"--track {name}")
    return tuple(names)


def flat_values(recipe: Recipe) -> dict[str, Any]:
    """The recipe's values by "section.key", lists as text, as trackers show them."""
    flat: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(recipe).items():
        inside = {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {key: str(one) if isinstance(one, list) else one for key, one in inside.items()}
    return flat


class Trackers:
    """The trackers of one run. At the end of the context they get the remaining figures, but have limited time for it.

    Args:
        names: of TRACKERS.
        folder: of the run; trackers that write files write below it.
        recipe: the run's values, flat.
        complain: called with a sentence if a tracker fails.
    """

    def __init__(
        self, names: Sequence[str], folder: Path, recipe: dict[str, Any], complain: Callable[[str], None]
    ) -> None:
        self._names, self._folder, self._recipe, self._complain = names, folder, recipe, complain
        self._queue: queue.Queue[_Message] = queue.Queue(_QUEUED)
        self._thread: threading.Thread | None = None

    def __call__(self, values: dict[str, float], iteration: int) -> None:
        """Passes figures to the trackers without waiting."""
        if not self._names:
            return
        if self._thread is None:
            # Started with the first figures: by then the processes that load data are forked.
            self._thread = threading.Thread(target=self._work, name="trackers", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait((values, iteration))
        except queue.Full:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        try:
            self._queue.put(None, timeout=_FINISH_S)
        except queue.Full:
            return
        self._thread.join(_FINISH_S)

    def _work(self) -> None:
        try:
            opened = self._open()
            while (message := self._queue.get()) is not None:
                for tracker in opened:
                    tracker.log(*message)
            for tracker in opened:
                tracker.finish()
        except BaseException as error:  # whatever a tracker's package raises, SystemExit included
            self._complain(f"the tracker failed ({type(error).__name__}: {error}); training continues without it")
            self._names = ()

    def _open(self) -> list[Any]:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        opened = []
        for name in self._names:
            kind = LOGGER_TYPE_TO_CLASS[name]
            if kind.requires_logging_directory:
                # No configuration: the recipe is in the folder already.
                opened.append(kind(name, self._folder))
                opened[-1].start()
                continue
            opened.append(kind("fassd"))
            opened[-1].start()
            opened[-1].store_init_configuration(self._recipe)
        return opened
