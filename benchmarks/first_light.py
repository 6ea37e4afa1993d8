"""Start-up, prediction and evaluation speed of the networks that ship, as ratios to the plain way in the same run.

    make bench

The plain way is the authors': PyTorch eager, float32, norms unfolded, full-size logits, then argmax. Both ways
alternate. Results are printed and written to benchmarks/results as dated JSON.
"""

from __future__ import annotations

import datetime
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_checkpoint
from fassd.networks.build import network_from_checkpoint
from fassd.networks.inference import normalise
from fassd.networks.network import upsample
from fassd.runtimes.pytorch import PyTorchRuntime

ROUNDS = 7
SIZES = ((360, 480), (720, 1280), (1024, 2048))
PICTURE = Path(__file__).parent.parent / "src" / "fassd" / "assets" / "street.jpg"


def main() -> None:
    """Measures, prints, writes."""
    results = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": _machine(),
        "help_s": _process([sys.executable, "-m", "fassd", "--help"])[0],
        "prediction": _prediction(),
        "class_maps": [_class_map(size) for size in SIZES],
    }
    print(json.dumps(results, indent=2))
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"{results['date']}-first-light.json").write_text(json.dumps(results, indent=2) + "\n")


def _machine() -> dict[str, Any]:
    capabilities = torch.cpu.get_capabilities()
    return {
        "processor": capabilities.get("cpu_name") or platform.processor(),
        "threads": torch.get_num_threads(),
        "avx512_bf16": bool(capabilities.get("avx512_bf16")),
        "amx": bool(capabilities.get("amx_bf16")),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _process(command: list[str]) -> tuple[float, float]:
    """Median seconds of a whole process, and the peak memory of all children so far in MiB."""
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - begun)
    return round(statistics.median(seconds), 3), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _prediction() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as out:
        seconds, peak = _process([sys.executable, "-m", "fassd", "predict", str(PICTURE), "--out", out])
    return {"process_s": seconds, "peak_mib": round(peak)}


def _class_map(size: tuple[int, int]) -> dict[str, Any]:
    path = locate_weights(DEFAULT_WEIGHTS)
    checkpoint = read_checkpoint(path)
    network = network_from_checkpoint(checkpoint, path).eval()
    runtime = PyTorchRuntime(network, checkpoint.header)
    images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), dtype=np.uint8)

    def plain() -> None:
        with torch.inference_mode():
            logits = network(normalise(torch.from_numpy(images), checkpoint.header.pixels).contiguous())
            upsample(logits, size).argmax(1)

    ways: dict[str, Callable[[], object]] = {"plain": plain, "fassd": lambda: runtime.segment(images)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - begun)
    medians = {f"{name}_ms": round(statistics.median(values) * 1000, 1) for name, values in seconds.items()}
    ratio = statistics.median(a / b for a, b in zip(seconds["plain"], seconds["fassd"], strict=True))
    return {"size": f"{size[0]}x{size[1]}", **medians, "times_as_fast": round(ratio, 2)}


if __name__ == "__main__":
    main()
