"""Speed of the paper's networks on this processor, as speedups over eager PyTorch in the same run.

    make bench            or: python benchmarks/runtimes.py [--rounds 9] [--network fassd-net-l2] [--save]
    python benchmarks/runtimes.py --streams         only the speedup of predicting images in parallel

The eager PyTorch reference runs in float32, NCHW, with BatchNorm layers not folded, full-size logits, then argmax. Runs
are interleaved, so that load affects all alike. Figures are medians, speedups medians of the rounds' ratios. The floor
is the time of the network's multiply-adds at the rate of the fastest convolution on this processor in the same
precision, measured in the same run in processor time; no graph of these convolutions can be faster. --save writes
dated JSON to benchmarks/results.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import Images
from fassd.core.checkpoint import RGB_NORMALIZATION, Header, write_checkpoint
from fassd.core.labels import CITYSCAPES
from fassd.core.machine import describe_machine, usable_cores
from fassd.networks.build import checkpoint_of, init_network
from fassd.networks.count import count
from fassd.networks.specs import network_by_name
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_core import core, has_bfloat16
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.runtimes.runtime import CLASS_MAP, NETWORK, Stages
from fassd.segmenter import Segmenter
from fassd.speed.reference import open_checkpoint
from fassd.tasks.predict import predict

SIZE = (1024, 2048)
NETWORKS = ("fassd-net", "fassd-net-l1", "fassd-net-l2")
HINTS = {"float32": "f32", "bfloat16": "bf16"}
PHOTO = Path(__file__).parents[1] / "src" / "fassd" / "assets" / "street.jpg"


def main() -> None:
    """Measures, prints, and saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--network", action="append", choices=NETWORKS)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--streams", action="store_true")
    options = parser.parse_args()
    if options.streams:
        streams(options.rounds)
        return
    image = np.asarray(Pillow.open(PHOTO).convert("RGB").resize(SIZE[::-1], Pillow.Resampling.BICUBIC))[None]
    precisions = ("float32", "bfloat16") if has_bfloat16() else ("float32",)
    rates = {precision: fastest_rate(precision) for precision in precisions}
    for precision, rate in rates.items():
        print(
            f"fastest convolution in {precision}: {rate / 1e9:.0f} G multiply-adds per second on {usable_cores()} cores"
        )
    rows = [row for name in options.network or NETWORKS for row in measure(name, image, rates, options.rounds)]
    results = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": msgspec.to_builtins(describe_machine()),
        "size": f"{SIZE[0]}x{SIZE[1]}",
        "rounds": options.rounds,
        "rows": rows,
    }
    if options.save:
        folder = Path(__file__).parent / "results"
        (folder / f"{results['date']}-runtimes.json").write_text(json.dumps(results, indent=2) + "\n")


