"""Makes the int8 forms of the weights that ship, and scores them.

python scripts/ship_int8.py --calibrate camvid:PATH --data camvid:PATH --data folder:STREET19

Ranges are measured on images of the split train of --calibrate, evenly taken: nothing else of these images goes into
the files. Each form is scored on the split val of --data, as the weights themselves were, and the scores are put into
its header.
"""

from __future__ import annotations

import argparse

import msgspec
import numpy as np
from ship_weights import scores_of  # type: ignore[import-not-found] # the script beside this one

from fassd.core.catalog import WEIGHTS, ShippedWeights
from fassd.core.checkpoint import METADATA_KEY, Header, Score, read_checkpoint
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_file import write_model
from fassd.runtimes.openvino_graph import build_logits
from fassd.runtimes.quantize import quantize
from fassd.scoring.evaluate import evaluate


def main() -> None:
    """Writes both files of each form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", required=True, help="kind:PATH whose split train ranges are measured on")
    parser.add_argument("--images", type=int, default=100, help="of it")
    parser.add_argument("--data", action="append", required=True, help="kind:PATH to score on, may be repeated")
    options = parser.parse_args()
    for row in WEIGHTS.values():
        ship(row, options.calibrate, options.images, options.data)


def ship(row: ShippedWeights, calibrate: str, count: int, data: list[str]) -> None:
    """One form, written twice: a score can only be known of a file that is there."""
    checkpoint = read_checkpoint(row.path)
    pairs = open_dataset(calibrate, "train").pairs
    places = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    model = build_logits(checkpoint.header, checkpoint.arrays)
    quantized, report = quantize(model, [read_image(pairs[place].image)[None] for place in places])
    origin = (
        f"{row.name} in int8, ranges measured on {report.images} images of {pairs[0].image.parent.parent.name} train"
    )
    header = msgspec.structs.replace(checkpoint.header, origin=origin, scores=[])
    write(quantized, header, row)
    scores: list[Score] = []
    with open_runtime(row.name, "cpu", "int8") as runtime:
        for spec in data:
            dataset = open_dataset(spec, "val", runtime.label_space)
            scores += scores_of(evaluate(runtime, dataset), dataset.name, f"{row.name} --precision int8")
    write(quantized, msgspec.structs.replace(header, scores=scores), row)
    for score in scores:
        print(f"{row.name} in int8, {score.data} {score.split}: mean IoU {score.mean_iou:.4f}, {score.images} images")


def write(model: object, header: Header, row: ShippedWeights) -> None:
    """The pair of files, this header inside."""
    model.set_rt_info(msgspec.json.encode(header).decode(), [METADATA_KEY])  # type: ignore[attr-defined]
    write_model(model, row.int8)


if __name__ == "__main__":
    main()
