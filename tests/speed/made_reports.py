"""Reports of a made-up machine."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from fassd.core.machine import Machine
from fassd.metrics.timing import frames_per_second, latency, speedup
from fassd.speed.report import (
    BenchmarkReport,
    Measured,
    Variant,
)
from fassd.speed.table_iv import PAPER_SIZE, PUBLISHED_MEAN_IOU

MACHINE = Machine(
    processor="Slow One",
    cores=2,
    threads_per_core=1,
    instructions=("avx2",),
    memory_gib=8.0,
    system="Linux",
    python="3.12.1",
    packages={"fassd": "0.1.0", "torch": "2.13.0"},
)


def made(ms: float, runtime: str = "eager", network: str = "fassd-net", **variant: Any) -> Measured:
    times = ms * np.linspace(0.99, 1.01, 21)
    shape: dict[str, Any] = {"precision": "float32", "device": "cpu", "size": PAPER_SIZE, "batch": 1} | variant
    return Measured(
        variant=Variant(network=network, runtime=runtime, **shape),
        latency_ms=latency(times),
        frames_per_second=frames_per_second(times, 1),
        speedup=speedup(times * 1000 / ms, times),
        stages_ms={"network": ms},
        mean_iou=PUBLISHED_MEAN_IOU.get(network),
    )


def report_on(*measured: Measured, **change: Any) -> BenchmarkReport:
    plain = BenchmarkReport(
        protocol="user", rounds=21, warm_up=5, date="2026-01-01", machine=MACHINE, measured=measured
    )
    return msgspec.structs.replace(plain, **change)
