from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fassd
from fassd.kernels import compiled

_PROBE = """
from fassd.core.errors import ANSWER
from fassd.kernels.compiled import kept
from fassd.kernels.callee import called


@kept
def probe(x):
    return called(x) + ANSWER
"""
_CALLEE = """
from fassd.kernels.compiled import compiled


@compiled
def called(x):
    return x * 10
"""
_RUN = "from fassd.kernels.probe import probe; print(probe(4))"

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of what kernels are made of, with one that calls into another file and uses a constant of `core`."""
    original = Path(fassd.__file__).parent
    package = tmp_path / "fassd"
    for room in ("core", "kernels"):
        shutil.copytree(original / room, package / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(original / "__init__.py", package)
    (package / "kernels/probe.py").write_text(_PROBE)
    (package / "kernels/callee.py").write_text(_CALLEE)
    with (package / "core/errors.py").open("a") as errors:
        errors.write("\nANSWER = 2\n")
    return package


@pytest.fixture
def run(package: Path, tmp_path: Path) -> Run:
    """Calls the kernel in a fresh process: its result, and what Numba says that it did with its cache."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}

    def run(**variables: str) -> tuple[int, str]:
        # Without bytecode, which Python would take for that of a file edited within the same second.
        surroundings = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_DEBUG_CACHE": "1"}
        environment = inherited | surroundings | variables
        done = subprocess.run([sys.executable, "-c", _RUN], env=environment, capture_output=True, text=True, check=True)
        return int(done.stdout.splitlines()[-1]), done.stdout

    return run


def _edit(file: Path, before: str, after: str) -> None:
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))


def _machine_code(package: Path) -> list[Path]:
    return sorted((package / "kernels/__pycache__/fassd-kernels").rglob("*.nbc"))


def test_the_next_process_finds_the_machine_code(package: Path, run: Run) -> None:
    assert run()[0] == 42
    assert len(_machine_code(package)) == 1
    result, log = run()
    assert result == 42
    assert "data loaded" in log
    assert "data saved" not in log


@pytest.mark.parametrize(
    ("file", "before", "after", "expected"),
    [
        ("kernels/callee.py", "x * 10", "x * 100", 402),
        ("kernels/probe.py", "called(x) +", "called(x) -", 38),
        ("core/errors.py", "ANSWER = 2", "ANSWER = 3", 43),
    ],
)
def test_a_kernel_is_compiled_anew_when_any_file_that_it_is_made_of_changes(
    package: Path, run: Run, file: str, before: str, after: str, expected: int
) -> None:
    assert run()[0] == 42
    _edit(package / file, before, after)
    assert run()[0] == expected


def test_another_version_or_processor_compiles_anew(package: Path, run: Run) -> None:
    run()
    assert "data saved" in run(NUMBA_CPU_NAME="generic")[1]
    _edit(package / "__init__.py", f'"{fassd.__version__}"', '"99.0"')
    assert "data saved" in run()[1]
    assert len(_machine_code(package)) == 3


def test_old_machine_code_does_not_pile_up(package: Path, run: Run) -> None:
    folder = package / "kernels/__pycache__/fassd-kernels"
    for age in range(20):
        (folder / f"old-{age:02}").mkdir(parents=True)
        os.utime(folder / f"old-{age:02}", (10**9 - age, 10**9 - age))
    run()
    left = sorted(one.name for one in folder.iterdir())
    assert len(left) == 8
    assert left[1:] == [f"old-{age:02}" for age in range(7)]


def test_the_folder_may_be_elsewhere_or_nowhere(package: Path, run: Run, tmp_path: Path) -> None:
    assert run(NUMBA_CACHE_DIR=str(tmp_path / "named"))[0] == 42
    assert len(list((tmp_path / "named/fassd-kernels").rglob("*.nbc"))) == 1
    (tmp_path / "file").touch()
    assert run(NUMBA_CACHE_DIR=str(tmp_path / "file"))[0] == 42
    (package / "kernels/__pycache__").touch()
    assert run(XDG_CACHE_HOME=str(tmp_path / "home"))[0] == 42
    assert len(list((tmp_path / "home/fassd/fassd-kernels").rglob("*.nbc"))) == 1
    assert run(XDG_CACHE_HOME=str(tmp_path / "file"))[0] == 42


def test_a_function_that_no_folder_can_keep_is_compiled_all_the_same() -> None:
    namespace: dict[str, Any] = {}
    exec("def double(x):\n    return 2 * x", namespace)
    assert compiled.kept(namespace["double"])(3) == 6


def test_damaged_machine_code_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "code_folder", lambda: tmp_path)
    source = tmp_path / "double.py"
    source.write_text("def double(x):\n    return 2 * x\n")
    damages = [
        ("nothing yet", b""),
        ("*.nbc", b""),
        ("*.nbi", b""),
        ("*.nbc", b"garbage\n"),
        ("*.nbc", b"\x8c\x03\xed\xed"),
    ]
    for files, content in damages:
        for file in tmp_path.rglob(files):
            file.write_bytes(content or file.read_bytes()[:50])
        namespace: dict[str, Any] = {"__name__": "double"}
        exec(compile(source.read_text(), source, "exec"), namespace)
        assert compiled.kept(namespace["double"])(3) == 6
    assert [file.suffix for file in tmp_path.rglob("*.nb?") if file.stat().st_size > 50]
