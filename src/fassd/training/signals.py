"""Ctrl-C and SIGTERM during training: they take effect between two iterations, when a state can be saved."""

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
"""How long the iteration may still take; clusters send SIGKILL ten seconds or more after SIGTERM."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Notes the first signal, so that the iteration can end. A second one has its usual effect at once.

    Outside the main thread, where Python allows no handlers, nothing is noted.

    Attributes:
        noted: number of the signal, None before it arrives.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self._before: dict[int, Any] = {}
        self._woken_before = -1
        self._listener: _SignalListener | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._listener = _SignalListener()
        self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self._listener is not None:
            self._listener.close()

    @contextmanager
    def lifted(self) -> Iterator[None]:
        """Signals inside have their usual effect at once, since the state is saved."""
        self.pass_on()
        yield
        if self.noted is None:
            self._install()

    def pass_on(self) -> None:
        """Raises the noted signal again, for the handler that was installed before."""
        self._restore()
        if self.noted is not None:
            signal.raise_signal(self.noted)

    def _install(self) -> None:
        if self._listener is not None:
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
            self._woken_before = signal.set_wakeup_fd(self._listener.file, warn_on_full_buffer=False)

    def _restore(self) -> None:
        if self._before:
            signal.set_wakeup_fd(self._woken_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.noted = number
        self._restore()


class _SignalListener:
    """Ends the process if a signal had no effect after `PATIENCE_S`.

    Python runs signal handlers in the main thread only, and not before its current call into C returns. Python's
    wake-up file is written at once and read here in a thread.
    """

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._closed = threading.Event()
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    @property
    def file(self) -> int:
        """File descriptor for Python's `set_wakeup_fd`."""
        return self._writer.fileno()

    def close(self) -> None:
        """Every signal so far has had its effect."""
        self._closed.set()
        self._writer.close()

    def _listen(self) -> None:
        with self._reader:
            while number := self._reader.recv(1):
                if number[0] in _SIGNALS and not self._closed.wait(PATIENCE_S):
                    _give_up(number[0])


def _give_up(number: int) -> None:
    print(
        f"fassd: the iteration took longer than {PATIENCE_S:.0f} s, or waited for a process that ended; resume from "
        "the last training state with --resume",
        file=sys.stderr,
        flush=True,
    )
    os._exit(128 + number)
