"""The input pipeline of training, from files to batches, in processor time of one core.

    FASSD_DATA=../shared/data python benchmarks/input_pipeline.py --save

"profile": milliseconds per image of each part, from files of 2048x1024 to batches of 1024x1024 crops, and the share of
decoding, without and with color jitter. "crops": from decoded images; our crops, against the published order (mirror,
resize the entire image, pad, crop) by Pillow and by our own kernel, with the same random draws, interleaved. "JPEG": a
large photo read for crops at a half, a quarter and an eighth of its scale, and how much that changes the network's
input, next to the change by another filter. "workers": images per second of two worker processes, wall-clock, with
images decoded every time and with images kept in memory. Frames are the real ones of $FASSD_DATA/cityscapes_mini, or
else rendered. --save writes dated JSON to benchmarks/results.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from rich.console import Console
from rich.table import Table

from fassd.core.arrays import IGNORE, Image, Labels
from fassd.core.machine import describe_machine, load_before, usable_cores
from fassd.core.recipe import Augmentation, Recipe
from fassd.core.types import Sample
from fassd.data.batches import Samples, training_batches
from fassd.data.dataset import Dataset
from fassd.data.mask_encoding import read_values_quickly
from fassd.data.open_dataset import open_dataset
from fassd.data.transforms import Crop, Span, draw_crop, jitter
from fassd.media.images import REDUCTIONS, read_image
from fassd.synthesis.write import Streets
from fassd.tasks.synthesize import synthesize

FRAMES, BATCH, CROP = 8, 8, (1024, 1024)
JITTER = 0.4
PHOTO = Path(__file__).parent.parent / "src" / "fassd" / "assets" / "street.jpg"


def main() -> None:
    """Measures, prints, and saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--save", action="store_true")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    results: dict[str, Any] = {"date": date, "machine": _machine(), "disturbed": load_before(usable_cores())}
    with tempfile.TemporaryDirectory() as folder:
        results["frames"], dataset = _frames(Path(folder))
        results["profile"] = {str(strength): _profile(dataset, strength, given.rounds) for strength in (0.0, JITTER)}
        results["crops"] = _crops(dataset, given.rounds)
        results["jpeg"] = _jpeg(Path(folder), given.rounds)
        results["workers"] = _workers(dataset, given.rounds)
    _print(results)
    if given.save:
        path = Path(__file__).parent / "results" / f"{date}-input-pipeline.json"
        path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _machine() -> dict[str, Any]:
    machine = describe_machine()
    return {"processor": machine.processor, "cores": machine.cores, "packages": machine.packages}


def _frames(folder: Path) -> tuple[str, Dataset]:
    """Several frames of Cityscapes' size, all in separate files."""
    real = Path(os.environ.get("FASSD_DATA", "")) / "cityscapes_mini"
    if "FASSD_DATA" in os.environ and real.is_dir():
        for path in sorted(real.rglob("train/*/*.png")):
            for copy in range(FRAMES // 2):
                named = path.relative_to(real).as_posix().replace("aachen_00", f"aachen_{copy:02}")
                (folder / named).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, folder / named)
        return "real", open_dataset(f"cityscapes:{folder}", "train")
    synthesize(folder, Streets(images=2, size=(1024, 2048)))
    return "rendered", open_dataset(f"cityscapes:{folder}", "train")


def _profile(dataset: Dataset, strength: float, rounds: int) -> dict[str, Any]:
    """Milliseconds per image of every part, the median of all images and rounds."""
    augmentation = Augmentation(CROP, color_jitter=strength)
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        one = taken if number else {}  # the first round warms up
        examples = [_timed_example(dataset, index, augmentation, number, one) for index in range(len(dataset))]
        for stack in zip(*examples, strict=True):
            _clocked(taken, "stack", partial(np.stack, stack))
        del taken["stack"][:-2]
    parts = {part: statistics.median(times) * 1e3 for part, times in taken.items() if part != "stack"}
    parts["stack"] = sum(taken["stack"]) / len(dataset) * 1e3
    total = sum(parts.values())
    decoding = parts["decode image"] + parts["decode labels"]
    return {"ms": {part: round(time_ms, 2) for part, time_ms in parts.items()}, "decoding": round(decoding / total, 3)}


