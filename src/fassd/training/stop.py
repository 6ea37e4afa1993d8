"""Ctrl-C and SIGTERM while a network is trained: granted between two updates, when its weights are whole."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

PATIENCE_S = 8.0
"""How long an update may still take; clusters send SIGKILL some ten seconds after SIGTERM or later."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Notes the first signal and lets the update end; a second one ends the process at once, as it did before.

    Outside the main thread, where Python allows no handlers, nothing is noted.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._before: dict[int, Any] = {}
        self._alarm: threading.Timer | None = None

    def __enter__(self) -> Self:
        self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self._alarm is not None:
            self._alarm.cancel()

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """While the state is safe on the disk, signals need not wait: they do what they did before."""
        self.pass_on()
        yield
        if self.noted is None:
            self._install()

    def pass_on(self) -> None:
        """Gives the noted signal to whoever handled it before."""
        self._restore()
        if self.noted is not None:
            signal.raise_signal(self.noted)

    def _install(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = number
        self._restore()
        # PyTorch may compute for long without returning to Python: only another thread can end it in time.
        self._alarm = threading.Timer(PATIENCE_S, _give_up, (number,))
        self._alarm.daemon = True
        self._alarm.start()


def _give_up(number: int) -> None:
    print(
        f"fassd: the update took longer than {PATIENCE_S:.0f} s; ended with the last training state",
        file=sys.stderr,
        flush=True,
    )
    os._exit(128 + number)
