"""`scripts/kill_and_resume.py`: see its docstring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill_and_resume.py"


def _run(*options: str) -> list[str]:
    if not SCRIPT.is_file():
        pytest.skip("installed without the project's scripts")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "every run ended bit-exactly like the uninterrupted one"
    return lines


def test_a_training_killed_three_times_ends_where_an_uninterrupted_one_does() -> None:
    lines = _run("--kills", "3")
    assert len([line for line in lines if line.startswith("death")]) == 3


@pytest.mark.slow
def test_a_training_killed_fifty_times_and_at_every_file_boundary_ends_where_an_uninterrupted_one_does() -> None:
    lines = _run("--kills", "50", "--every-boundary")
    assert len([line for line in lines if line.startswith("death")]) == 50
    assert len([line for line in lines if line.startswith("boundary")]) > 50
