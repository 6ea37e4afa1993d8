"""A batch that made the loss not finite, kept to be looked at."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
from safetensors.torch import save

from fassd.core.files import written_whole
from fassd.data.batches import Batch


def keep_for_inspection(folder: Path, batch: Batch, step: int, rank: int, found: str) -> Path:
    """Writes a batch as the network saw it: exact values in a safetensors file, each image as a PNG.

    Args:
        folder: of the run.
        batch: crops and labels.
        step: the update, from 1.
        rank: of this process.
        found: what was wrong, for the file's header.

    Returns:
        Where it lies.
    """
    place = folder / "failed" / f"update-{step:08}-process-{rank}"
    tensors = {"images": batch.images.contiguous(), "labels": batch.labels.contiguous()}
    if batch.annotated is not None:
        tensors["annotated"] = batch.annotated.contiguous()
    with written_whole(place / "batch.safetensors") as path:
        path.write_bytes(save(tensors, {"names": "\n".join(batch.names), "found": found}))
    for number, image in enumerate(batch.images):
        with written_whole(place / f"image-{number}.png") as path:
            PIL.Image.fromarray(image.numpy()).save(path, "PNG")
    return place
