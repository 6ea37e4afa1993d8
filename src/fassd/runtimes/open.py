"""From weights to a runtime: which runtime, device and precision run them fastest on this machine, and why."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from importlib import import_module
from numbers import Integral
from pathlib import Path

from fassd.core.catalog import DEFAULT_WEIGHTS, WEIGHTS, locate_weights
from fassd.core.errors import CheckpointError, FassdError, MissingExtra, UnknownName, UsageError
from fassd.runtimes.rows import AUTO, CHECKPOINT, PRECISIONS, RUNTIMES, RuntimeChoice, RuntimeRow, weights_suffix
from fassd.runtimes.runtime import Runtime


def open_runtime(
    weights: str | Path = DEFAULT_WEIGHTS,
    device: str = AUTO,
    precision: str = AUTO,
    runtime: str = AUTO,
    streams: int = 1,
    few_images: bool = False,
) -> Runtime:
    """Opens weights on the fastest runtime of this machine, or on the one asked for.

    Args:
        weights: the name of shipped weights, a checkpoint file, or an exported file (.xml of OpenVINO, .onnx, .pt2).
        device: "cpu", "cuda" or "cuda:N"; "auto" takes a GPU if PyTorch can use one.
        precision: "float32", "bfloat16" or, for shipped and exported files, "int8"; "auto" takes the fastest that the
            device computes natively, never int8. On average over images at least 99.5 % of its pixels agree with
            float32; of the worst single image measured, 98.9 % did.
        runtime: "openvino", "onnx", "pytorch", "pytorch-compiled", or "auto".
        streams: number of threads that will call at once; each gets its share of the processor's cores.
        few_images: whether only a few images will come. Then no kernel is loaded or compiled, which would take longer
            than the images; the class maps are the same.

    Raises:
        UnknownName, CheckpointError: no such weights or runtime, or a damaged or foreign file.
        MissingExtra, FassdError: the runtime's package is not installed.
        UsageError: the device does not exist, `streams` is below 1, or the options do not go together.
    """
    if not isinstance(streams, Integral) or streams < 1:
        raise UsageError(f"streams is {streams}; expected at least 1 thread")
    path = _file_of(str(weights), precision, runtime)
    choice = replace(choose_runtime(weights_suffix(path), runtime, device, precision), few_images=few_images)
    try:
        opened: Runtime = import_module(choice.row.modules[choice.suffix]).open_file(path, choice, streams)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "onnx", "onnxruntime", "openvino"):
            raise
        raise MissingExtra(error.name, choice.row.extra or "all", f"the runtime {choice.row.name}") from None
    return opened


def _file_of(weights: str, precision: str, runtime: str) -> Path:
    """The file to open. Shipped weights have an int8 form in a file of its own."""
    path = locate_weights(weights)
    if weights in WEIGHTS and precision == "int8":
        path = WEIGHTS[weights].int8
        if runtime in RUNTIMES and runtime != "openvino":
            raise UsageError(
                f"in int8 {weights} runs on openvino only, not on {runtime}; omit --runtime or --precision"
            )
    if path.is_dir():
        raise CheckpointError(path, "is a folder; name the checkpoint or the exported file inside")
    if not path.is_file():
        raise CheckpointError(path, "there is no such file; give a checkpoint, an exported file or a shipped name")
    if path.suffix.lower() == ".bin" and path.with_suffix(".xml").is_file():
        raise CheckpointError(path, f"is the weights of a pair; name the other file, {path.with_suffix('.xml').name}")
    return path


def choose_runtime(suffix: str, runtime: str = AUTO, device: str = AUTO, precision: str = AUTO) -> RuntimeChoice:
    """Decides what is left at "auto".

    Args:
        suffix: of the file, ".safetensors" for a checkpoint.
        runtime: the name of a row, or "auto".
        device: "cpu", "cuda", "cuda:N" or "auto".
        precision: "float32", "bfloat16", "int8" or "auto".

    Raises:
        UnknownName: no such runtime or precision.
        UsageError: no such device, or the options do not go together.
        MissingExtra, FassdError: the runtime's package is not installed.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(device)):
        raise UsageError(f"device '{device}' is not one that fassd uses; use auto, cpu, cuda or cuda:N")
    if precision not in (AUTO, *PRECISIONS):
        raise UnknownName("precision", precision, (AUTO, *PRECISIONS))
    row, why = _choose_row(suffix, runtime, device)
    if device.startswith("cuda"):
        _check_gpu(row, suffix, device, precision)
    if row.version is None:
        if row.extra is not None:
            raise MissingExtra(row.package, row.extra, f"the runtime {row.name}")
        raise FassdError(f"the runtime {row.name} needs the package '{row.package}': install it, or reinstall fassd")
    if device == AUTO:
        device = "cuda" if row.gpu and runtime == AUTO and suffix == CHECKPOINT and _has_gpu() else "cpu"
    precision, reason = _choose_precision(row, suffix, device, precision)
    return RuntimeChoice(row, suffix, device, precision, f"{why}; {reason}")


