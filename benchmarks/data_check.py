"""Speed and memory of `fassd data check`.

    FASSD_DATA=../shared/data python benchmarks/data_check.py

"camvid": all real pairs. "cityscapes": copies of the real frames at 2048x1024. Both run as from the command line, with
new processes in every round and files in the system's cache; reported are the fastest round, and the processor time of
reading alone. "memory": the growth of the checking process over many made-up pairs, without the list of their files; it
should be some hundred bytes per pair. Results are printed and written to benchmarks/results as dated JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fassd.checks.alignment import FLIPS, Alignment
from fassd.checks.check import check_dataset
from fassd.checks.image_hash import ImageHash
from fassd.checks.leaks import duplicate_findings
from fassd.checks.pair_stats import MaskStats, PairStats, check_pair
from fassd.checks.split_stats import SplitStats
from fassd.checks.value_causes import value_findings
from fassd.core.labels import CITYSCAPES
from fassd.data.dataset import Dataset, Pair
from fassd.data.mask_encoding import by_value
from fassd.data.open_dataset import scan_dataset

ROUNDS, FRAMES, SAMPLE = 3, 48, 48


def main() -> None:
    """Measures, prints, writes."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--many", type=int, default=100_000, help="made-up pairs for the memory")
    options.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    given = options.parse_args()
    data = Path(os.environ["FASSD_DATA"])
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
            "load_before": os.getloadavg()[0],
            "camvid": _speed(f"camvid:{data / 'camvid'}"),
            "cityscapes": _speed(_copies(data / "cityscapes_mini", Path(folder) / "frames")),
            "memory": [_memory(count) for count in (given.many // 10, given.many)],
        }
    print(json.dumps(result, indent=2))
    given.results.mkdir(exist_ok=True)
    place = given.results / f"{result['date']}-data-check.json"
    place.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def _speed(spec: str) -> dict[str, Any]:
    seconds, pairs = [], 0
    for _ in range(ROUNDS):
        started = time.perf_counter()
        checked = check_dataset(spec, processes=os.cpu_count() or 1)
        seconds.append(time.perf_counter() - started)
        pairs = sum(one.images for one in checked.splits)
    return {
        "pairs": pairs,
        "seconds": [round(one, 2) for one in seconds],
        "pairs_per_second": round(pairs / min(seconds), 1),
        "processor_ms_per_pair": round(_processor_ms(spec), 1),
    }


def _processor_ms(spec: str) -> float:
    """On one core, independent of other programs on the machine."""
    dataset = scan_dataset(spec, "train").dataset
    started = time.process_time()
    for pair in dataset.pairs[:SAMPLE]:
        check_pair(dataset, pair)
    return (time.process_time() - started) * 1000 / min(SAMPLE, len(dataset))


def _copies(source: Path, root: Path) -> str:
    """Copies of the real frames under other names of places."""
    for number in range(FRAMES // 2):
        for path in source.rglob("aachen_*.png"):
            place = root / path.relative_to(source).parent / path.name.replace("aachen_", f"aachen_{number:03}_")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return f"cityscapes:{root}"


def _memory(count: int) -> dict[str, Any]:
    """Growth of the checking process over many different made-up pairs, added as a worker reports them."""
    space = CITYSCAPES
    pairs = tuple(Pair(f"train/{n:06}", Path(f"images/{n:06}.png"), Path(f"masks/{n:06}.png")) for n in range(count))
    dataset = Dataset("folder:many", "train", space, by_value(space), pairs)
    random = np.random.default_rng(0)
    before, started = _resident(), time.perf_counter()
    stats = SplitStats(dataset)
    for index in range(count):
        stats.add(index, _facts(random, len(space)))
    added = _resident()
    found = [*duplicate_findings([stats], lambda paths: []), *value_findings([stats])[0]]
    return {
        "pairs": count,
        "seconds": round(time.perf_counter() - started, 1),
        "grown_mib": round((added - before) / 2**20, 1),
        "bytes_per_pair": round((added - before) / count),
        "findings": len(found),
    }


def _facts(random: np.random.Generator, classes: int) -> PairStats:
    codes = {int(code): 5000 for code in random.choice(classes, 8, replace=False)}
    return PairStats(
        (),
        (1024, 2048),
        ImageHash(random.bytes(8), random.bytes(32)),
        MaskStats(codes, random.bytes(8), "", 0, 10, (1024, 2048)),
        Alignment(12.0, (3.0,) * len(FLIPS), 12.0, (0.0, 0.0)),
        random.integers(-20, 20, classes + 1).astype(np.int8),
    )


def _resident() -> int:
    """Bytes of memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
