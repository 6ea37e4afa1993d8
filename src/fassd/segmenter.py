"""The friendly Python face: a picture in, a labeled picture out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import ClassMap, Image
from fassd.core.catalog import DEFAULT_WEIGHTS
from fassd.core.errors import ImageError, UsageError
from fassd.core.labels import LabelSpace
from fassd.core.parallel import parallel_map
from fassd.media.images import read_image
from fassd.media.paint import overlay, shares
from fassd.media.prediction_writer import write_prediction
from fassd.networks.specs import network_by_name
from fassd.runtimes.open import open_runtime
from fassd.runtimes.rows import AUTO


@dataclass(frozen=True)
class Prediction:
    """One labeled picture.

    Attributes:
        name: the picture's file name, or "image".
        image: uint8 RGB, (H, W, 3), upright.
        class_map: (H, W) uint8, a class at every pixel.
        label_space: names and colors of the classes.
        seconds: from image in memory to class map in memory.
    """

    name: str
    image: Image
    class_map: ClassMap
    label_space: LabelSpace
    seconds: float

    @property
    def shares(self) -> dict[str, float]:
        """Share of the picture that each class covers, by name; they add up to 1."""
        return shares(self.class_map, self.label_space)

    def overlay(self) -> Image:
        """The picture under the classes' colors, with a legend below."""
        return overlay(self.image, self.class_map, self.label_space, self.shares)

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Writes overlay (JPEG) and class map (palette PNG) into a folder; returns their paths.

        Raises:
            FileError: the folder cannot be written.
        """
        stem = Path(Path(self.name).stem)
        return write_prediction(Path(folder), stem, self.image, self.class_map, self.label_space)


class Segmenter:
    """A network ready to label pictures.

    Args:
        weights: the name of shipped weights, a checkpoint file or an exported file.
        device: "cpu", "cuda", "cuda:N" or "auto".
        precision: "float32", "bfloat16", "int8" or "auto".
        side: longer side, pixels, to which larger pictures are shrunk for the network; the answer always has the
            picture's own size. None takes what the weights advise, 0 never shrinks.
        runtime: the name of one, or "auto": the fastest that is there.
        streams: pictures that `stream` answers side by side, each on its share of the processor's cores.

    Raises:
        UnknownName, CheckpointError, MissingExtra, UsageError: as `open_runtime`.
        UsageError: the side is no number of pixels.
    """

    def __init__(
        self,
        weights: str | Path = DEFAULT_WEIGHTS,
        device: str = AUTO,
        precision: str = AUTO,
        side: int | None = None,
        runtime: str = AUTO,
        streams: int = 1,
    ) -> None:
        if side is not None and (not isinstance(side, Integral) or side < 0):
            raise UsageError(f"side is {side!r}; expected whole pixels, or 0 never to shrink")
        self.runtime = open_runtime(weights, device, precision, runtime, streams)
        self.streams = streams
        self.label_space = self.runtime.label_space
        self._side = self.runtime.header.input_side if side is None else side

    def __call__(self, picture: str | Path | Image) -> Prediction:
        """Labels every pixel of a picture.

        Args:
            picture: a file, or a uint8 RGB array (H, W, 3).

        Raises:
            ImageError: the file is no picture, damaged, too large, or too small for the network.
            UsageError: neither file nor array; or the array is no image, or too small for the network.
        """
        if isinstance(picture, np.ndarray):
            return self._segment("image", picture)
        if not isinstance(picture, str | Path):
            raise UsageError(f"the picture is of type {type(picture).__name__}; expected a file's name or an array")
        path = Path(picture)
        image = read_image(path)
        try:
            return self._segment(path.name, image)
        except UsageError as error:
            raise ImageError(path, str(error)) from None

    def stream(self, pictures: Iterable[str | Path | Image]) -> Iterator[Prediction]:
        """Labels pictures one after the other, or `streams` side by side; answers come in order.

        Args:
            pictures: files or arrays; they may be endless, for only a few are taken ahead.

        Raises:
            ImageError, UsageError: as a call, when it is the picture's turn.
        """
        return parallel_map(self, pictures, self.streams)

    def _segment(self, name: str, image: Image) -> Prediction:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UsageError(f"the image is {image.dtype} {image.shape}; expected uint8 (height, width, 3)")
        spec = network_by_name(self.runtime.header.network)
        spec.check_size(image.shape[0], image.shape[1], "the picture")
        begun = time.perf_counter()
        shrunk = shrink(image, self._side, spec.minimum_side)
        class_map = self.runtime.segment(shrunk[None], size=(image.shape[0], image.shape[1]))[0]
        return Prediction(name, image, class_map, self.label_space, time.perf_counter() - begun)


def shrink(image: Image, side: int | None, minimum: int) -> Image:
    """Brings the longer side down to `side` pixels; smaller images stay as they are.

    Args:
        image: uint8 RGB, (H, W, 3).
        side: pixels; None or 0 leaves the image alone.
        minimum: no side becomes shorter than this, however narrow the image.
    """
    height, width = image.shape[:2]
    if not side or max(height, width) <= side:
        return image
    factor = max(side / max(height, width), minimum / min(height, width))
    size = (max(minimum, round(width * factor)), max(minimum, round(height * factor)))
    # Pillow averages over the shrunk area, so that thin things are kept; the gap only makes large steps quicker.
    return np.array(Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR, reducing_gap=3.0))
