"""Peak memory of a variant, from a fresh process: what was measured before leaves no trace in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import shorten

import msgspec

from fassd.core.machine import peak_memory_bytes
from fassd.speed.images import Pictures
from fassd.speed.protocol import Request, open_way

_ANSWERS = 2


class Peak(msgspec.Struct, frozen=True):
    """MiB at most, of the process and of the GPU; None where unknown, or where there is none.

    Attributes:
        process, device: MiB.
        problem: why that of the process is not known.
    """

    process: float | None = None
    device: float | None = None
    problem: str | None = None


class _Job(msgspec.Struct, frozen=True):
    request: Request
    files: tuple[str, ...]


def peak_memory(request: Request, pictures: Pictures) -> Peak:
    """Opens a variant in a fresh process, answers twice, and asks for the peak; unknown if that process fails."""
    if not sys.executable:
        return Peak(problem="no program is known that runs Python")
    # One batch: what the others take is the benchmark's, not the variant's.
    job = _Job(request, tuple(map(str, pictures.files[: request.variant.batch])))
    done = subprocess.run(
        [sys.executable, "-m", "fassd.speed.peak_memory", msgspec.json.encode(job).decode()],
        capture_output=True,
        check=False,
    )
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Peak)
    except (IndexError, msgspec.DecodeError):
        return Peak(problem=_ending(done))


def _ending(done: subprocess.CompletedProcess[bytes]) -> str:
    """How a process ended that should have told its peak."""
    if done.returncode < 0:
        return f"its process was ended by signal {-done.returncode}, as where memory runs out"
    said = done.stderr.decode(errors="replace").split("\n")
    last = next((line for line in reversed(said) if line.strip()), f"exit code {done.returncode}")
    return f"its process failed: {shorten(last, 200, placeholder=' ...')}"


def _main() -> None:
    job = msgspec.json.decode(sys.argv[1], type=_Job)
    request = job.request
    way = open_way(request, Pictures(tuple(map(Path, job.files))))
    for turn in range(_ANSWERS):
        way.answer(turn, None)
    # Before closing: what a variant frees was held all the same.
    peak = peak_memory_bytes()
    found = Peak(problem="this system does not tell") if peak is None else Peak(peak / 2**20)
    print(msgspec.json.encode(msgspec.structs.replace(found, device=_device_peak(request))).decode())
    way.close()


def _device_peak(request: Request) -> float | None:
    if not request.variant.device.startswith("cuda") or "torch" not in sys.modules:
        return None
    import torch

    return torch.cuda.max_memory_allocated(request.variant.device) / 2**20


if __name__ == "__main__":
    _main()
