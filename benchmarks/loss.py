"""The loss against the published way, from coarse logits to the loss and its gradient by them.

    python benchmarks/loss.py --save
    python benchmarks/loss.py --batch 4 --size 512 512

The published way enlarges the logits, takes the cross entropy of every pixel, sorts each image and means the worst;
autograd goes back. "early" are random logits: all pixels are hard. "late" are those of a trained network: few are.
The ways alternate within one run, so that a busy machine slows them alike; printed are the median of the rounds, the
ratio of the medians, how far value and gradient are from the published way in float64, and what each way adds to the
peak memory of a process of its own that holds the logits and labels.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from fassd.core.arrays import IGNORE
from fassd.core.machine import describe_machine, load_before, peak_memory_bytes, usable_cores
from fassd.networks.network import upsample
from fassd.training.loss import bootstrapped_cross_entropy

KEPT, THRESHOLD = 4096, 0.3
MOMENTS = ("early", "late")


class Case(NamedTuple):
    """Coarse logits and labels to measure on."""

    batch: int
    size: tuple[int, int]
    factor: int
    classes: int
    moment: str


def main() -> None:
    """Measures, prints, and saves if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 1024), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--factor", type=int, default=4, help="labels are so many times as large as the logits")
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--memory", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--moment", choices=MOMENTS, action="append", help="default: both")
    given = parser.parse_args()
    cases = [
        Case(given.batch, tuple(given.size), given.factor, given.classes, moment) for moment in given.moment or MOMENTS
    ]
    if given.memory:
        print(_added_memory(cases[0], given.memory))
        return
    busy = load_before(usable_cores())
    rows = [_measure(case, given.rounds) for case in cases]
    if given.save:
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        told = {"date": date, "machine": msgspec.to_builtins(describe_machine()), "busy": busy, "rows": rows}
        path = Path(__file__).parent / "results" / f"{date}-loss.json"
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def published(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss by its definition: everything at full size, sorted."""
    enlarged = upsample(logits, (labels.shape[1], labels.shape[2]))
    losses = F.cross_entropy(enlarged, labels.long(), ignore_index=IGNORE, reduction="none").flatten(1)
    means = []
    for image in losses:
        falling = image.sort(descending=True).values
        means.append(falling[falling > THRESHOLD].mean() if falling[KEPT] > THRESHOLD else falling[:KEPT].mean())
    return torch.stack(means).mean()


def ours(logits: Tensor, labels: Tensor) -> Tensor:
    """As training calls it."""
    return bootstrapped_cross_entropy(logits, labels, min_kept=KEPT, threshold=THRESHOLD)


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"published": published, "ours": ours}


def draw(case: Case) -> tuple[Tensor, Tensor]:
    """Labels in blocks like things in a street, some ignored; logits that know nothing, or most of it."""
    random = torch.Generator().manual_seed(0)
    coarse = [side // case.factor for side in case.size]
    blocks = torch.randint(0, case.classes, (case.batch, 1, *(max(1, side // 12) for side in coarse)), generator=random)
    truth = F.interpolate(blocks.float(), coarse)[:, 0].long()
    logits = torch.randn(case.batch, case.classes, *coarse, generator=random)
    if case.moment == "late":
        # Here and there it is sure of something else.
        said = torch.where(torch.rand(truth.shape, generator=random) < 0.01, (truth + 1) % case.classes, truth)
        logits.scatter_add_(1, said[:, None], torch.full_like(logits[:, :1], 9.0))
    labels = F.interpolate(truth[:, None].float(), case.size)[:, 0].to(torch.uint8)
    labels[:, -case.size[0] // 10 :] = IGNORE
    return logits, labels


def _measure(case: Case, rounds: int) -> dict[str, Any]:
    logits, labels = draw(case)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    found = {}
    for number in range(rounds + 1):
        for way, lose in WAYS.items():
            begun = time.perf_counter()
            found[way] = _value_and_gradient(lose, logits, labels)
            if number:  # the first round warms up
                seconds[way].append(time.perf_counter() - begun)
    exact, slope = _exact(logits, labels)
    memory = {way: int(_in_fresh_process(case, way)) / 2**20 for way in WAYS}
    median = {way: statistics.median(times) for way, times in seconds.items()}
    row = {
        **case._asdict(),
        "threads": torch.get_num_threads(),
        "ms": {way: round(1e3 * one, 1) for way, one in median.items()},
        "ratio": round(median["published"] / median["ours"], 2),
        "ratio_of_each_round": [round(one / two, 2) for one, two in zip(*seconds.values(), strict=True)],
        "value_deviates": {way: abs(float(value) - exact) for way, (value, _) in found.items()},
        "gradient_deviates": {way: float((one - slope).norm() / slope.norm()) for way, (_, one) in found.items()},
        "added_mib": {way: round(one) for way, one in memory.items()},
    }
    print(json.dumps(row), flush=True)
    return row


def _value_and_gradient(
    lose: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    given = logits.detach().requires_grad_()
    loss = lose(given, labels)
    (gradient,) = torch.autograd.grad(loss, given)
    return loss.detach(), gradient


def _exact(logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """By definition in float64; one image after the other, for its memory."""
    alone = [
        _value_and_gradient(published, logits[image, None].double(), labels[image, None])
        for image in range(len(labels))
    ]
    values, gradients = zip(*alone, strict=True)
    return float(torch.stack(values).mean()), torch.cat(gradients) / len(alone)


def _in_fresh_process(case: Case, way: str) -> str:
    options = ["--batch", case.batch, "--size", *case.size, "--factor", case.factor, "--classes", case.classes]
    command = [sys.executable, __file__, *map(str, options), "--moment", case.moment, "--memory", way]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _added_memory(case: Case, way: str) -> int:
    """Bytes by which the peak rises, once the code is loaded."""
    small = case._replace(batch=1, size=(128, 128))
    logits, labels = draw(small)
    _value_and_gradient(WAYS[way], logits, labels)
    logits, labels = draw(case)
    before = peak_memory_bytes()
    _value_and_gradient(WAYS[way], logits, labels)
    after = peak_memory_bytes()
    assert before is not None
    assert after is not None
    return after - before


if __name__ == "__main__":
    main()
