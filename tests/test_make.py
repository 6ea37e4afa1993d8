"""What `make demo` and `make setup` install, and when; a stand-in for Python writes down what it is asked to do."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("Makefile", "pyproject.toml", "constraints.txt")
_LIGHT = "install -qq --disable-pip-version-check -c constraints.txt -e ."

_VENV = """#!/bin/sh
mkdir -p .venv/bin
cp "$STAND_IN" .venv/bin/python
cp "$STAND_IN" .venv/bin/fassd
"""
_STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> calls
case "$*" in *"pip install"*) exit "${PIP_STATUS:-0}" ;; esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what make needs, and the stand-ins."""
    if not all((ROOT / name).is_file() for name in FILES) or not shutil.which("make"):
        pytest.skip("installed without the Makefile, or there is no make")
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, clone)
    for name, content in (("venv", _VENV), ("stand-in", _STAND_IN)):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    return clone


def _make(clone: Path, *targets: str, **variables: str) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """What was installed or run since the last call."""
    calls = clone / "calls"
    calls.unlink(missing_ok=True)
    stand_ins = {"PYTHON": str(clone.parent / "venv"), "STAND_IN": str(clone.parent / "stand-in")}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", *targets]
    done = subprocess.run(
        command, cwd=clone, env=inherited | stand_ins | variables, capture_output=True, text=True, check=False
    )
    found = calls.read_text().splitlines() if calls.exists() else []
    return [call.removeprefix("python -m pip ").removeprefix("python -m ") for call in found], done


def test_the_demo_installs_the_light_package_and_says_what_to_type_next(clone: Path) -> None:
    calls, done = _make(clone, "demo")
    assert calls == [_LIGHT, "fassd predict src/fassd/assets --out predictions"]
    assert done.stdout.splitlines()[-2:] == [
        f"Overlays and class maps are in {clone}/predictions. To label an image of yours:",
        "    .venv/bin/fassd predict YOUR.jpg",
    ]
    assert _make(clone, "demo")[0] == calls[1:]


@pytest.mark.parametrize("order", [("demo", "test"), ("test", "demo"), ("demo", "setup", "test", "check", "demo")])
def test_the_environment_is_extended_once_in_any_order(clone: Path, order: tuple[str, ...]) -> None:
    installed = [call for target in order for call in _make(clone, target)[0] if call.startswith("install")]
    assert installed == [_LIGHT, f"{_LIGHT}[dev]"]


@pytest.mark.parametrize("changed", FILES[1:])
def test_it_is_installed_again_when_what_it_needs_changes(clone: Path, changed: str) -> None:
    _make(clone, "setup")
    assert not _make(clone, "setup")[0]
    later = (clone / ".venv/ready").stat().st_mtime + 10
    os.utime(clone / changed, (later, later))
    assert _make(clone, "setup")[0] == [_LIGHT, f"{_LIGHT}[dev]"]


@pytest.mark.parametrize("target", ["demo", "setup", "test"])
def test_what_pip_cannot_install_fails_and_is_tried_again(clone: Path, target: str) -> None:
    calls, done = _make(clone, target, PIP_STATUS="3")
    assert calls == [_LIGHT]
    assert done.returncode == 2
    assert "Error 3" in done.stderr
    assert _LIGHT in _make(clone, target)[0]