def _choose_row(suffix: str, runtime: str, device: str) -> tuple[RuntimeRow, str]:
    """The runtime, and why."""
    if runtime not in (AUTO, *RUNTIMES):
        raise UnknownName("runtime", runtime, (AUTO, *RUNTIMES))
    able = [row for row in RUNTIMES.values() if suffix in row.modules]
    if runtime != AUTO:
        if RUNTIMES[runtime] not in able:
            raise UsageError(f"{suffix} files run on {able[0].name}, not on {runtime}; omit --runtime")
        return RUNTIMES[runtime], "as asked"
    if suffix != CHECKPOINT:
        return able[0], f"the runtime of {suffix} files"
    if device.startswith("cuda"):
        return RUNTIMES["pytorch"], f"the runtime for {device}"
    if device == AUTO and _has_gpu():
        return RUNTIMES["pytorch"], "there is a GPU and PyTorch can use it"
    installed = [row for row in able if row.version is not None]
    if installed and installed[0] is not able[0]:
        return installed[0], f"the fastest of those installed ({able[0].package} is not)"
    return able[0], "the fastest on a processor"


def _check_gpu(row: RuntimeRow, suffix: str, device: str, precision: str) -> None:
    """Refuses a GPU for what runs on the CPU only."""
    if precision == "int8":
        raise UsageError(f"int8 runs on the cpu only; omit --device, or omit --precision for {device}")
    if suffix != CHECKPOINT:
        raise UsageError(
            f"exported files ({suffix}) run on the cpu only; omit --device, or name the checkpoint instead"
        )
    if not row.gpu:
        raise UsageError(f"the runtime {row.name} runs on the cpu only; omit --runtime for {device}")


def _choose_precision(row: RuntimeRow, suffix: str, device: str, asked: str) -> tuple[str, str]:
    """The precision, and why."""
    if asked not in (AUTO, *row.precisions):
        kinds = " or ".join(row.precisions)
        fix = "omit --precision or --runtime" if suffix == CHECKPOINT else "omit --precision"
        raise UsageError(f"the runtime {row.name} computes in {kinds}, not in {asked}; {fix}")
    if asked == "int8" and suffix == CHECKPOINT:
        raise UsageError(
            f"a checkpoint is not an int8 network: make one with 'fassd export WEIGHTS --to {row.name} --precision "
            "int8 --calibrate KIND:PATH', and name that file"
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


def _has_gpu() -> bool:
    """Whether PyTorch finds a GPU. Asking takes a second, so it is asked only if there is a driver."""
    if RUNTIMES["pytorch"].version is None or not (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi")):
        return False
    import torch

    return torch.cuda.is_available()


def _has_bfloat16(row: RuntimeRow, device: str) -> bool:
    if row.name == "openvino":
        from fassd.runtimes.openvino_core import has_bfloat16

        return has_bfloat16()
    if device != "cpu":
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return False
