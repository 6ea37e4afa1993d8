"""From weights to a runtime."""

from __future__ import annotations

from importlib import import_module
from numbers import Integral
from pathlib import Path

from fassd.core.catalog import DEFAULT_WEIGHTS, WEIGHTS, locate_weights
from fassd.core.errors import CheckpointError, MissingExtra, UsageError
from fassd.runtimes.choose import choose
from fassd.runtimes.rows import AUTO, CHECKPOINT, RUNTIMES
from fassd.runtimes.runtime import Runtime


def open_runtime(
    weights: str | Path = DEFAULT_WEIGHTS,
    device: str = AUTO,
    precision: str = AUTO,
    runtime: str = AUTO,
    streams: int = 1,
) -> Runtime:
    """Opens weights on the runtime that executes them best here.

    Args:
        weights: the name of shipped weights, a checkpoint file, or an exported file (.xml of OpenVINO, .onnx).
        device: "cpu", "cuda" or "cuda:N"; "auto" takes a GPU where PyTorch can use one.
        precision: "float32", "bfloat16" or, for shipped and exported files, "int8"; "auto" takes the fastest that the
            device computes natively, never int8. On average over images at least 99.5 % of its pixels agree with
            float32; of the worst single image measured, 98.9 % did.
        runtime: "openvino", "onnx", "pytorch", "pytorch-compiled", or "auto".
        streams: how many threads will call at once, each on its share of the processor's cores.

    Raises:
        UnknownName, CheckpointError: no such weights or runtime, or a damaged or foreign file.
        MissingExtra, FassdError: the runtime's package is not installed.
        UsageError: the device is not there, no stream is asked for, or these do not go together.
    """
    if not isinstance(streams, Integral) or streams < 1:
        raise UsageError(f"streams are {streams}; at least 1 thread has to call")
    path = _file_of(str(weights), precision, runtime)
    # Whatever has no suffix of its own is opened as a checkpoint, which says what is wrong with it.
    known = {suffix for row in RUNTIMES.values() for suffix in row.suffixes}
    suffix = path.suffix.lower() if path.suffix.lower() in known else CHECKPOINT
    choice = choose(suffix, runtime, device, precision)
    try:
        opened: Runtime = import_module(choice.row.module).open_file(path, choice, streams)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx", "onnxruntime", "openvino"):
            raise
        raise MissingExtra(error.name, choice.row.extra or "all", f"the runtime {choice.row.name}") from None
    return opened


def _file_of(weights: str, precision: str, runtime: str) -> Path:
    """The file to open: shipped weights have a form in int8 of their own."""
    path = locate_weights(weights)
    if weights in WEIGHTS and precision == "int8":
        path, own = WEIGHTS[weights].int8, "openvino"
        if runtime in RUNTIMES and runtime != own:
            raise UsageError(
                f"in int8 {weights} is answered by the runtime {own}, not by {runtime}; leave --runtime or "
                "--precision out"
            )
    if path.is_dir():
        raise CheckpointError(path, "is a folder; name the checkpoint or the exported file inside")
    if not path.is_file():
        raise CheckpointError(path, "there is no such file; give a checkpoint, an exported file or a shipped name")
    if path.suffix.lower() == ".bin" and path.with_suffix(".xml").is_file():
        raise CheckpointError(path, f"is the weights of a pair; name the other file, {path.with_suffix('.xml').name}")
    return path
