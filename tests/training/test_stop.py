from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from fassd.training.stop import StopSignals

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


def test_an_update_that_takes_too_long_is_not_waited_for() -> None:
    script = """
import signal, time
from fassd.training import stop
stop.PATIENCE_S = 0.05
with stop.StopSignals():
    signal.raise_signal(signal.SIGTERM)
    time.sleep(60)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 143
    assert "ended with the last training state" in done.stderr
