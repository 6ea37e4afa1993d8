from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from fassd.training import signals as stop
from fassd.training.signals import StopSignals

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


class Handled(Exception):
    """What the handler that was there before does."""


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    """Handlers as a program has them."""

    def handle(number: int, frame: object) -> None:
        raise Handled(number)

    saved = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in saved.items():
        signal.signal(number, handler)


@SIGNALS
def test_the_first_signal_waits_and_is_passed_on(number: signal.Signals) -> None:
    with StopSignals() as stop:
        signal.raise_signal(number)
        assert stop.noted == number
        with pytest.raises(Handled, match=str(int(number))):
            stop.pass_on()


@SIGNALS
def test_the_second_signal_ends_at_once(number: signal.Signals) -> None:
    with StopSignals(), pytest.raises(Handled):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(number)


@SIGNALS
def test_while_lifted_signals_do_what_they_did_before(number: signal.Signals) -> None:
    with StopSignals() as stop:
        with stop.lifted(), pytest.raises(Handled):
            signal.raise_signal(number)
        signal.raise_signal(number)
        assert stop.noted == number


def test_a_signal_that_came_before_lifting_is_passed_on_then() -> None:
    with StopSignals() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(Handled), stop.lifted():
            pytest.fail("nothing happens inside")


def test_without_a_signal_nothing_is_passed_on_and_handlers_come_back() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    with StopSignals() as stop:
        assert signal.getsignal(signal.SIGTERM) != handler
        stop.pass_on()
    assert signal.getsignal(signal.SIGTERM) is handler


def test_outside_the_main_thread_nothing_is_noted_and_nothing_fails() -> None:
    noted: list[int | None] = []

    def work() -> None:
        with StopSignals() as stop:
            noted.append(stop.noted)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert noted == [None]


@pytest.mark.parametrize(
    "busy",
    ["time.sleep(60)", "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**30)"],
    ids=["in Python", "without returning to Python"],
)
def test_an_iteration_that_takes_too_long_is_not_waited_for(busy: str) -> None:
    script = f"""
import hashlib, os, signal, threading, time
from fassd.training import signals as stop
stop.PATIENCE_S = 0.05
with stop.StopSignals():
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    {busy}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 143
    assert "resume from the last training state with --resume" in done.stderr


def test_a_signal_that_took_effect_in_time_ends_nothing_later(monkeypatch: pytest.MonkeyPatch) -> None:
    given_up: list[int] = []
    monkeypatch.setattr(stop, "PATIENCE_S", 0.05)
    monkeypatch.setattr(stop, "_give_up", given_up.append)
    threads = threading.active_count()
    with pytest.raises(Handled), StopSignals() as stopping:
        signal.raise_signal(signal.SIGTERM)
        stopping.pass_on()
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (given_up, threading.active_count()) == ([], threads)
    assert signal.set_wakeup_fd(-1) == -1
