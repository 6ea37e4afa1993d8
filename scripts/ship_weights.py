"""Turns a run into weights that ship: half precision, scored as shipped, scores in the header.

python scripts/ship_weights.py runs/camvid fassd-net-l2-camvid --data camvid:PATH --terms 'research only'

What ships is the mean of the run's best and last weights (Izmailov et al., *Averaging Weights Leads to Wider Optima*,
UAI 2018): more robust on images unlike the validation split than the weights that happened to score best there. The
best weights of a run with `ema_decay` in its recipe are such a mean already and ship as they are.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import msgspec
import numpy as np

import fassd
from fassd.core.checkpoint import Checkpoint, Score, read_checkpoint, write_checkpoint
from fassd.data.open_dataset import open_dataset
from fassd.runtimes.open import open_runtime
from fassd.scoring.count import Report
from fassd.scoring.evaluate import evaluate
from fassd.training.run import Run
from fassd.training.validation import EVALUATION_CONVENTIONS

WEIGHTS = Path(str(fassd.__path__[0])) / "weights"


def main() -> None:
    """Writes the file and prints its scores, size and digest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder that `fassd train` wrote")
    parser.add_argument("name")
    parser.add_argument("--data", action="append", required=True, help="kind:PATH to score on, may be repeated")
    parser.add_argument("--input-side", type=int, default=None, help="longer side that prediction shrinks images to")
    parser.add_argument("--terms", required=True, help="what the data's owners allow, in full")
    options = parser.parse_args()
    checkpoint = averaged(Run(options.run))
    header = msgspec.structs.replace(
        checkpoint.header, input_side=options.input_side, terms=options.terms, scores=[], version=fassd.__version__
    )
    halved = {name: array.astype(np.float16) for name, array in checkpoint.arrays.items()}
    path = WEIGHTS / f"{options.name}.safetensors"
    write_checkpoint(path, Checkpoint(header, halved))
    scores = []
    with open_runtime(path) as runtime:
        for spec in options.data:
            dataset = open_dataset(spec, "val", runtime.label_space)
            scores += scores_of(evaluate(runtime, dataset), dataset.name, options.name)
    write_checkpoint(path, Checkpoint(msgspec.structs.replace(header, scores=scores), halved))
    for score in scores:
        print(
            f"{score.data} {score.split}: mean IoU {score.mean_iou:.4f}, {score.classes} classes, {score.images} images"
        )
    print(f"{path.name}: {path.stat().st_size:,} bytes, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def averaged(run: Run) -> Checkpoint:
    """The mean of a run's best and last weights and running statistics; the best where they are a mean already."""
    best = read_checkpoint(run.best_path)
    if run.recipe().ema_decay:
        return best
    state = run.states.load()
    last = {name: state.tensors[f"network.{name}"].numpy() for name in best.arrays}
    arrays = {name: (array + last[name]) / 2 for name, array in best.arrays.items()}
    origin = (
        f"mean of the best weights ({best.header.origin}) and the last (after iteration {state.progress.iteration})"
    )
    return Checkpoint(msgspec.structs.replace(best.header, origin=origin), arrays)


def scores_of(report: Report, name: str, weights: str) -> list[Score]:
    """One score for each part of a report on the data set `name`."""
    kind = report.data.partition(":")[0]
    scores = []
    for part in report.parts:
        classes = len(report.label_space) if part.annotated is None else len(part.annotated)
        scores.append(
            Score(
                data=name if part.annotated is None else f"{name}, partially annotated frames",
                split=report.split,
                images=part.images,
                mean_iou=part.mean_iou or 0.0,
                pixel_accuracy=part.pixel_accuracy,
                classes=classes,
                command=f"fassd evaluate {weights} --data {kind}:PATH --split {report.split}",
                conventions=EVALUATION_CONVENTIONS
                if part.annotated is None
                else f"{EVALUATION_CONVENTIONS}; predictions among the annotated classes",
            )
        )
    return scores


if __name__ == "__main__":
    main()