def _timed_example(
    dataset: Dataset, index: int, augmentation: Augmentation, seed: int, taken: dict[str, list[float]]
) -> tuple[Image, Labels]:
    """What `training_batches` does for one image of a batch, with every part timed."""
    pair, random = dataset.pairs[index], np.random.default_rng([seed, index])
    image = _clocked(taken, "decode image", lambda: read_image(pair.image))
    codes = _clocked(taken, "decode labels", lambda: dataset.encoding.read(pair.mask, read_values_quickly))
    labels = _clocked(taken, "map labels", lambda: dataset.labels_of(codes, pair))
    crop = draw_crop(labels.shape, augmentation, random)
    seen = _clocked(taken, "resize image", lambda: crop.of_image(image))
    seen_labels = _clocked(taken, "resize labels", lambda: crop.of_labels(labels))
    if augmentation.color_jitter:
        part = seen[crop.part]
        _clocked(taken, "change colors", lambda: jitter(part, augmentation.color_jitter, random, out=part))
    return seen, seen_labels


def _clocked(taken: dict[str, list[float]], part: str, work: Callable[[], Any]) -> Any:
    started = time.thread_time()
    result = work()
    taken.setdefault(part, []).append(time.thread_time() - started)
    return result


def _crops(dataset: Dataset, rounds: int) -> dict[str, Any]:
    """Milliseconds per crop of every variant, with the same random draws of the same images."""
    samples = [dataset[index] for index in range(2)]
    draws = [
        (sample, draw_crop(sample.labels.shape, Augmentation(CROP), np.random.default_rng([seed, place])))
        for seed in range(12)
        for place, sample in enumerate(samples)
    ]
    variants: dict[str, Callable[[Sample, Crop], tuple[Image, Labels]]] = {
        "ours": lambda sample, crop: (crop.of_image(sample.image), crop.of_labels(sample.labels)),
        "published order, Pillow": lambda sample, crop: _published(sample, crop, _by_pillow),
        "published order, our kernel": lambda sample, crop: _published(sample, crop, _by_kernel),
    }
    taken: dict[str, list[float]] = {variant: [] for variant in variants}
    for _ in range(rounds + 1):
        for variant, run in variants.items():
            started = time.thread_time()
            for sample, crop in draws:
                run(sample, crop)
            taken[variant].append((time.thread_time() - started) / len(draws) * 1e3)
    ratios = {
        variant: round(
            statistics.median(other / own for other, own in zip(times[1:], taken["ours"][1:], strict=True)), 2
        )
        for variant, times in taken.items()
    }
    largest = max(
        int(np.abs(variants["ours"](*one)[0].astype(int) - _published(*one, _by_pillow)[0]).max()) for one in draws
    )
    least = {variant: round(min(times[1:]), 2) for variant, times in taken.items()}
    return {"least_ms": least, "times_ours": ratios, "largest_difference_to_pillow": largest}


Resize = Callable[[Sample, tuple[int, int], bool], tuple[Image, Labels]]


def _published(sample: Sample, crop: Crop, resize: Resize) -> tuple[Image, Labels]:
    """The published order; it gives the same crop."""
    image, labels = resize(sample, (crop.rows.resized, crop.columns.resized), crop.mirrored)
    pads = [(max(0, size - side),) * 2 for size, side in zip(crop.size, labels.shape, strict=True)]
    if any(map(any, pads)):
        image = np.pad(image, [*pads, (0, 0)])
        labels = np.pad(labels, pads, constant_values=IGNORE)
    top = pads[0][0] + crop.rows.first - crop.rows.start
    left = pads[1][0] + crop.columns.first - crop.columns.start
    if crop.mirrored:
        left = labels.shape[1] - crop.size[1] - left
    here = np.s_[top : top + crop.size[0], left : left + crop.size[1]]
    return np.ascontiguousarray(image[here]), np.ascontiguousarray(labels[here])


def _by_pillow(sample: Sample, size: tuple[int, int], mirrored: bool) -> tuple[Image, Labels]:
    step = -1 if mirrored else 1
    image = Pillow.fromarray(np.ascontiguousarray(sample.image[:, ::step]))
    labels = Pillow.fromarray(np.ascontiguousarray(sample.labels[:, ::step]))
    wide = (size[1], size[0])
    return (
        np.asarray(image.resize(wide, Pillow.Resampling.BILINEAR)),
        np.asarray(labels.resize(wide, Pillow.Resampling.NEAREST)),
    )


