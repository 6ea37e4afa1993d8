"""The command as a process of its own: signals, pipes, and how it is started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pillow

from fassd.training.run import Run

PATIENCE_S = 60
SIGNALS = [(signal.SIGINT, 130, "fassd: interrupted"), (signal.SIGTERM, 143, "fassd: terminated")]


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fassd", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def _wait_for(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Signals the process and its workers, as a terminal does for Ctrl-C; gives the error output."""
    os.killpg(process.pid, number)
    return process.communicate(timeout=PATIENCE_S)[1]


def _hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
def test_a_stopped_prediction_leaves_whole_files_and_its_exit_code(
    tmp_path: Path, street: Path, tiny_weights: Path, number: signal.Signals, code: int, said: str
) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    for index in range(2000):
        (pictures / f"{index:04}.png").hardlink_to(street)
    process = _start("predict", pictures, "--weights", tiny_weights, "--out", out)
    _wait_for(lambda: len(list(out.glob("[!.]*_classmap.png"))) > 2, process)
    errors = _signal_group(process, number)
    assert process.returncode == code
    assert errors.strip() == said
    written = sorted(out.iterdir())
    assert 6 <= len(written) < 4000
    assert not _hidden(out)
    for path in written:
        with Pillow.open(path) as picture:
            picture.load()


@pytest.mark.parametrize(("number", "code", "said"), SIGNALS)
def test_a_stopped_training_leaves_a_state_to_resume_and_its_exit_code(
    tmp_path: Path, world: Path, number: signal.Signals, code: int, said: str
) -> None:
    run = tmp_path / "run"
    data = ["--data", f"camvid:{world / 'camvid'}", "--out", run]
    process = _start("train", world / "recipe.toml", *data, "--iterations", 100_000)
    _wait_for((run / "updates.csv").exists, process)
    errors = _signal_group(process, number)
    assert process.returncode == code, errors
    assert errors.splitlines()[-1] == said
    assert "Traceback" not in errors
    assert Run(run).states.load().progress.iteration >= 1
    assert not _hidden(run)


def test_a_reader_that_stops_reading_causes_no_error_message() -> None:
    with _start("networks", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode in (0, 1)


def test_the_installed_command_is_the_module() -> None:
    installed = Path(sys.executable).with_name("fassd")
    if not installed.exists():
        pytest.skip("fassd is not installed as a command beside this Python")
    outputs = [
        subprocess.run([*command, "networks", "--json"], capture_output=True, text=True, check=True).stdout
        for command in ([installed], [sys.executable, "-m", "fassd"])
    ]
    assert outputs[0] == outputs[1]
    assert len(json.loads(outputs[0])) == 11


def test_bad_input_ends_the_process_with_code_2_and_one_line(tmp_path: Path) -> None:
    process = _start("inspect", tmp_path / "missing.safetensors")
    printed, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, printed) == (2, "")
    assert errors.startswith("fassd: ")
    assert errors.count("\n") == 1
