"""Makes the int8 files of the weights that ship, and scores them.

python scripts/ship_int8.py --calibrate camvid:PATH --data camvid:PATH --data folder:STREET19

Ranges are measured on images of the split train of --calibrate, evenly sampled; nothing else of these images goes into
the files. The files are scored on the split val of --data, as the weights were, and the scores are stored in their
headers.
"""

from __future__ import annotations

import argparse

import msgspec
from ship_weights import scores_of  # type: ignore[import-not-found] # the script beside this one

from fassd.core.catalog import WEIGHTS, ShippedWeights
from fassd.core.checkpoint import METADATA_KEY, Header, Score, read_checkpoint
from fassd.core.numbers import evenly_spaced
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_file import write_model
from fassd.runtimes.openvino_graph import build_logits
from fassd.runtimes.quantize import quantize
from fassd.scoring.evaluate import evaluate


def main() -> None:
    """Writes the .xml and the .bin of all shipped weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calibrate", required=True, help="KIND:PATH; ranges are measured on its split train")
    parser.add_argument("--images", type=int, default=100, help="number of calibration images")
    parser.add_argument("--data", action="append", required=True, help="KIND:PATH to score on; may be repeated")
    options = parser.parse_args()
    for row in WEIGHTS.values():
        ship(row, options.calibrate, options.images, options.data)


def ship(row: ShippedWeights, calibrate: str, count: int, data: list[str]) -> None:
    """Writes the int8 file of some weights twice: only a file on disk can be scored."""
    checkpoint = read_checkpoint(row.path)
    pairs = open_dataset(calibrate, "train").pairs
    model = build_logits(checkpoint.header, checkpoint.arrays)
    quantized, report = quantize(
        model, [read_image(pairs[place].image)[None] for place in evenly_spaced(len(pairs), count)]
    )
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
    """Writes the pair of files with this header."""
    model.set_rt_info(msgspec.json.encode(header).decode(), [METADATA_KEY])  # type: ignore[attr-defined]
    write_model(model, row.int8)


if __name__ == "__main__":
    main()
