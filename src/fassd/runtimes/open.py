"""Which runtime, device and precision answer best here, and why.

From weights to a runtime.
"""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from numbers import Integral
from pathlib import Path

from fassd.core.catalog import DEFAULT_WEIGHTS, WEIGHTS, locate_weights
from fassd.core.errors import CheckpointError, FassdError, MissingExtra, UnknownName, UsageError
from fassd.runtimes.rows import AUTO, CHECKPOINT, PRECISIONS, RUNTIMES, Choice, RuntimeRow
from fassd.runtimes.runtime import Runtime


def choose(suffix: str, runtime: str = AUTO, device: str = AUTO, precision: str = AUTO) -> Choice:
    """Settles what was left open; what was said stays.

    Args:
        suffix: of the file, ".safetensors" for a checkpoint.
        runtime: the name of a row, or "auto".
        device: "cpu", "cuda", "cuda:N" or "auto".
        precision: "float32", "bfloat16", "int8" or "auto".

    Raises:
        UnknownName: no such runtime.
        UsageError: no such device or precision, or these do not go together.
        MissingExtra, FassdError: the runtime's package is not installed.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(device)):
        raise UsageError(f"device '{device}' is not one that fassd uses; use auto, cpu, cuda or cuda:N")
    if precision not in (AUTO, *PRECISIONS):
        raise UnknownName("precision", precision, (AUTO, *PRECISIONS))
    row, why = _row(suffix, runtime, device)
    _check_device(row, suffix, device, precision)
    if row.version is None:
        raise _missing(row)
    if device == AUTO:
        device = "cuda" if row.gpu and runtime == AUTO and suffix == CHECKPOINT and _has_gpu() else "cpu"
    precision, reason = _precision(row, suffix, device, precision)
    return Choice(row, suffix, device, precision, f"{why}; {reason}")


def _row(suffix: str, runtime: str, device: str) -> tuple[RuntimeRow, str]:
    if runtime not in (AUTO, *RUNTIMES):
        raise UnknownName("runtime", runtime, (AUTO, *RUNTIMES))
    able = [row for row in RUNTIMES.values() if suffix in row.modules]
    if runtime != AUTO:
        if RUNTIMES[runtime] not in able:
            raise UsageError(
                f"{suffix} files are opened by the runtime {able[0].name}, not by {runtime}; leave --runtime out"
            )
        return RUNTIMES[runtime], "as asked"
    if suffix != CHECKPOINT:
        return able[0], f"what {suffix} files are made for"
    if device.startswith("cuda"):
        return RUNTIMES["pytorch"], f"the runtime for {device}"
    if device == AUTO and _has_gpu():
        return RUNTIMES["pytorch"], "there is a GPU and PyTorch can use it"
    installed = [row for row in able if row.version is not None]
    if installed and installed[0] is not able[0]:
        return installed[0], f"the fastest of those installed ({able[0].package} is not)"
    return able[0], "the fastest on a processor"


def _check_device(row: RuntimeRow, suffix: str, device: str, precision: str) -> None:
    """Refuses a GPU for what is answered on the processor alone."""
    if not device.startswith("cuda"):
        return
    if precision == "int8":
        raise UsageError(f"int8 is answered on the cpu alone; leave --device out, or --precision for {device}")
    if suffix != CHECKPOINT:
        raise UsageError(
            f"exported files ({suffix}) are answered on the cpu alone; leave --device out, or name the checkpoint "
            "that it was made of"
        )
    if not row.gpu:
        raise UsageError(f"the runtime {row.name} answers on the cpu alone; leave --runtime out for {device}")


def _missing(row: RuntimeRow) -> FassdError:
    if row.extra is not None:
        return MissingExtra(row.package, row.extra, f"the runtime {row.name}")
    return FassdError(f"the runtime {row.name} needs the package '{row.package}': install it, or reinstall fassd")


def _has_gpu() -> bool:
    """Whether PyTorch finds a GPU; it is only asked, which takes a second, where a driver is there."""
    if RUNTIMES["pytorch"].version is None or not (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi")):
        return False
    import torch

    return torch.cuda.is_available()


def _precision(row: RuntimeRow, suffix: str, device: str, asked: str) -> tuple[str, str]:
    if asked not in (AUTO, *row.precisions):
        kinds = " or ".join(row.precisions)
        remedy = "leave --precision or --runtime out" if suffix == CHECKPOINT else "leave --precision out"
        raise UsageError(f"the runtime {row.name} computes in {kinds}, not in {asked}; {remedy}")
    if asked == "int8" and suffix == CHECKPOINT:
        raise UsageError(
            f"a checkpoint is no int8 network: make one with 'fassd export WEIGHTS --to {row.name} --precision int8 "
            "--calibrate KIND:PATH', and name that file"
        )
    native = _has_bfloat16(row, device)
    if asked == "bfloat16" and row.name == "openvino" and not native:
        raise UsageError("this processor does not multiply in bfloat16; use --precision float32")
    if asked != AUTO:
        return asked, f"{asked} as asked"
    if suffix != CHECKPOINT:
        return AUTO, "the precision is the file's"
    if native:
        return "bfloat16", f"{'the GPU' if row.gpu else 'this processor'} multiplies in bfloat16"
    return "float32", "the reference's precision" if row.gpu else "this processor does not multiply in bfloat16"


def _has_bfloat16(row: RuntimeRow, device: str) -> bool:
    if row.name == "openvino":
        from fassd.runtimes.openvino import has_bfloat16

        return has_bfloat16()
    if device != "cpu":
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return False


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
    known = {suffix for row in RUNTIMES.values() for suffix in row.modules}
    suffix = path.suffix.lower() if path.suffix.lower() in known else CHECKPOINT
    choice = choose(suffix, runtime, device, precision)
    try:
        opened: Runtime = import_module(choice.row.modules[suffix]).open_file(path, choice, streams)
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