def measure(name: str, image: Images, rates: dict[str, float], rounds: int) -> list[dict[str, Any]]:
    """One row for each precision of a network."""
    spec = network_by_name(name)
    macs = count(spec, len(CITYSCAPES), SIZE, 2).macs
    header = Header(network=name, label_space=CITYSCAPES, normalization=RGB_NORMALIZATION)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.safetensors"
        write_checkpoint(path, checkpoint_of(init_network(spec, len(CITYSCAPES)), header))
        eager = open_checkpoint(path, "cpu")
        runtimes = {precision: open_runtime(path, "cpu", precision, "openvino") for precision in rates}
        stages: dict[str, list[dict[str, float]]] = {precision: [] for precision in rates}
        variants: dict[str, Callable[[], object]] = {"eager": lambda: eager.segment(image)}
        for precision, runtime in runtimes.items():

            def predict_once(runtime: Any = runtime, kept: list[dict[str, float]] = stages[precision]) -> None:
                watch = Stages()
                runtime.segment(image, stages=watch)
                kept.append(watch.seconds)

            variants[precision] = predict_once
        spent = interleave(variants, rounds)
    rows = []
    for precision, rate in rates.items():
        kept = stages[precision][1:]  # the first round warms up
        network, class_map = (1000 * statistics.median(one[part] for one in kept) for part in (NETWORK, CLASS_MAP))
        row = {
            "network": name,
            "precision": precision,
            "eager_ms": 1000 * statistics.median(one.wall for one in spent["eager"]),
            "ms": 1000 * statistics.median(one.wall for one in spent[precision]),
            "speedup": speedup(spent, precision, "wall"),
            "processor_speedup": speedup(spent, precision, "processor"),
            "network_ms": network,
            "class_map_ms": class_map,
            "floor_ms": 1000 * macs / rate,
            "share_of_floor": 1000 * macs / rate / network,
        }
        print(
            f"{name:13} {precision:9} {row['ms']:7.1f} ms = {network:.1f} network + {class_map:.1f} class map\n"
            f"    eager PyTorch {row['eager_ms']:.0f} ms, speedup {row['speedup']:.2f} (in processor time "
            f"{row['processor_speedup']:.2f}); floor {row['floor_ms']:.0f} ms, "
            f"{row['share_of_floor']:.0%} of it reached",
            flush=True,
        )
        rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def streams(rounds: int) -> None:
    """Images of 1280x720 with the default weights: one by one on all cores, against one image per core in parallel.

    "files" is `fassd predict` of a folder, reading and writing included; "memory" is from arrays to class maps.
    """
    photo = np.asarray(Pillow.open(PHOTO).convert("RGB"))
    images = [np.roll(photo, 37 * number, axis=1) for number in range(16)]
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "images"
        given.mkdir()
        for number, image in enumerate(images):
            Pillow.fromarray(image).save(given / f"{number:02}.jpg", quality=92)
        segmenters = {"one by one": Segmenter(streams=1), "parallel": Segmenter(streams=usable_cores())}
        work: dict[str, Callable[[Segmenter], object]] = {
            "files": lambda segmenter: predict([str(given)], segmenter, Path(folder) / "out"),
            "memory": lambda segmenter: list(segmenter.stream(images)),
        }
        for what, function in work.items():
            variants: dict[str, Callable[[], object]] = {
                name: partial(function, one) for name, one in segmenters.items()
            }
            spent = interleave(variants, rounds)
            rates = [len(images) / statistics.median(one.wall for one in spent[name]) for name in variants]
            print(
                f"{what}: {rates[0]:.1f} images per second one by one, {rates[1]:.1f} in parallel; "
                f"speedup {speedup(spent, 'parallel', 'wall', 'one by one'):.2f}, "
                f"{speedup(spent, 'parallel', 'processor', 'one by one'):.2f} in processor time"
            )


@dataclass(frozen=True)
class Spent:
    """Seconds of one call: wall-clock, and of all processor cores together, which other programs disturb less."""

    wall: float
    processor: float


def speedup(
    spent: dict[str, list[Spent]], variant: str, clock: Literal["wall", "processor"], base: str = "eager"
) -> float:
    """Of one variant over another: the median of the rounds' ratios."""
    rounds = zip(spent[base], spent[variant], strict=True)
    return statistics.median(float(getattr(slow, clock) / getattr(fast, clock)) for slow, fast in rounds)


def interleave(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[Spent]]:
    """Times every variant once per round, after one round to warm up."""
    spent: dict[str, list[Spent]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, variant in variants.items():
            wall, processor = time.perf_counter(), time.process_time()
            variant()
            if number:
                spent[name].append(Spent(time.perf_counter() - wall, time.process_time() - processor))
    return spent


def fastest_rate(precision: str) -> float:
    """Multiply-adds per second, of all cores, of a 3x3 convolution whose widths fill the processor's registers."""
    op, width, height, length = openvino.opset13, 128, 128, 256
    images = op.parameter([1, width, height, length], np.float32)
    kernel = op.constant(np.ones((width, width, 3, 3), np.float32))
    layer = op.convolution(images, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    for _ in range(3):
        layer = op.convolution(layer, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    settings = {"INFERENCE_PRECISION_HINT": HINTS[precision]}
    request = core().compile_model(openvino.Model([layer], [images]), "CPU", settings).create_infer_request()
    spent = interleave({"": request.infer}, 40)[""]
    seconds = min(one.processor for one in spent) / usable_cores()
    return 4 * width * width * 9 * height * length / seconds


if __name__ == "__main__":
    main()