def _by_kernel(sample: Sample, size: tuple[int, int], mirrored: bool) -> tuple[Image, Labels]:
    crop = _uncropped(sample.labels.shape, size, mirrored)
    return crop.of_image(sample.image), crop.of_labels(sample.labels)


def _uncropped(stored: tuple[int, ...], size: tuple[int, int], mirrored: bool = False) -> Crop:
    """The crop that shows the entire image."""
    rows, columns = (Span(side, resized, 0, resized, 0) for side, resized in zip(stored, size, strict=True))
    return Crop(size, rows, columns, mirrored)


def _jpeg(folder: Path, rounds: int) -> dict[str, Any]:
    """A photo of 8 megapixels, read at every factor: milliseconds, mean and largest difference of the input."""
    path = folder / "photo.jpg"
    Pillow.open(PHOTO).convert("RGB").resize((4096, 2048), Pillow.Resampling.LANCZOS).save(path, quality=90)
    full, results = read_image(path), {}
    taken: dict[int, list[float]] = {reduction: [] for reduction in REDUCTIONS}
    for _ in range(rounds + 1):
        for reduction, times in taken.items():
            started = time.thread_time()
            read_image(path, 1 / reduction)
            times.append((time.thread_time() - started) * 1e3)
    for reduction, times in taken.items():
        size = (full.shape[0] * 3 // (4 * reduction), full.shape[1] * 3 // (4 * reduction))
        crop = _uncropped(full.shape[:2], size)
        plain = crop.of_image(full).astype(int)
        reduced = np.abs(crop.of_image(read_image(path, 1 / reduction)) - plain)
        other = Pillow.fromarray(full).resize((size[1], size[0]), Pillow.Resampling.BICUBIC)
        results[f"1/{reduction}"] = {
            "ms": round(min(times[1:]), 2),
            "mean_difference": round(float(reduced.mean()), 3),
            "largest_difference": int(reduced.max()),
            "mean_difference_bicubic": round(float(np.abs(np.asarray(other) - plain).mean()), 3),
        }
    return results


def _workers(dataset: Dataset, rounds: int) -> Mapping[str, float]:
    """Images per second of two worker processes, after the first epoch."""
    speeds = {}
    for name, room in (("decoded anew", 0), ("kept", 1 << 30)):
        samples = Samples([dataset], room=room)
        warm = -(-len(samples) // BATCH) + 4
        recipe = Recipe(
            network="fassd-net-l2", iterations=warm + 4 * rounds, batch_size=BATCH, augmentation=Augmentation(CROP)
        )
        batches = training_batches(samples, recipe, 0, 2)
        for _ in range(warm):
            next(batches)
        started = time.perf_counter()
        for _ in batches:
            pass
        speeds[name] = round(4 * rounds * BATCH / (time.perf_counter() - started), 1)
    return speeds


def _print(results: dict[str, Any]) -> None:
    console = Console()
    console.print(f"{results['machine']['processor']}, {results['frames']} frames of 2048x1024")
    if results["disturbed"]:
        console.print(results["disturbed"])
    table = Table("part", *(f"ms, jitter {strength}" for strength in results["profile"]), title="from files, per image")
    columns = [column["ms"] for column in results["profile"].values()]
    for part in columns[-1]:
        table.add_row(part, *(f"{column[part]:.2f}" if part in column else "" for column in columns))
    table.add_row("share of decoding", *(f"{column['decoding']:.1%}" for column in results["profile"].values()))
    console.print(table)
    table = Table("variant", "ms", "times ours", title="decoded images, per crop of 1024x1024")
    for variant, least in results["crops"]["least_ms"].items():
        table.add_row(variant, f"{least:.2f}", f"{results['crops']['times_ours'][variant]:.2f}")
    console.print(table)
    console.print(f"largest difference to Pillow: {results['crops']['largest_difference_to_pillow']} of 255")
    table = Table("read at", "ms", "differs", "at most", "bicubic differs", title="a JPEG of 4096x2048")
    for name, row in results["jpeg"].items():
        table.add_row(name, *map(str, row.values()))
    console.print(table)
    speeds = ", ".join(f"{name} {speed}" for name, speed in results["workers"].items())
    console.print(f"two workers, images per second: {speeds}")


if __name__ == "__main__":
    main()
