"""Synthesize: renders street scenes with perfect labels, in the layout of Cityscapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fassd
from fassd.core.labels import CITYSCAPES
from fassd.core.types import Event, Watch, ignore_events
from fassd.media.masks import read_values
from fassd.synthesis.record import prepare_folder
from fassd.synthesis.write import Streets, files_of_street, is_complete, render_street, write_street


@dataclass(frozen=True)
class SynthesizeResult:
    """A data set of rendered streets.

    Attributes:
        shares: share of each class among the labeled pixels, 0..1.
        kept: number of images that an earlier run had already rendered.
    """

    shares: dict[str, float]
    kept: int


def synthesize(out: Path, streets: Streets, watch: Watch = ignore_events) -> SynthesizeResult:
    """Renders streets into a folder; after an interruption, the same call renders the missing images.

    Args:
        out: the data set's root, in the layout of Cityscapes; new, empty, with other splits of rendered streets, or
            with a part of this split.
        streets: number, size, seed and split.
        watch: gets an event "written" for each image, with `done`, `total` and `path`.

    Raises:
        FileError: the folder holds other files, or this split with other values, or cannot be written.
        ImageError: a file of an earlier run is damaged.
    """
    prepare_folder(out, streets, f"fassd {fassd.__version__}")
    counts, kept = np.zeros(256, np.int64), 0
    for index in range(streets.images):
        files = files_of_street(out, streets.split, index)
        if is_complete(out, streets.split, index):
            kept += 1
        else:
            write_street(out, streets.split, index, render_street(streets, index))
        counts += np.bincount(read_values(files["labelTrainIds"]).ravel(), minlength=256)
        watch(Event("written", {"done": index + 1, "total": streets.images, "path": files["image"]}))
    labeled = counts[: len(CITYSCAPES)]
    shares = (labeled / labeled.sum()).tolist()
    return SynthesizeResult(dict(zip(CITYSCAPES.names, shares, strict=True)), kept)
