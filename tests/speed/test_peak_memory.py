"""Peak memory of a fresh process, and of one that fails."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fassd.speed.images import TimedImages
from fassd.speed.peak_memory import Peak, peak_memory
from fassd.speed.protocol import Request
from fassd.speed.report import Variant

SIZE = (64, 96)


def test_peak_memory_is_that_of_a_fresh_process(tiny_weights: Path) -> None:
    held = np.ones(600 * 2**20, np.uint8)
    variant = Variant(network="x", runtime="eager", precision="float32", device="cpu", size=SIZE, batch=1)
    found = peak_memory(Request(variant, "user", str(tiny_weights)), TimedImages())
    assert found.process is not None
    assert 50 < found.process < 550 < held.nbytes / 2**20
    assert found.device is None


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 1", "its process failed: exit code 1"),
        ("echo nonsense", "its process failed: exit code 0"),
        ("echo 'Traceback:\n  ...\nUsageError: too large\n' >&2; exit 1", "its process failed: UsageError: too large"),
        ("kill -9 $$", "its process was ended by signal 9, as where memory runs out"),
    ],
)
def test_the_peak_of_what_fails_is_unknown_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    variant = Variant(network="x", runtime="eager", precision="float32", device="cpu", size=SIZE, batch=1)
    for executable, problem in ((str(python), why), ("", "no program is known that runs Python")):
        monkeypatch.setattr(sys, "executable", executable)
        assert peak_memory(Request(variant, "user", None), TimedImages()) == Peak(problem=problem)
