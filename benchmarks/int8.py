"""What int8 wins and what it costs: speed of the paper's networks, mean IoU of the weights that ship.

    python benchmarks/int8.py speed [--clock core] [--network fassd-net-l2] [--rounds 5]
    python benchmarks/int8.py accuracy --data camvid:PATH [--images 100]

Speed, at 1024x2048 with random weights: the authors' way (PyTorch eager, float32, NCHW, full-size logits, argmax),
bfloat16 and int8 take turns, image in memory to class map in memory. The wall clock takes every core and tells the
medians; on a machine that others load it says little, and --clock core tells the least processor time on one core.
Accuracy: calibrated on images of the split train, evenly taken, and scored on val as `fassd evaluate` does.
--save writes dated JSON to benchmarks/results.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image as Pillow

from fassd.core.arrays import Images
from fassd.core.catalog import WEIGHTS
from fassd.core.checkpoint import RGB_PIXELS, Header, read_checkpoint, write_checkpoint
from fassd.core.labels import CITYSCAPES
from fassd.core.machine import describe_machine, usable_cores
from fassd.data.kinds import open_dataset
from fassd.kernels.upsample_argmax import upsample_argmax
from fassd.media.images import read_image
from fassd.networks.build import checkpoint_of, fresh_network
from fassd.networks.table import network_by_name
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino import best_precision, core
from fassd.runtimes.openvino_file import write_model
from fassd.runtimes.openvino_graph import draw_logits, with_channels_last
from fassd.runtimes.quantize import quantize
from fassd.runtimes.quiet import openvino
from fassd.tasks.authors_way import open_checkpoint
from fassd.tasks.evaluate import evaluate

SIZE = (1024, 2048)
NETWORKS = ("fassd-net", "fassd-net-l1", "fassd-net-l2")
CLOCKS = {"wall": time.perf_counter, "core": time.process_time}
PICTURE = Path(__file__).parents[1] / "src" / "fassd" / "assets" / "street.jpg"


def main() -> None:
    """Measures, prints, and saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speed", "accuracy"))
    parser.add_argument("--network", action="append", choices=NETWORKS)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", help="kind:PATH, for accuracy")
    parser.add_argument("--images", type=int, default=100, help="to calibrate on")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    if options.what == "speed":
        rows = [speed(name, options.clock, options.rounds) for name in options.network or NETWORKS]
    else:
        rows = [accuracy(name, options.data, options.images) for name in WEIGHTS]
    if options.save:
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        told = {"date": date, "machine": msgspec.to_builtins(describe_machine()), "rows": rows}
        what = f"speed-{options.clock}" if options.what == "speed" else options.what
        path = Path(__file__).parent / "results" / f"{date}-int8-{what}.json"
        path.write_text(json.dumps(told, indent=2) + "\n")


def speed(name: str, clock: str, rounds: int) -> dict[str, Any]:
    """One network: milliseconds of each way and ratios to the authors'."""
    picture = Pillow.open(PICTURE).convert("RGB").resize(SIZE[::-1], Pillow.Resampling.BICUBIC)
    image = np.asarray(picture)[None]
    header = Header(network=name, label_space=CITYSCAPES, pixels=RGB_PIXELS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        write_checkpoint(path, checkpoint_of(fresh_network(network_by_name(name), len(CITYSCAPES)), header))
        checkpoint = read_checkpoint(path)
        model = draw_logits(checkpoint.header, checkpoint.arrays)
        models = {best_precision(): model, "int8": quantize(model, [np.asarray(picture.resize((512, 256)))[None]])[0]}
        if clock == "core":
            torch.set_num_threads(1)
        cores = 1 if clock == "core" else usable_cores()
        ways: dict[str, Callable[[], object]] = {"authors": partial(open_checkpoint(path, "cpu").segment, image)}
        ways |= {way: answering(one, image, cores) for way, one in models.items()}
        seconds = alternate(ways, rounds, CLOCKS[clock])
    typical = min if clock == "core" else statistics.median
    row: dict[str, Any] = {"network": name, "clock": clock}
    row |= {f"{way}_ms": round(1000 * typical(of_way), 1) for way, of_way in seconds.items()}
    row |= {f"{way}_ratio": round(row["authors_ms"] / row[f"{way}_ms"], 2) for way in models}
    print(json.dumps(row), flush=True)
    return row


def accuracy(name: str, data: str, count: int) -> dict[str, Any]:
    """One shipped network: mean IoU in floating point and in int8."""
    checkpoint = read_checkpoint(WEIGHTS[name].path)
    pairs = open_dataset(data, "train").pairs
    places = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    model = draw_logits(checkpoint.header, checkpoint.arrays)
    begun = time.perf_counter()
    quantized, report = quantize(model, [read_image(pairs[place].image)[None] for place in places])
    seconds = time.perf_counter() - begun
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


def alternate(ways: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each way in each round; the first round warms up."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, call in ways.items():
            begun = clock()
            call()
            if number:
                seconds[way].append(clock() - begun)
    return seconds


def answering(model: openvino.Model, image: Images, cores: int) -> Callable[[], object]:
    """Image to class map, as the runtime does it, on so many cores."""
    drawn = with_channels_last(model.clone())
    drawn.reshape(image.shape)
    hint = "bf16" if best_precision() == "bfloat16" else "f32"
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": cores, "NUM_STREAMS": 1}
    request = core().compile_model(drawn, "CPU", settings).create_infer_request()

    def answer() -> object:
        request.infer([image])
        return upsample_argmax(request.get_output_tensor().data, image.shape[1:3], layout="nhwc", threads=cores)

    return answer


if __name__ == "__main__":
    main()
