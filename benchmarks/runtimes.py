"""How fast the paper's networks answer on this processor, as ratios to the authors' way in the same run.

    make bench            or: python benchmarks/runtimes.py [--rounds 9] [--network fassd-net-l2] [--save]
    python benchmarks/runtimes.py --streams         only: what answering pictures side by side wins

The authors' way is PyTorch eager, float32, NCHW, norms unfolded, full-size logits, then argmax. All ways alternate, so
that whatever else the machine does meets them alike; each figure is a median, each ratio the median of the rounds'
ratios. The floor is the network's multiply-adds at the rate of the best convolution that this processor runs in the
same precision, measured in the same run by processor time: what no graph of these convolutions can beat. --save
writes dated JSON to benchmarks/results.
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
PICTURE = Path(__file__).parents[1] / "src" / "fassd" / "assets" / "street.jpg"


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
    image = np.asarray(Pillow.open(PICTURE).convert("RGB").resize(SIZE[::-1], Pillow.Resampling.BICUBIC))[None]
    precisions = ("float32", "bfloat16") if has_bfloat16() else ("float32",)
    rates = {precision: best_rate(precision) for precision in precisions}
    for precision, rate in rates.items():
        print(f"best convolution in {precision}: {rate / 1e9:.0f} G multiply-adds a second on {usable_cores()} cores")
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
    """One row for each precision of one network."""
    spec = network_by_name(name)
    macs = count(spec, len(CITYSCAPES), SIZE, 2).macs
    header = Header(network=name, label_space=CITYSCAPES, normalization=RGB_NORMALIZATION)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.safetensors"
        write_checkpoint(path, checkpoint_of(init_network(spec, len(CITYSCAPES)), header))
        authors = open_checkpoint(path, "cpu")
        runtimes = {precision: open_runtime(path, "cpu", precision, "openvino") for precision in rates}
        stages: dict[str, list[dict[str, float]]] = {precision: [] for precision in rates}
        ways: dict[str, Callable[[], object]] = {"authors": lambda: authors.segment(image)}
        for precision, runtime in runtimes.items():

            def answer(runtime: Any = runtime, kept: list[dict[str, float]] = stages[precision]) -> None:
                watch = Stages()
                runtime.segment(image, stages=watch)
                kept.append(watch.seconds)

            ways[precision] = answer
        spent = alternate(ways, rounds)
    rows = []
    for precision, rate in rates.items():
        kept = stages[precision][1:]  # the first round warms up
        network, class_map = (1000 * statistics.median(one[part] for one in kept) for part in (NETWORK, CLASS_MAP))
        row = {
            "network": name,
            "precision": precision,
            "authors_ms": 1000 * statistics.median(one.wall for one in spent["authors"]),
            "ms": 1000 * statistics.median(one.wall for one in spent[precision]),
            "ratio": ratio(spent, precision, "wall"),
            "processor_ratio": ratio(spent, precision, "processor"),
            "network_ms": network,
            "class_map_ms": class_map,
            "floor_ms": 1000 * macs / rate,
            "share_of_floor": 1000 * macs / rate / network,
        }
        print(
            f"{name:13} {precision:9} {row['ms']:7.1f} ms = {network:.1f} network + {class_map:.1f} class map\n"
            f"    authors' way {row['authors_ms']:.0f} ms, {row['ratio']:.2f} times as fast (in processor time "
            f"{row['processor_ratio']:.2f}); floor {row['floor_ms']:.0f} ms, {row['share_of_floor']:.0%} of it reached",
            flush=True,
        )
        rows.append({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})
    return rows


def streams(rounds: int) -> None:
    """Pictures of 1280x720 by the default weights, one after the other on all cores against one for each core.

    "files" is `fassd predict` of a folder, reading and writing included; "memory" is arrays to class maps.
    """
    photo = np.asarray(Pillow.open(PICTURE).convert("RGB"))
    pictures = [np.roll(photo, 37 * number, axis=1) for number in range(16)]
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "pictures"
        given.mkdir()
        for number, picture in enumerate(pictures):
            Pillow.fromarray(picture).save(given / f"{number:02}.jpg", quality=92)
        segmenters = {"one by one": Segmenter(streams=1), "side by side": Segmenter(streams=usable_cores())}
        answers: dict[str, Callable[[Segmenter], object]] = {
            "files": lambda segmenter: predict([str(given)], segmenter, Path(folder) / "out"),
            "memory": lambda segmenter: list(segmenter.stream(pictures)),
        }
        for what, answer in answers.items():
            ways: dict[str, Callable[[], object]] = {name: partial(answer, one) for name, one in segmenters.items()}
            spent = alternate(ways, rounds)
            rates = [len(pictures) / statistics.median(one.wall for one in spent[name]) for name in ways]
            print(
                f"{what}: {rates[0]:.1f} pictures a second one after the other, {rates[1]:.1f} side by side; "
                f"{ratio(spent, 'side by side', 'wall', 'one by one'):.2f} times as fast, "
                f"{ratio(spent, 'side by side', 'processor', 'one by one'):.2f} in processor time"
            )


@dataclass(frozen=True)
class Spent:
    """Seconds of one answer: by the clock, and of all processor cores together, which other programs disturb less."""

    wall: float
    processor: float


def ratio(spent: dict[str, list[Spent]], way: str, clock: Literal["wall", "processor"], base: str = "authors") -> float:
    """How many times as fast as another way, the median of the rounds."""
    rounds = zip(spent[base], spent[way], strict=True)
    return statistics.median(float(getattr(slow, clock) / getattr(fast, clock)) for slow, fast in rounds)


def alternate(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[Spent]]:
    """What each way spent in each round; the first round warms up."""
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            if number:
                spent[name].append(Spent(time.perf_counter() - wall, time.process_time() - processor))
    return spent


def best_rate(precision: str) -> float:
    """Multiply-adds a second, of all cores, of a 3x3 convolution whose widths fit the processor's registers."""
    op, width, height, length = openvino.opset13, 128, 128, 256
    images = op.parameter([1, width, height, length], np.float32)
    kernel = op.constant(np.ones((width, width, 3, 3), np.float32))
    layer = op.convolution(images, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    for _ in range(3):
        layer = op.convolution(layer, kernel, [1, 1], [1, 1], [1, 1], [1, 1])
    settings = {"INFERENCE_PRECISION_HINT": HINTS[precision]}
    request = core().compile_model(openvino.Model([layer], [images]), "CPU", settings).create_infer_request()
    spent = alternate({"": request.infer}, 40)[""]
    seconds = min(one.processor for one in spent) / usable_cores()
    return 4 * width * width * 9 * height * length / seconds


if __name__ == "__main__":
    main()
