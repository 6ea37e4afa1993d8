"""Ctrl-C and SIGTERM while a network is trained: granted between two updates, when its weights are whole."""

from __future__ import annotations

import os
import signal
import socket
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
        self._woken_before = -1
        self._ear: _Ear | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._ear = _Ear()
        self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self._ear is not None:
            self._ear.close()

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
        if self._ear is not None:
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
            self._woken_before = signal.set_wakeup_fd(self._ear.file, warn_on_full_buffer=False)

    def _restore(self) -> None:
        if self._before:
            signal.set_wakeup_fd(self._woken_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = number
        self._restore()


class _Ear:
    """Hears of signals even while the main thread computes, or waits for another process, without returning to Python.

    Handlers run in the main thread alone, so that they may come too late; Python's wake-up file is written at once.
    """

    def __init__(self) -> None:
        self._hears, self._told = socket.socketpair()
        self._told.setblocking(False)
        self._closed = threading.Event()
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    @property
    def file(self) -> int:
        """What is written to."""
        return self._told.fileno()

    def close(self) -> None:
        """Whatever was heard has been granted."""
        self._closed.set()
        self._told.close()

    def _listen(self) -> None:
        with self._hears:
            while number := self._hears.recv(1):
                if number[0] in _SIGNALS and not self._closed.wait(PATIENCE_S):
                    _give_up(number[0])


def _give_up(number: int) -> None:
    print(
        f"fassd: the update took longer than {PATIENCE_S:.0f} s, or waited for a process that ended; go on from the "
        "last training state with --resume",
        file=sys.stderr,
        flush=True,
    )
    os._exit(128 + number)
