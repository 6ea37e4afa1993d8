"""Speed of the official Cityscapes scores, as a speedup over the published package, in the same run.

    FASSD_DATA=../shared/data python benchmarks/official_scores.py --images 500

Three rows. "files": from PNG files to scores, the owners' program against `fassd evaluate --predictions --no-borders`;
"files and borders": the same with our border scores. Wall-clock time, ours in as many threads as there are cores,
theirs in one process, as it works; and processor time, which depends less on other work on the machine. Entire
processes are timed, start included, interleaved. The files are copies of the real frames in $FASSD_DATA (if there are
any) and of rendered streets, 2048x1024, with made-up predictions. "maps": the scoring alone, on decoded images, on one
core, in processor time. Results are printed and written to benchmarks/results as dated JSON.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import importlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import Labels
from fassd.metrics.cityscapes import OfficialEvaluation
from fassd.synthesis.write import Streets
from fassd.tasks.synthesize import synthesize

ROAD, VOID = 7, 6  # the class that replaces void in predictions, which networks never predict; the highest void id
ROWS = ("files", "files and borders")
RENDERED, ROUNDS, MAP_ROUNDS = 4, 2, 9

OFFICIAL = """
import glob, json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
np.in1d = np.isin  # dropped in NumPy 2.4
import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as owners
options = owners.args
options.predictionPath, options.JSONOutput, options.quiet = sys.argv[1] + "/predictions", False, True
truth = sorted(glob.glob(sys.argv[1] + "/gtFine/val/*/*_labelIds.png"))
result = owners.evaluateImgLists([owners.getPrediction(options, path) for path in truth], truth, options)
print(json.dumps([result[key] for key in ("averageScoreClasses", "averageScoreCategories", "averageScoreInstClasses",
                                          "averageScoreInstCategories", "confMatrix")]))
"""


def main() -> None:
    """Measures, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500, help="files in the row 'files'")
    images = parser.parse_args().images
    owners = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(np, "in1d", np.isin, create=True):
        warnings.simplefilter("ignore")
        frames = _frames(Path(folder) / "rendered")
        maps = [_measure_maps(owners, Path(folder), *frame) for frame in frames]
        files = _measure_files(Path(folder) / "copies", frames, images)
    results = {
        "date": date,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "numpy": np.__version__,
            "python": platform.python_version(),
            "owners_compiled": owners.CSUPPORT,
        },
        "files": files,
        "maps": maps,
    }
    print(json.dumps(results, indent=2))
    (Path(__file__).parent / "results").mkdir(exist_ok=True)
    written = Path(__file__).parent / "results" / f"{date}-official-scores.json"
    written.write_text(json.dumps(results, indent=2) + "\n")


def _frames(rendered: Path) -> list[tuple[Path, Path]]:
    """Paths of labels and of instances."""
    synthesize(rendered, Streets(RENDERED, (1024, 2048)))
    real = Path(os.environ.get("FASSD_DATA", "nowhere")) / "cityscapes_mini"
    found = [path for root in (real, rendered) for path in sorted(root.glob("gtFine/*/*/*_labelIds.png"))]
    return [(path, path.with_name(path.name.replace("labelIds", "instanceIds"))) for path in found]


def _prediction(labels: Labels) -> Labels:
    """A plausible prediction: borders displaced, some patches wrong, no void."""
    random = np.random.default_rng(0)
    prediction = np.roll(labels, (2, 3), (0, 1))
    height, width = labels.shape
    for _ in range(300):
        top, left = random.integers(0, height), random.integers(0, width)
        prediction[top : top + random.integers(5, 60), left : left + random.integers(5, 60)] = random.choice(
            labels[::64, 0]
        )
    prediction[prediction <= VOID] = ROAD
    return prediction


