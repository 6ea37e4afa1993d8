"""Duration of entire processes of the command line: `fassd --help`, and `fassd predict` of the demo's photo.

    make bench            or: python benchmarks/start.py [--rounds 7] [--save]

The first prediction compiles the network's graph into an empty cache. Later ones load it from there, as in everyday
use. --save writes dated JSON to benchmarks/results.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from fassd.core.machine import describe_machine

PHOTO = Path(__file__).parents[1] / "src" / "fassd" / "assets" / "street.jpg"


def main() -> None:
    """Measures, prints, saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        predict = ["predict", str(PHOTO), "--out", folder]
        cache = {**os.environ, "FASSD_CACHE": str(Path(folder) / "cache")}
        rows = {
            "fassd --help": measure(["--help"], cache, options.rounds),
            "fassd predict, graph not yet cached": measure(predict, cache, 1),
            "fassd predict, graph cached": measure(predict, cache, options.rounds),
        }
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    for name, row in rows.items():
        print(f"{name:38} median {row['median_s']:.2f} s   best {row['best_s']:.2f} s")
    print(f"peak memory of the largest process: {peak:.0f} MiB")
    if options.save:
        path = Path(__file__).parent / "results" / f"{datetime.date.today()}-start.json"
        machine = msgspec.to_builtins(describe_machine())
        path.write_text(json.dumps({"machine": machine, "rows": rows, "peak_mib": round(peak)}, indent=2) + "\n")


def measure(arguments: list[str], environment: dict[str, str], rounds: int) -> dict[str, Any]:
    """Wall-clock seconds of entire processes."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "fassd", *arguments], env=environment, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return {"median_s": round(statistics.median(seconds), 3), "best_s": round(min(seconds), 3), "rounds": rounds}


if __name__ == "__main__":
    main()
