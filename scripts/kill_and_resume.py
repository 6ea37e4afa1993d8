"""Kills a training many times, resumes it each time, and compares its end with that of an uninterrupted run.

python scripts/kill_and_resume.py --kills 50 --every-boundary

The training data are made for it. Three kinds of death follow each other, all without any warning to the process:

- SIGKILL after a random time;
- SIGKILL at a random file boundary: before a file of the run is opened, renamed or removed;
- death while writing, after a random number of bytes of a training state.

`--every-boundary` also kills one run at each of the file boundaries. Every run is resumed until it ends. Its last
training state (weights, momentum, averages, random states) and its best checkpoint must then equal the uninterrupted
run's bit by bit, and its log must have every iteration once. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fassd.core.errors import FassdError
from fassd.core.recipe import Recipe, recipe_from
from fassd.core.types import Event, ignore_events
from fassd.tasks.train import train
from fassd.training.curves import Curves
from fassd.training.run import Run
from fassd.training.setup import TrainConfig

ITERATIONS, SAVE_EVERY = 8, 2
BOUNDARIES = {"open", "os.rename", "os.remove", "os.mkdir"}

Death = Callable[[Path], Callable[[Event], None]]
"""Prepares the process that trains into a folder to die; returns the watch of its events."""


def main() -> int:
    """Kills, resumes and compares; prints a line for each death."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--every-boundary", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    # Drawing curves takes longer than this training, and nothing depends on it.
    Curves.draw = lambda self: None  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), random.Random(options.seed))
        print(f"uninterrupted: {ITERATIONS} iterations, {bench.boundaries} file boundaries, {bench.seconds:.1f} s")
        identical = kill_at_random(bench, options.kills)
        if options.every_boundary:
            identical &= kill_at_every_boundary(bench)
    print("every run ended bit-exactly like the uninterrupted one" if identical else "A RUN ENDED DIFFERENTLY")
    return 0 if identical else 1


class Bench:
    """The data, the uninterrupted run, and its result."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance
        self.data = make_data(folder / "data")
        straight = folder / "straight"
        # The first run compiles kernels and warms caches: it is not timed.
        train(self.config(folder / "warm", resume=False))
        count = folder / "boundaries"
        started = time.monotonic()
        assert self.train_in_process(straight, lambda out: counting(out, count)) == 0
        self.seconds = time.monotonic() - started
        self.boundaries = int(count.read_text())
        self.expected = result_of(straight)
        self.state_bytes = Run(straight).states.paths()[0].stat().st_size

    def config(self, out: Path, resume: bool) -> TrainConfig:
        """A training into a folder."""
        return TrainConfig(recipe(), [f"camvid:{self.data}"], out, resume, workers=0, trackers=())

    def train_in_process(self, out: Path, death: Death, after: float | None = None) -> int:
        """Trains in a child process, from the start or from the newest state; returns its exit status.

        Args:
            out: the run's folder.
            death: prepares the process to die.
            after: seconds after which it is killed with SIGKILL.
        """
        process = os.fork()
        if not process:
            os._exit(self._train(out, death))
        if after is not None:
            time.sleep(after)
            os.kill(process, signal.SIGKILL)
        return os.waitpid(process, 0)[1]

    def _train(self, out: Path, death: Death) -> int:
        try:
            train(self.config(out, resume=bool(Run(out).states.paths())), death(out))
        except FassdError as error:
            print(f"    {error}", flush=True)
            return 2
        return 0


def kill_at_random(bench: Bench, kills: int) -> bool:
    """Kills runs until the number of kills is reached; resumes each until it ends."""
    deaths, identical, run = 0, True, 0
    while deaths < kills:
        run += 1
        out = bench.folder / f"run-{run}"
        while True:
            name, death, after = _some_death(bench, deaths % 3) if deaths < kills else ("to the end", living, None)
            before = _newest_state(out)
            status = bench.train_in_process(out, death, after)
            if status == 0:
                break
            deaths += 1
            print(f"death {deaths:3}: {name}, started at {before}, left {_newest_state(out)}{_debris(out)}", flush=True)
            if not os.WIFSIGNALED(status):
                return False
        identical &= _is_identical(bench, out, f"run {run}")
        shutil.rmtree(out)
    return identical


def kill_at_every_boundary(bench: Bench) -> bool:
    """Kills a run at each file boundary, and resumes it to its end."""
    identical = True
    for boundary in range(1, bench.boundaries + 1):
        out = bench.folder / "boundary"
        status = bench.train_in_process(out, dying_at(boundary))
        left = f"{_newest_state(out)}{_debris(out)}"
        ended = bench.train_in_process(out, living)
        name = f"boundary {boundary:3} of {bench.boundaries}: left {left}"
        identical &= os.WIFSIGNALED(status) and ended == 0 and _is_identical(bench, out, name)
        shutil.rmtree(out)
    return identical


def _some_death(bench: Bench, kind: int) -> tuple[str, Death, float | None]:
    if kind == 0:
        after = bench.chance.uniform(0.05, bench.seconds)
        return f"SIGKILL after {after:.2f} s", living, after
    if kind == 1:
        boundary = bench.chance.randint(1, bench.boundaries)
        return f"SIGKILL at file boundary {boundary}", dying_at(boundary), None
    room = bench.chance.randint(1, bench.state_bytes - 1)
    iteration = bench.chance.randint(1, ITERATIONS - 1)
    name = f"death after {room:,} bytes of the state after iteration {iteration}"
    return name, dying_while_writing(room, iteration), None


def living(out: Path) -> Callable[[Event], None]:
    """No death at all."""
    return ignore_events


def dying_at(boundary: int) -> Death:
    """SIGKILL at a file boundary, counted from 1: before a file of the run is opened, renamed or removed."""

    def prepare(out: Path) -> Callable[[Event], None]:
        count = Count(out, boundary)
        sys.addaudithook(count)
        return ignore_events

    return prepare


def counting(out: Path, result: Path) -> Callable[[Event], None]:
    """No death: writes the number of file boundaries to a file."""
    count = Count(out, -1)
    sys.addaudithook(count)

    def watch(event: Event) -> None:
        if event.kind == "saved":
            os.write(os.open(result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), str(count.seen).encode())

    return watch


def dying_while_writing(room: int, iteration: int) -> Death:
    """Death when a file grows beyond `room` bytes, from an iteration on, by the kernel's limit on file sizes."""

    def prepare(out: Path) -> Callable[[Event], None]:
        def watch(event: Event) -> None:
            if event.kind == "iteration" and event.values["iteration"] == iteration:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

        return watch

    return prepare