def _measure_files(root: Path, frames: list[tuple[Path, Path]], images: int) -> dict[str, Any]:
    """Entire processes, wall-clock, interleaved."""
    predictions = [_prediction(np.array(Pillow.open(labels))) for labels, _ in frames]
    for folder in ("leftImg8bit/val/copy", "gtFine/val/copy", "predictions"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        (labels, instances), prediction = frames[number % len(frames)], predictions[number % len(frames)]
        stem = f"copy_{number:06}_000019"
        (root / f"leftImg8bit/val/copy/{stem}_leftImg8bit.png").touch()  # the photo is not read
        for kind, path in (("labelIds", labels), ("instanceIds", instances)):
            (root / f"gtFine/val/copy/{stem}_gtFine_{kind}.png").write_bytes(path.read_bytes())
        Pillow.fromarray(prediction).save(root / f"predictions/{stem}.png")
    data = ["--data", f"cityscapes:{root}", "--predictions", str(root / "predictions")]
    commands = {
        "official": [sys.executable, "-c", OFFICIAL, str(root)],
        "files": [sys.executable, "-m", "fassd", "evaluate", *data, "--json", "--no-borders"],
        "files and borders": [sys.executable, "-m", "fassd", "evaluate", *data, "--json"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    busy: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        printed = {}
        for name, command in commands.items():
            started, used = time.perf_counter(), _used()
            printed[name] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
            if number:  # the first round warms up: files are read, loops compiled
                seconds[name].append(time.perf_counter() - started)
                busy[name].append(_used() - used)
        names = ("classes", "categories", "instance_classes", "instance_categories")
        for row in ROWS:
            ours = [printed[row]["official"]["averages"][name] for name in names]
            assert ours == printed["official"][:4], "the two disagree, so their speed says nothing"
    return {
        "images": images,
        "seconds": {name: [round(one, 2) for one in values] for name, values in seconds.items()},
        "processor_seconds": {name: [round(one, 2) for one in values] for name, values in busy.items()},
        "speedup": {row: _speedup(seconds["official"], seconds[row]) for row in ROWS},
        "processor_speedup": {row: _speedup(busy["official"], busy[row]) for row in ROWS},
        "load": os.getloadavg()[0],
    }


def _used() -> float:
    """Processor time of all finished child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _measure_maps(owners: Any, folder: Path, labels: Path, instances: Path) -> dict[str, Any]:
    """The scoring alone, in processor time, interleaved."""
    truth = folder / "one_labelIds.png"
    paths = {folder / "one_prediction.png": _prediction(np.array(Pillow.open(labels)))}
    for kind, path in (("labelIds", labels), ("instanceIds", instances)):
        paths[folder / f"one_{kind}.png"] = np.array(Pillow.open(path))
    decoded = {str(path): Pillow.fromarray(values) for path, values in paths.items()}
    options = copy.copy(owners.args)
    options.JSONOutput, options.quiet = False, True

    def official() -> Any:
        with mock.patch.object(owners.Image, "open", decoded.get):
            return owners.evaluateImgLists([str(next(iter(paths)))], [str(truth)], options)["confMatrix"]

    def ours() -> Any:
        evaluation = OfficialEvaluation()
        evaluation.add(*(np.array(image) for image in decoded.values()))
        evaluation.result()
        return evaluation.confusion.tolist()

    assert official() == ours(), "the two disagree, so their speed says nothing"
    seconds = _interleave({"official": official, "fassd": ours})
    return {
        "frame": labels.stem,
        "instances": int(np.count_nonzero(np.unique(paths[folder / "one_instanceIds.png"]) > 1000)),
        "ms": {name: round(statistics.median(values) * 1000, 1) for name, values in seconds.items()},
        "speedup": _speedup(seconds["official"], seconds["fassd"]),
    }


def _interleave(variants: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(MAP_ROUNDS + 1):
        for name, variant in variants.items():
            started = time.process_time()
            variant()
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - started)
    return seconds


def _speedup(theirs: list[float], ours: list[float]) -> float:
    return round(statistics.median(their / our for their, our in zip(theirs, ours, strict=True)), 2)


if __name__ == "__main__":
    main()
