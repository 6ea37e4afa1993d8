"""Peak memory of a variant, from a fresh process in which nothing was measured before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import shorten

import msgspec

from fassd.core.machine import peak_memory_bytes
from fassd.speed.images import TimedImages
from fassd.speed.protocol import Request, open_variant

_PREDICTIONS = 2


class Peak(msgspec.Struct, frozen=True):
    """Peak memory of a variant.

    Attributes:
        process: MiB of physical memory; None where unknown.
        device: MiB on the GPU; None where there is none.
        problem: why `process` is unknown.
    """

    process: float | None = None
    device: float | None = None
    problem: str | None = None


class _Job(msgspec.Struct, frozen=True):
    request: Request
    files: tuple[str, ...]


def peak_memory(request: Request, images: TimedImages) -> Peak:
    """Opens a variant in a fresh process, predicts twice, and reads the peak; unknown if that process fails."""
    if not sys.executable:
        return Peak(problem="no program is known that runs Python")
    # One batch only: the memory of the others belongs to the benchmark, not to the variant.
    job = _Job(request, tuple(map(str, images.files[: request.variant.batch])))
    done = subprocess.run(
        [sys.executable, "-m", "fassd.speed.peak_memory", msgspec.json.encode(job).decode()],
        capture_output=True,
        check=False,
    )
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Peak)
    except (IndexError, msgspec.DecodeError):
        if done.returncode < 0:
            return Peak(problem=f"its process was ended by signal {-done.returncode}, as where memory runs out")
        lines = done.stderr.decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), f"exit code {done.returncode}")
        return Peak(problem=f"its process failed: {shorten(last, 200, placeholder=' ...')}")


def _main() -> None:
    job = msgspec.json.decode(sys.argv[1], type=_Job)
    variant = open_variant(job.request, TimedImages(tuple(map(Path, job.files))))
    for number in range(_PREDICTIONS):
        variant.predict(number, None)
    # Before closing, because the peak includes what closing frees.
    peak, device = peak_memory_bytes(), None
    if job.request.variant.device.startswith("cuda") and "torch" in sys.modules:
        import torch

        device = torch.cuda.max_memory_allocated(job.request.variant.device) / 2**20
    if peak is None:
        found = Peak(device=device, problem="this operating system does not report it")
    else:
        found = Peak(peak / 2**20, device)
    print(msgspec.json.encode(found).decode())
    variant.close()


if __name__ == "__main__":
    _main()
