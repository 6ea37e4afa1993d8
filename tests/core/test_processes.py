"""Work shared by processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fassd.core.processes import blocked_signals, worker_processes

INTERRUPTED = """
import sys, time
from fassd.core.processes import worker_processes

if __name__ != "__main__":
    sys.stdout.write("importing\\n")  # at once, or the lines of two processes may mix
    sys.stdout.flush()
    time.sleep(0.2)

def work(seconds):
    time.sleep(seconds)

if __name__ == "__main__":
    try:
        with worker_processes(2) as spread:
            for _ in spread(work, [0.05] * 2 + [0.3] * 50):
                print("done", flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("count", [1, 2])
def test_results_come_in_order(count: int) -> None:
    with worker_processes(count) as spread:
        assert list(spread(abs, range(-20, 0))) == list(range(20, 0, -1))


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows cannot block signals")
def test_a_blocked_signal_arrives_when_the_block_ends() -> None:
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt), blocked_signals(signal.SIGINT, signal.SIGTERM):
        signal.raise_signal(signal.SIGINT)
        seen.append("done")
    assert seen == ["done"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_an_interrupt_is_not_lost_while_processes_start() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with worker_processes(2) as spread, pytest.raises(KeyboardInterrupt):
        for _ in spread(abs, _interrupting()):
            pass
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def _interrupting() -> Iterator[int]:
    for number in range(8):
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        yield number


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process group")
@pytest.mark.parametrize("moment", ["importing", "done"])
def test_an_interrupt_says_nothing_from_the_processes(tmp_path: Path, moment: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        assert f"{moment}\n" in running.stdout
        os.killpg(running.pid, signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    assert (running.returncode, said) == (130, "")
