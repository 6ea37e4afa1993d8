"""The pictures that a benchmark is timed on: the photo that ships, or the user's own, brought to one size.

How fast the best class is found depends on how the classes lie: on noise it takes five times as long as on a street.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import Image, Images
from fassd.data.image_sources import images_of
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.segmenter import shrink
from fassd.speed.table_iv import PAPER_SIZE

_SHIPPED = Path(str(files("fassd"))) / "assets" / "street.jpg"
# More say nothing more about a median, and all of them are held at once.
_MOST, _MOST_BYTES = 32, 256 * 2**20
# Ranges are measured on smaller pictures: they hardly change, and it takes seconds instead of minutes.
_CALIBRATION_SIDE = 512


@dataclass(frozen=True)
class Pictures:
    """What variants answer, in turns.

    Attributes:
        files: the pictures, at most 32.
        size: height and width at which they are timed unless another is asked for.
    """

    files: tuple[Path, ...] = (_SHIPPED,)
    size: tuple[int, int] = PAPER_SIZE
    _last: dict[tuple[tuple[int, int], int], list[Images]] = field(default_factory=dict, repr=False, compare=False)

    def batches(self, size: tuple[int, int], batch: int) -> list[Images]:
        """The pictures as batches of one size; no two images of a batch are the same.

        As many as there are pictures for, or as fit into 256 MiB; at least one.

        Args:
            size: height and width.
            batch: images at once.

        Returns:
            (batch, H, W, 3) uint8 RGB each.

        Raises:
            ImageError: a picture is damaged.
        """
        if (size, batch) not in self._last:
            fitting = _MOST_BYTES // (3 * size[0] * size[1] * batch)
            count = max(1, min(-(-len(self.files) // batch), fitting))
            self._last.clear()  # variants of one size are opened one after the other
            self._last[size, batch] = [self._batch(size, batch, number) for number in range(count)]
        return self._last[size, batch]

    def _batch(self, size: tuple[int, int], batch: int, number: int) -> Images:
        chosen = [self.files[(number * batch + place) % len(self.files)] for place in range(batch)]
        brought = {file: _brought_to(size, file) for file in set(chosen)}
        # Where there are fewer pictures than images in a batch, they come again, shifted.
        shifts = [place // len(self.files) * size[1] // batch for place in range(batch)]
        return np.stack([np.roll(brought[file], shift, axis=1) for file, shift in zip(chosen, shifts, strict=True)])

    def for_calibration(self, minimum_side: int) -> list[Images]:
        """The pictures shrunk to 512 pixels, for measuring int8's ranges on; (1, H, W, 3) uint8 each.

        Args:
            minimum_side: no side becomes shorter.

        Raises:
            ImageError: a picture is damaged.
        """
        return [shrink(read_image(file), _CALIBRATION_SIDE, minimum_side)[None] for file in self.files]


def pictures_for(sources: Sequence[str], data: str | None, split: str) -> Pictures:
    """What a benchmark is timed on: `sources`, else the labeled images, else the photo that ships.

    Args:
        sources: files, folders, patterns and data sets, "kind:PATH".
        data: "kind:PATH" of labeled images.
        split: of these.

    Raises:
        UsageError, DataError, FileError: there are no such pictures.
    """
    found = [picture.path for source in sources for picture in images_of(source)]
    if not found and data is not None:
        found = [pair.image for pair in open_dataset(data, split).pairs]
    if not found:
        return Pictures()
    places = np.linspace(0, len(found) - 1, min(_MOST, len(found))).round().astype(int)
    chosen = tuple(found[place].absolute() for place in places)
    height, width = read_image(chosen[0]).shape[:2]
    return Pictures(chosen, (height, width))


def _brought_to(size: tuple[int, int], file: Path) -> Image:
    return np.asarray(Pillow.fromarray(read_image(file)).resize(size[::-1], Pillow.Resampling.BILINEAR))
