"""OpenVINO, NNCF and ONNX Runtime report to their makers; under fassd they do not. Nor does it load PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREDICTION = """
from fassd.cli.main import run
assert run(["predict", picture, "--out", out, "--device", "cpu"]) == 0
assert "torch" not in sys.modules
"""
EXPORT = """
from pathlib import Path
from fassd.core.checkpoint import read_checkpoint
from fassd.runtimes.openvino_file import write_model
from fassd.runtimes.openvino_graph import build_logits
checkpoint = read_checkpoint(Path(weights))
write_model(build_logits(checkpoint.header, checkpoint.arrays), Path(out) / "net.xml")
assert run_file(Path(out) / "net.xml")
assert "torch" not in sys.modules
"""
QUANTIZATION = """
from pathlib import Path
import numpy
from fassd.core.checkpoint import read_checkpoint
from fassd.runtimes.openvino_graph import build_logits
from fassd.runtimes.quantize import quantize
checkpoint = read_checkpoint(Path(weights))
quantize(build_logits(checkpoint.header, checkpoint.arrays), [numpy.zeros((1, 64, 64, 3), numpy.uint8)])
assert "nncf" in sys.modules
"""

THE_COMMAND = """
from fassd.cli.main import run
from fassd.core.catalog import DEFAULT_WEIGHTS
for to, name, *more in (
    ("onnx", "net.onnx"),
    ("onnx", "int8.onnx", "--precision", "int8", "--calibrate", picture),
    ("openvino", "net.xml"),
    ("openvino", "int8.xml", "--precision", "int8", "--calibrate", picture),
):
    code = run(["export", DEFAULT_WEIGHTS, "--to", to, "--out", f"{out}/{name}", "--images", picture, *more])
    assert code in (0, 1), name  # whether int8 is good enough is not asked here
assert {"nncf", "onnxruntime", "openvino"} <= set(sys.modules)
"""

PROGRAM = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        print("a socket was asked for:", event)
        raise OSError("no sockets here")
sys.addaudithook(refuse)
weights, picture, out = sys.argv[1:]
def run_file(path):
    import numpy
    from fassd import open_runtime
    with open_runtime(path, "cpu") as runtime:
        return runtime.segment(numpy.zeros((1, 64, 64, 3), numpy.uint8)).shape == (1, 64, 64)
"""


def _run(program: str, folder: Path, *arguments: Path) -> tuple[str, list[str]]:
    """What a program without CI in its surroundings prints, and what it leaves in the user's home."""
    home = folder / "home"
    home.mkdir()
    without = (
        "CI",
        "GITHUB_ACTIONS",
        "TF_BUILD",
        "JENKINS_URL",
        "XDG_CACHE_HOME",
        "PYTEST_CURRENT_TEST",
        "ORT_DISABLE_TELEMETRY",
    )
    surroundings = {name: value for name, value in os.environ.items() if name not in without}
    surroundings |= {"HOME": str(home), "FASSD_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM + program, *map(str, arguments)]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr, sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def _arguments(tiny_weights: Path, folder: Path) -> list[Path]:
    from PIL import Image

    Image.new("RGB", (80, 64), "gray").save(folder / "picture.png")
    (folder / "out").mkdir()
    return [tiny_weights, folder / "picture.png", folder / "out"]


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(PREDICTION, id="prediction"),
        pytest.param(EXPORT, id="export"),
        pytest.param(QUANTIZATION, id="quantization", marks=pytest.mark.slow),
        pytest.param(THE_COMMAND, id="fassd export", marks=pytest.mark.slow),
    ],
)
def test_nothing_is_sent_and_nothing_is_left_at_home(tiny_weights: Path, tmp_path: Path, program: str) -> None:
    if "nncf" in program:
        pytest.importorskip("nncf")
    said, left = _run(program, tmp_path, *_arguments(tiny_weights, tmp_path))
    assert "socket" not in said
    assert left == []


def test_a_socket_would_be_noticed(tiny_weights: Path, tmp_path: Path) -> None:
    program = """
import socket
for ask in (socket.socket, lambda: socket.getaddrinfo("localhost", 80)):
    try:
        ask()
    except OSError:
        pass
"""
    said, _ = _run(program, tmp_path, *_arguments(tiny_weights, tmp_path))
    assert [line.rpartition(" ")[2] for line in said.splitlines()] == ["socket.__new__", "socket.getaddrinfo"]


@pytest.mark.slow
def test_without_our_care_something_would_be_left(tiny_weights: Path, tmp_path: Path) -> None:
    """The test above can fail: this is what it would find. ONNX Runtime is not asked: nothing here keeps its native
    code from sending. It would leave Microsoft/DeveloperTools/.onnxruntime in the user's cache.
    """
    _, left = _run("import openvino", tmp_path, *_arguments(tiny_weights, tmp_path))
    assert "intel" in left
