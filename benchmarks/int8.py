"""The accuracy of int8: mean IoU of the weights that ship, in floating point and in int8.

    python benchmarks/int8.py --data camvid:PATH [--images 100]

Calibrated on evenly sampled images of the split train, scored on val as `fassd evaluate` does. For the speed of int8
use `fassd benchmark --precision int8`. --save writes dated JSON to benchmarks/results.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from fassd.core.catalog import WEIGHTS
from fassd.core.checkpoint import read_checkpoint
from fassd.core.machine import describe_machine
from fassd.core.numbers import evenly_spaced
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_file import write_model
from fassd.runtimes.openvino_graph import build_logits
from fassd.runtimes.quantize import quantize
from fassd.scoring.evaluate import evaluate


def main() -> None:
    """Measures, prints, and saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="kind:PATH")
    parser.add_argument("--images", type=int, default=100, help="for calibration")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    rows = [accuracy(name, options.data, options.images) for name in WEIGHTS]
    if options.save:
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        results = {"date": date, "machine": msgspec.to_builtins(describe_machine()), "rows": rows}
        path = Path(__file__).parent / "results" / f"{date}-int8-accuracy.json"
        path.write_text(json.dumps(results, indent=2) + "\n")


def accuracy(name: str, data: str, count: int) -> dict[str, Any]:
    """Mean IoU of shipped weights in floating point and in int8."""
    checkpoint = read_checkpoint(WEIGHTS[name].path)
    pairs = open_dataset(data, "train").pairs
    model = build_logits(checkpoint.header, checkpoint.arrays)
    started = time.perf_counter()
    quantized, report = quantize(
        model, [read_image(pairs[place].image)[None] for place in evenly_spaced(len(pairs), count)]
    )
    seconds = time.perf_counter() - started
    row: dict[str, Any] = {"weights": name, "images": report.images, "seconds": round(seconds, 1)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.xml"
        write_model(quantized, file)
        row["bytes"] = sum(path.stat().st_size for path in file.parent.iterdir())
        for weights, precision in ((WEIGHTS[name].path, "float32"), (file, "int8")):
            with open_runtime(weights, "cpu", precision, "openvino") as runtime:
                scored = evaluate(runtime, open_dataset(data, "val", runtime.label_space))
            row[f"{precision}_mean_iou"] = round(scored.parts[0].mean_iou or 0.0, 4)
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()
