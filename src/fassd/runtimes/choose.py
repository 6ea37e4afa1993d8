"""Which runtime, device and precision answer best here, and why."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from fassd.core.errors import MissingExtra, UnknownName, UsageError
from fassd.runtimes.rows import AUTO, CHECKPOINT, PRECISIONS, RUNTIMES, RuntimeRow


@dataclass(frozen=True)
class Choice:
    """What executes a network.

    Attributes:
        row: the runtime.
        suffix: of the file, ".safetensors" for a checkpoint.
        device: "cpu", "cuda" or "cuda:N".
        precision: "float32", "bfloat16", or "auto" where the file decides.
        why: a sentence for whoever asks.
    """

    row: RuntimeRow
    suffix: str
    device: str
    precision: str
    why: str


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
        MissingExtra: the runtime's package is not installed.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise UsageError(f"device '{device}' is not one that fassd uses; use auto, cpu, cuda or cuda:N")
    if precision not in (AUTO, *PRECISIONS):
        raise UnknownName("precision", precision, (AUTO, *PRECISIONS))
    row, why = _row(suffix, runtime, device)
    if row.version is None:
        raise MissingExtra(row.package, row.extra or "torch", f"the runtime {row.name}")
    if suffix not in row.suffixes:
        kinds = " and ".join(row.suffixes)
        raise UsageError(f"the runtime {row.name} opens {kinds} files, not {suffix or 'files without a suffix'}")
    if device == AUTO:
        device = "cuda" if row.gpu and runtime == AUTO and suffix == CHECKPOINT else "cpu"
    if device != "cpu" and not row.gpu:
        raise UsageError(f"the runtime {row.name} answers on the cpu alone; leave --runtime out for {device}")
    precision, reason = _precision(row, suffix, device, precision)
    return Choice(row, suffix, device, precision, f"{why}; {reason}")


def _row(suffix: str, runtime: str, device: str) -> tuple[RuntimeRow, str]:
    if runtime != AUTO:
        if runtime not in RUNTIMES:
            raise UnknownName("runtime", runtime, RUNTIMES)
        return RUNTIMES[runtime], "as asked"
    if suffix != CHECKPOINT:
        row = next((row for row in RUNTIMES.values() if suffix in row.suffixes), RUNTIMES["openvino"])
        return row, f"what {suffix} files are made for"
    if device.startswith("cuda"):
        return RUNTIMES["pytorch"], f"the runtime for {device}"
    if device == AUTO and _has_gpu():
        return RUNTIMES["pytorch"], "there is a GPU and PyTorch can use it"
    return RUNTIMES["openvino"], "the fastest on a processor"


def _has_gpu() -> bool:
    """Whether PyTorch finds a GPU; it is only asked, which takes a second, where a driver is there."""
    if RUNTIMES["pytorch"].version is None or not (Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi")):
        return False
    import torch

    return torch.cuda.is_available()


def _precision(row: RuntimeRow, suffix: str, device: str, asked: str) -> tuple[str, str]:
    if asked not in (AUTO, *row.precisions):
        raise UsageError(f"the runtime {row.name} computes in {' or '.join(row.precisions)}, not in {asked}")
    if asked == "int8" and suffix == CHECKPOINT:
        raise UsageError(
            "a checkpoint is no int8 network: make one with 'fassd export WEIGHTS --to openvino --precision int8 "
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
