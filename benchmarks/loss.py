"""The loss against the published implementation, from coarse logits to the loss and its gradient.

    python benchmarks/loss.py --save
    python benchmarks/loss.py --batch 4 --size 512 512

The published implementation upsamples the logits, takes the cross entropy of every pixel, sorts the losses of an image
and averages the largest; autograd computes the gradient. "early" are random logits: all pixels are hard. "late" are
logits like those of a trained network: few pixels are hard. Runs are interleaved, so that load slows both alike.
Printed are the median of the rounds, the ratio of the medians, the error of value and gradient against the published
implementation in float64, and how much memory the computation adds to the peak of a fresh process.
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
    parser.add_argument("--factor", type=int, default=4, help="size of the labels over size of the logits")
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--memory", choices=VARIANTS, help=argparse.SUPPRESS)
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
        results = {"date": date, "machine": msgspec.to_builtins(describe_machine()), "busy": busy, "rows": rows}
        path = Path(__file__).parent / "results" / f"{date}-loss.json"
        path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def published(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss by its definition: all pixels at full size, sorted."""
    full_size = upsample(logits, (labels.shape[1], labels.shape[2]))
    losses = F.cross_entropy(full_size, labels.long(), ignore_index=IGNORE, reduction="none").flatten(1)
    means = []
    for image in losses:
        falling = image.sort(descending=True).values
        means.append(falling[falling > THRESHOLD].mean() if falling[KEPT] > THRESHOLD else falling[:KEPT].mean())
    return torch.stack(means).mean()


def ours(logits: Tensor, labels: Tensor) -> Tensor:
    """As training calls it."""
    return bootstrapped_cross_entropy(logits, labels, min_kept=KEPT, threshold=THRESHOLD)


VARIANTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"published": published, "ours": ours}


def draw(case: Case) -> tuple[Tensor, Tensor]:
    """Labels in blocks like objects in a street, some ignored; and logits that are random, or mostly right."""
    random = torch.Generator().manual_seed(0)
    coarse = [side // case.factor for side in case.size]
    blocks = torch.randint(0, case.classes, (case.batch, 1, *(max(1, side // 12) for side in coarse)), generator=random)
    truth = F.interpolate(blocks.float(), coarse)[:, 0].long()
    logits = torch.randn(case.batch, case.classes, *coarse, generator=random)
    if case.moment == "late":
        # One pixel in a hundred is confidently wrong.
        chosen = torch.where(torch.rand(truth.shape, generator=random) < 0.01, (truth + 1) % case.classes, truth)
        logits.scatter_add_(1, chosen[:, None], torch.full_like(logits[:, :1], 9.0))
    labels = F.interpolate(truth[:, None].float(), case.size)[:, 0].to(torch.uint8)
    labels[:, -case.size[0] // 10 :] = IGNORE
    return logits, labels


def _measure(case: Case, rounds: int) -> dict[str, Any]:
    logits, labels = draw(case)
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    found = {}
    for number in range(rounds + 1):
        for variant, loss_of in VARIANTS.items():
            started = time.perf_counter()
            found[variant] = _value_and_gradient(loss_of, logits, labels)
            if number:  # the first round warms up
                seconds[variant].append(time.perf_counter() - started)
    exact_value, exact_gradient = _exact(logits, labels)
    memory = {variant: int(_in_fresh_process(case, variant)) / 2**20 for variant in VARIANTS}
    median = {variant: statistics.median(times) for variant, times in seconds.items()}
    row = {
        **case._asdict(),
        "threads": torch.get_num_threads(),
        "ms": {variant: round(1e3 * one, 1) for variant, one in median.items()},
        "speedup": round(median["published"] / median["ours"], 2),
        "speedup_of_rounds": [round(one / two, 2) for one, two in zip(*seconds.values(), strict=True)],
        "value_error": {variant: abs(float(value) - exact_value) for variant, (value, _) in found.items()},
        "gradient_error": {
            variant: float((gradient - exact_gradient).norm() / exact_gradient.norm())
            for variant, (_, gradient) in found.items()
        },
        "added_mib": {variant: round(one) for variant, one in memory.items()},
    }
    print(json.dumps(row), flush=True)
    return row


def _value_and_gradient(
    loss_of: Callable[[Tensor, Tensor], Tensor], logits: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    leaf = logits.detach().requires_grad_()
    loss = loss_of(leaf, labels)
    (gradient,) = torch.autograd.grad(loss, leaf)
    return loss.detach(), gradient


def _exact(logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Value and gradient by the definition in float64; image by image, to save memory."""
    alone = [
        _value_and_gradient(published, logits[image, None].double(), labels[image, None])
        for image in range(len(labels))
    ]
    values, gradients = zip(*alone, strict=True)
    return float(torch.stack(values).mean()), torch.cat(gradients) / len(alone)


def _in_fresh_process(case: Case, variant: str) -> str:
    options = ["--batch", case.batch, "--size", *case.size, "--factor", case.factor, "--classes", case.classes]
    command = [sys.executable, __file__, *map(str, options), "--moment", case.moment, "--memory", variant]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _added_memory(case: Case, variant: str) -> int:
    """Bytes that one computation adds to the peak, after a small one that loads the code."""
    small = case._replace(batch=1, size=(128, 128))
    logits, labels = draw(small)
    _value_and_gradient(VARIANTS[variant], logits, labels)
    logits, labels = draw(case)
    before = peak_memory_bytes()
    _value_and_gradient(VARIANTS[variant], logits, labels)
    after = peak_memory_bytes()
    assert before is not None
    assert after is not None
    return after - before


if __name__ == "__main__":
    main()
