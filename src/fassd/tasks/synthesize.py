"""Synthesis: rendered street scenes with perfect labels, in the layout of Cityscapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fassd.core.labels import CITYSCAPES
from fassd.core.types import Event, Watch, ignore_events
from fassd.synthesis.write import Streets, render_street, require_room, write_street, write_terms


def synthesize(out: Path, streets: Streets, watch: Watch = ignore_events) -> dict[str, float]:
    """Renders a set of streets into a new folder.

    Args:
        out: the data set's root, to be read as Cityscapes is; new, empty, or with other splits of rendered streets.
        streets: how many, how large, from which seed.
        watch: gets an event "written" after each image, with `done`, `total` and `path`.

    Returns:
        The share of the labelled pixels that each class covers.

    Raises:
        FileError: the folder holds other files or this split already, or cannot be written.
    """
    require_room(out, streets.split)
    write_terms(out)
    counts = np.zeros(256, np.int64)
    for index in range(streets.images):
        rendering = render_street(streets, index)
        path = write_street(out, streets, index, rendering)
        counts += np.bincount(CITYSCAPES.raw_id_table()[rendering.label_ids].ravel(), minlength=256)
        watch(Event("written", {"done": index + 1, "total": streets.images, "path": path}))
    labelled = counts[: len(CITYSCAPES)]
    return dict(zip(CITYSCAPES.names, (labelled / labelled.sum()).tolist(), strict=True))
