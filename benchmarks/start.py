"""How long the command line takes to start: whole processes, and how soon `fassd predict` has its first overlay.

    make bench            or: python benchmarks/start.py [--rounds 7] [--images 1 4] [--against OTHER/src] [--save]

Cold rounds begin with empty caches of compiled graphs and kernels, as on a fresh machine (Python's bytecode and the
pages of files are there); warm rounds find what one process left behind, which is what a user meets every day. With
--against, every round also times the package in another folder, such as the `src` of an earlier commit. --save writes
dated JSON to benchmarks/results.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from fassd.core.machine import describe_machine

IMAGE = Path(__file__).parents[1] / "src" / "fassd" / "assets" / "street.jpg"


def main() -> None:
    """Measures, prints, saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, nargs="+", default=[1, 4], help="how many images are predicted at once")
    parser.add_argument("--against", type=Path, help="a folder with another version of the package")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    versions = (
        {"": os.environ} if options.against is None else {"": os.environ, " (other version)": _path(options.against)}
    )
    measured: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(max(options.images)):
            shutil.copy(IMAGE, folder / f"street-{number}.jpg")
        # The first round fills the caches of warm processes and is dropped.
        for turn in range(options.rounds + 1):
            for version, environment in versions.items():
                rows = {"--help": timed(["--help"], {**environment})}
                for images in options.images:
                    files = [str(folder / f"street-{number}.jpg") for number in range(images)]
                    command = ["predict", *files, "--out", str(folder / "out")]
                    label = f"predict {images} image{'s' if images > 1 else ''}"
                    shutil.rmtree(folder / "cold", ignore_errors=True)
                    rows[f"{label}, cold"] = timed(command, {**environment, **_caches(folder / "cold")})
                    rows[f"{label}, warm"] = timed(command, {**environment, **_caches(folder / f"warm{version}")})
                for label, row in rows.items():
                    measured[f"fassd {label}{version}"] += [row] if turn else []
    print(f"{'seconds, median (best)':45} {'first line':>15} {'whole process':>15} {'processor':>15}")
    for label, taken in measured.items():
        columns = [f"{statistics.median(column):.2f} ({min(column):.2f})" for column in zip(*taken, strict=True)]
        print(f"{label:45} {columns[0]:>15} {columns[1]:>15} {columns[2]:>15}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory of the largest process: {peak:.0f} MiB")
    if options.save:
        path = Path(__file__).parent / "results" / f"{datetime.date.today()}-start.json"
        parts: dict[str, Any] = {
            "machine": msgspec.to_builtins(describe_machine()),
            "columns": ["first_line_s", "process_s", "cpu_s"],
            "rows": {label: [[round(value, 3) for value in one] for one in taken] for label, taken in measured.items()},
            "peak_mib": round(peak),
        }
        path.write_text(json.dumps(parts, indent=2) + "\n")


def timed(arguments: list[str], environment: dict[str, str]) -> tuple[float, float, float]:
    """Seconds from the start of a process to its first line (an overlay is written by then), to its end, and of CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    command = [sys.executable, "-m", "fassd", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        first = time.perf_counter() - begun
        process.stdout.read()
        said = process.stderr.read()
    whole = time.perf_counter() - begun
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{said.decode()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return first, whole, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _caches(folder: Path) -> dict[str, str]:
    """Every place where fassd and Numba may keep what they compile."""
    names = ("HOME", "XDG_CACHE_HOME", "FASSD_CACHE", "NUMBA_CACHE_DIR")
    return {name: str(folder / name.lower()) for name in names}


def _path(sources: Path) -> dict[str, str]:
    if not (sources / "fassd/__init__.py").is_file():
        raise SystemExit(f"{sources} holds no package fassd; name the folder src of another version")
    return {**os.environ, "PYTHONPATH": str(sources.resolve())}


if __name__ == "__main__":
    main()
