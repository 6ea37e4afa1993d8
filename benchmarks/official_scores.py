"""Speed of the official Cityscapes scores, as a ratio to the owners' program in the same run.

    FASSD_DATA=../shared/data python benchmarks/official_scores.py

Both score the same frames of 2048x1024, in turn: drawn ones and, where $FASSD_DATA has them, real ones. "maps" hands
both the decoded pictures, so that it is the scoring itself; "files" adds decoding three PNGs, which costs both the
same. Both use one core; processor time is counted, so that whatever else the machine does matters little.
Results are printed and written to benchmarks/results as dated JSON.
"""

from __future__ import annotations

import copy
import datetime
import importlib
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from fassd.core.arrays import Labels
from fassd.metrics.cityscapes import InstanceIds, OfficialEvaluation

ROUNDS = 15
WIDTH, HEIGHT = 2048, 1024
DRAWN = 4
ROAD, VOID = 7, 6  # what stands in for void answers, which networks do not give; the highest void id
WHAT = ("maps", "files")
KINDS = ("prediction", "labelIds", "instanceIds")

# What is drawn over a road, in this order: raw id, how many, smallest and largest height, lowest and highest foot.
THINGS = (
    (23, 1, 500, 600, 300, 400),  # sky
    (11, 12, 300, 600, 500, 560),  # building
    (21, 14, 80, 300, 450, 560),  # vegetation
    (8, 6, 60, 120, 600, 700),  # sidewalk
    (17, 25, 100, 400, 520, 640),  # pole
    (20, 15, 15, 50, 300, 500),  # traffic sign
    (26, 18, 30, 250, 540, 800),  # car
    (24, 14, 20, 200, 540, 750),  # person
    (33, 6, 20, 120, 560, 760),  # bicycle
    (28, 1, 150, 300, 560, 700),  # bus
)
SINGLE = (24, 26, 28, 33)


def main() -> None:
    """Measures, prints, writes."""
    owners = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(np, "in1d", np.isin, create=True):
        warnings.simplefilter("ignore")
        frames = [_measure(owners, name, Path(folder), *maps) for name, maps in _frames()]
    results = {
        "date": date,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "numpy": np.__version__,
            "python": platform.python_version(),
            "owners_compiled": owners.CSUPPORT,
        },
        "frames": frames,
        "lowest_times_as_fast": {what: min(frame["times_as_fast"][what] for frame in frames) for what in WHAT},
    }
    print(json.dumps(results, indent=2))
    (Path(__file__).parent / "results").mkdir(exist_ok=True)
    written = Path(__file__).parent / "results" / f"{date}-official-scores.json"
    written.write_text(json.dumps(results, indent=2) + "\n")


def _frames() -> Iterator[tuple[str, tuple[Labels, InstanceIds]]]:
    """Names, labels and instances."""
    for seed in range(DRAWN):
        yield f"drawn {seed}", _draw(np.random.default_rng(seed))
    real = Path(os.environ.get("FASSD_DATA", "nowhere")) / "cityscapes_mini" / "gtFine"
    for path in sorted(real.glob("*/*/*_labelIds.png")):
        instances = path.with_name(path.name.replace("labelIds", "instanceIds"))
        yield path.stem, (np.array(Pillow.open(path)), np.array(Pillow.open(instances)))


def _draw(random: np.random.Generator) -> tuple[Labels, InstanceIds]:
    labels, instances = (Pillow.new("I", (WIDTH, HEIGHT), ROAD) for _ in range(2))
    for raw_id, count, *sizes in THINGS:
        for number in range(count):
            height, foot = random.integers(sizes[0], sizes[1]), random.integers(sizes[2], sizes[3])
            width = WIDTH if raw_id == 23 else max(3, int(height * (0.05 if raw_id == 17 else random.uniform(0.5, 2))))
            left = int(random.integers(-width // 2, WIDTH - width // 2)) if raw_id != 23 else 0
            box = (left, int(foot - height), left + width, int(foot))
            shape = "ellipse" if raw_id in (*SINGLE, 21) else "rectangle"
            for picture, value in ((labels, raw_id), (instances, raw_id * 1000 + number)):
                getattr(ImageDraw.Draw(picture), shape)(box, fill=value if raw_id in SINGLE else raw_id)
    for picture in (labels, instances):
        ImageDraw.Draw(picture).rectangle((0, 0, WIDTH - 1, HEIGHT - 1), outline=3, width=5)  # out of roi
        ImageDraw.Draw(picture).ellipse((200, 920, WIDTH - 200, 1200), fill=1)  # the own car
    return np.array(labels).astype(np.uint8), np.array(instances).astype(np.uint16)


def _answer(labels: Labels) -> Labels:
    """What a fair network might say: borders displaced, some patches wrong, no void."""
    random = np.random.default_rng(0)
    answer = np.roll(labels, (2, 3), (0, 1))
    for _ in range(300):
        top, left = random.integers(0, HEIGHT), random.integers(0, WIDTH)
        answer[top : top + random.integers(5, 60), left : left + random.integers(5, 60)] = random.choice(
            labels[::64, 0]
        )
    answer[answer <= VOID] = ROAD
    return answer


def _measure(owners: Any, name: str, folder: Path, labels: Labels, instances: InstanceIds) -> dict[str, Any]:
    paths = [folder / f"frame_{kind}.png" for kind in KINDS]
    for path, values in zip(paths, (_answer(labels), labels, instances), strict=True):
        Pillow.fromarray(values).save(path)
    decoded = {str(path): Pillow.open(path) for path in paths}
    for picture in decoded.values():
        picture.load()
    options = copy.copy(owners.args)
    options.JSONOutput, options.quiet = False, True

    def official() -> Any:
        return owners.evaluateImgLists([str(paths[0])], [str(paths[1])], options)["confMatrix"]

    def official_maps() -> Any:
        with mock.patch.object(owners.Image, "open", decoded.get):
            return official()

    def ours(read: Callable[[str], Any]) -> Any:
        evaluation = OfficialEvaluation()
        evaluation.add(*(np.array(read(str(path))) for path in paths))
        evaluation.result()
        return evaluation.confusion.tolist()

    assert official() == ours(Pillow.open), "the two disagree, so their speed says nothing"
    seconds = _alternate(
        {
            "official files": official,
            "fassd files": lambda: ours(Pillow.open),
            "official maps": official_maps,
            "fassd maps": lambda: ours(decoded.__getitem__),
        }
    )
    return {
        "frame": name,
        "instances": int(np.count_nonzero(np.unique(instances) > 1000)),
        "ms": {way: round(statistics.median(values) * 1000, 1) for way, values in seconds.items()},
        "times_as_fast": {what: _ratio(seconds, what) for what in WHAT},
    }


def _alternate(ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            begun = time.process_time()
            way()
            if number:  # the first round warms up
                seconds[name].append(time.process_time() - begun)
    return seconds


def _ratio(seconds: dict[str, list[float]], what: str) -> float:
    pairs = zip(seconds[f"official {what}"], seconds[f"fassd {what}"], strict=True)
    return round(statistics.median(theirs / ours for theirs, ours in pairs), 2)


if __name__ == "__main__":
    main()
