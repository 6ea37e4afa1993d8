"""The images on which variants are timed: the photo that ships, or the user's own, resized to one size.

How fast the argmax class is found depends on the class map: on noise it takes five times as long as on a street.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import Image, Images
from fassd.core.numbers import evenly_spaced
from fassd.data.image_sources import images_of
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.segmenter import shrink
from fassd.speed.table_iv import PAPER_SIZE

_SHIPPED = Path(str(files("fassd"))) / "assets" / "street.jpg"
# More images do not change a median, and all of them are in memory at once.
_MOST, _MOST_BYTES = 32, 256 * 2**20
# Value ranges are measured on smaller images: they hardly change, and it takes seconds instead of minutes.
_CALIBRATION_SIDE = 512


@dataclass(frozen=True)
class TimedImages:
    """Images for all variants of a benchmark.

    Attributes:
        files: at most 32.
        size: height and width at which they are timed unless the user names another.
    """

    files: tuple[Path, ...] = (_SHIPPED,)
    size: tuple[int, int] = PAPER_SIZE
    _last: dict[tuple[tuple[int, int], int], list[Images]] = field(default_factory=dict, repr=False, compare=False)

    def batches(self, size: tuple[int, int], batch: int) -> list[Images]:
        """The images as batches of one size; no two images of a batch are the same.

        As many batches as the images fill, or as fit into 256 MiB; at least one.

        Args:
            size: height and width.
            batch: images per batch.

        Returns:
            (batch, H, W, 3) uint8 RGB arrays.

        Raises:
            ImageError: an image is damaged.
        """
        if (size, batch) not in self._last:
            fitting = _MOST_BYTES // (3 * size[0] * size[1] * batch)
            count = max(1, min(-(-len(self.files) // batch), fitting))
            self._last.clear()  # variants of one size are opened one after the other
            self._last[size, batch] = [self._batch(size, batch, number) for number in range(count)]
        return self._last[size, batch]

    def _batch(self, size: tuple[int, int], batch: int, number: int) -> Images:
        chosen = [self.files[(number * batch + place) % len(self.files)] for place in range(batch)]
        resized = {file: _read_resized(file, size) for file in set(chosen)}
        # A batch larger than the number of files repeats them, shifted to the side.
        shifts = [place // len(self.files) * size[1] // batch for place in range(batch)]
        return np.stack([np.roll(resized[file], shift, axis=1) for file, shift in zip(chosen, shifts, strict=True)])

    def for_calibration(self, minimum_side: int) -> list[Images]:
        """The images shrunk to 512 pixels, to measure the value ranges for int8; (1, H, W, 3) uint8 arrays.

        Args:
            minimum_side: no side becomes shorter.

        Raises:
            ImageError: an image is damaged.
        """
        return [shrink(read_image(file), _CALIBRATION_SIDE, minimum_side)[None] for file in self.files]


def timed_images(sources: Sequence[str], data: str | None, split: str) -> TimedImages:
    """The images to time on: `sources`, else the labeled images, else the photo that ships.

    Args:
        sources: files, folders, patterns and data sets, "kind:PATH".
        data: "kind:PATH" of labeled images.
        split: of these.

    Raises:
        UsageError, DataError, FileError: there are no such images.
    """
    found = [image.path for source in sources for image in images_of(source)]
    if not found and data is not None:
        found = [pair.image for pair in open_dataset(data, split).pairs]
    if not found:
        return TimedImages()
    chosen = tuple(found[place].absolute() for place in evenly_spaced(len(found), _MOST))
    height, width = read_image(chosen[0]).shape[:2]
    return TimedImages(chosen, (height, width))


def _read_resized(file: Path, size: tuple[int, int]) -> Image:
    return np.asarray(Pillow.fromarray(read_image(file)).resize(size[::-1], Pillow.Resampling.BILINEAR))