@dataclass
class Count:
    """Counts the file boundaries below a folder, and kills the process at one of them."""

    folder: Path
    last: int
    seen: int = 0

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        """Called by Python before each audited operation."""
        if event not in BOUNDARIES or not str(arguments[0]).startswith(str(self.folder)):
            return
        self.seen += 1
        if self.seen == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def result_of(out: Path) -> dict[str, bytes]:
    """Everything that a run produced, but for times."""
    run = Run(out)
    state = run.states.load()
    result = {name: value.reshape(-1).view(torch.uint8).numpy().tobytes() for name, value in state.tensors.items()}
    result["best checkpoint"] = run.best_path.read_bytes()
    result["iterations"] = str([(row["iteration"], row["loss"], row["lr"]) for row in run.iterations()]).encode()
    result["validations"] = str(run.validations()).encode()
    return result


def _is_identical(bench: Bench, out: Path, name: str) -> bool:
    found = result_of(out)
    different = [key for key in bench.expected if found.get(key) != bench.expected[key]]
    debris = _debris(out)
    print(f"{name}: {'identical' if not different else f'DIFFERENT: {different[:5]}'}{debris}", flush=True)
    return not different and found.keys() == bench.expected.keys() and not debris


def _newest_state(out: Path) -> str:
    paths = Run(out).states.paths()
    return f"iteration {int(paths[0].stem.rpartition('-')[2])}" if paths else "nothing"


def _debris(out: Path) -> str:
    left = [path.name for path in out.rglob(".*")]
    return f", debris: {', '.join(left)}" if left else ""


def recipe() -> Recipe:
    """A training of seconds whose states hold everything that a state can hold."""
    values = {
        "network": "fassd-net-l2",
        "iterations": ITERATIONS,
        "batch_size": 2,
        "precision": "float32",
        "ema_decay": 0.9,
        "validate_every": ITERATIONS // 2,
        "save_every": SAVE_EVERY,
        "augmentation": {"crop_size": (64, 64), "scale": (0.9, 1.5)},
        "loss": {"min_kept": 512, "class_weights": "inverse-log", "aux_weight": 0.4},
    }
    return recipe_from(values, "the script")


def make_data(root: Path) -> Path:
    """Six labeled pictures of colored blocks in CamVid's layout."""
    for split, frames in {"train": 4, "val": 2}.items():
        images, masks = root / split, root / f"{split}annot"
        for folder in (images, masks):
            folder.mkdir(parents=True)
        for number in range(frames):
            coarse = np.random.default_rng([number, frames]).integers(0, 11, (4, 6))
            labels = np.kron(coarse, np.ones((16, 16))).astype(np.uint8)
            Image.fromarray(np.stack([labels * 20, 255 - labels * 20, labels], -1)).save(images / f"{number}.png")
            Image.fromarray(labels).save(masks / f"{number}.png")
    return root


if __name__ == "__main__":
    sys.exit(main())
