"""The fused upsampling and argmax kernel against plain implementations, from logits to class map in memory.

    .venv/bin/python benchmarks/upsample_argmax.py

Runs are interleaved, so that load slows all alike. Printed are the minimum and the median of many rounds in
milliseconds, the speedup over PyTorch in strips, and how many of the 2,097,152 pixels differ from float64 interpolation
and argmax (bfloat16 rounds the logits, so some do). Real logits are those of the shipped network on the shipped photo.
It has 11 classes; for 19, eight of them are added mirrored and 4 lower. Results go to benchmarks/results as dated
JSON.
"""

from __future__ import annotations

import datetime
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from rich.console import Console
from rich.table import Table

from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import read_checkpoint
from fassd.kernels.upsample_argmax import upsample_argmax, upsample_confidence
from fassd.networks.build import network_from_checkpoint
from fassd.networks.inference import InferenceNetwork, class_map
from fassd.networks.network import upsample

SIZE = (1024, 2048)
ROUNDS = 15
WEIGHTS = "fassd-net-l2-street"
PHOTO = Path(__file__).parent.parent / "src" / "fassd" / "assets" / "street.jpg"

Array = np.ndarray[Any, Any]
Implementation = Callable[[], Array]


def main() -> None:
    """Measures, prints, writes."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    results = {"date": date, "machine": _machine(), "cases": [_case(name, one) for name, one in _inputs().items()]}
    _print(results)
    path = Path(__file__).parent / "results" / f"{date}-upsample-argmax.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _machine() -> dict[str, Any]:
    capabilities = torch.cpu.get_capabilities()
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else "unknown",
        "threads": torch.get_num_threads(),
        "avx512": bool(capabilities.get("avx512_f")),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _inputs() -> dict[str, Array]:
    path = locate_weights(WEIGHTS)
    checkpoint = read_checkpoint(path)
    network = InferenceNetwork(network_from_checkpoint(checkpoint, path), checkpoint.header.normalization).eval()
    eighth, quarter = (_logits(network, (SIZE[1] * scale, SIZE[0] * scale)) for scale in (1, 2))
    noise = np.random.default_rng(0).standard_normal((1, 19, 256, 512)).astype(np.float32)
    return {
        "real, 1/8, 11 classes": eighth,
        "real, 1/4, 11 classes": quarter,
        "real, 1/4, 19 classes": np.concatenate([quarter, quarter[:, :8, :, ::-1] - 4], 1),
        "noise, 1/4, 19 classes": noise,
    }


def _logits(network: InferenceNetwork, size: tuple[int, int]) -> Array:
    image = np.array(Pillow.open(PHOTO).convert("RGB").resize(size))
    with torch.inference_mode():
        logits: Array = network(torch.from_numpy(image)[None]).contiguous().numpy()
    return logits


def _case(name: str, logits: Array) -> dict[str, Any]:
    last = np.ascontiguousarray(logits.transpose(0, 2, 3, 1))
    bfloat16 = (last.view(np.uint32) >> 16).astype(np.uint16)
    planar = torch.from_numpy(logits)
    out = np.empty((1, *SIZE), np.uint8)
    implementations: dict[str, Implementation] = {
        "kernel, nchw": lambda: upsample_argmax(logits, SIZE, out=out),
        "kernel, nhwc": lambda: upsample_argmax(last, SIZE, layout="nhwc", out=out),
        "kernel, nhwc bfloat16": lambda: upsample_argmax(bfloat16, SIZE, layout="nhwc", bfloat16_bits=True, out=out),
        "kernel, nchw, one thread": lambda: upsample_argmax(logits, SIZE, threads=1, out=out),
        "kernel, with confidence": lambda: upsample_confidence(logits, SIZE).class_maps,
        "PyTorch, in strips": lambda: class_map(planar, SIZE).numpy(),
        "PyTorch, at once": lambda: upsample(planar, SIZE).argmax(1).byte().numpy(),
        "NumPy, in strips": lambda: _numpy(logits),
    }
    truth = upsample(planar.double(), SIZE).argmax(1).numpy()
    unequal = {name: int((run() != truth).sum()) for name, run in implementations.items()}  # also warms up
    coarse = logits[0].argmax(0)
    settled = (
        (coarse[:-1, :-1] == coarse[1:, 1:])
        & (coarse[:-1, :-1] == coarse[1:, :-1])
        & (coarse[:-1, :-1] == coarse[:-1, 1:])
    )
    return {
        "case": f"{name}: {logits.shape[2]}x{logits.shape[3]} to {SIZE[0]}x{SIZE[1]}",
        "settled_cells": round(float(settled.mean()), 3),
        "implementations": {
            name: times | {"unequal_pixels": unequal[name]} for name, times in _interleave(implementations).items()
        },
    }


def _numpy(logits: Array) -> Array:
    """Plain NumPy: float32, 64 rows at a time."""
    strips = []
    down, right = (np.linspace(0, logits.shape[axis] - 1, SIZE[axis - 2]).astype(np.float32) for axis in (2, 3))
    left = np.minimum(right.astype(int), logits.shape[3] - 2)
    share = right - left
    for top in range(0, SIZE[0], 64):
        places = down[top : top + 64]
        above = np.minimum(places.astype(int), logits.shape[2] - 2)
        lower = (places - above)[:, None]
        rows = logits[:, :, above] * (1 - lower) + logits[:, :, above + 1] * lower
        strips.append((rows[..., left] * (1 - share) + rows[..., left + 1] * share).argmax(1).astype(np.uint8))
    return np.concatenate(strips, 1)


def _interleave(implementations: dict[str, Implementation]) -> dict[str, dict[str, float]]:
    taken: dict[str, list[float]] = {name: [] for name in implementations}
    for _ in range(ROUNDS):
        for name, run in implementations.items():
            started = time.perf_counter()
            run()
            taken[name].append((time.perf_counter() - started) * 1e3)
    return {
        name: {"min_ms": round(min(times), 2), "median_ms": round(statistics.median(times), 2)}
        for name, times in taken.items()
    }


def _print(results: dict[str, Any]) -> None:
    console = Console()
    machine = results["machine"]
    console.print(f"{machine['processor']}, {machine['threads']} threads, PyTorch {machine['torch']}")
    for case in results["cases"]:
        table = Table(title=f"{case['case']}, {case['settled_cells']:.1%} of cells settled", title_justify="left")
        table.add_column("implementation")
        for heading in ("min ms", "median ms", "speedup", "unequal"):
            table.add_column(heading, justify="right")
        plain = case["implementations"]["PyTorch, in strips"]["min_ms"]
        for name, row in case["implementations"].items():
            speedup = f"{plain / row['min_ms']:.1f}"
            table.add_row(name, f"{row['min_ms']:.2f}", f"{row['median_ms']:.2f}", speedup, str(row["unequal_pixels"]))
        console.print(table)


if __name__ == "__main__":
    main()
