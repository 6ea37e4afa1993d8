"""The Python interface: an image in, a class for every pixel out."""

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
    """The prediction for one image.

    Attributes:
        name: the image's file name, or "image".
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
        """Share of the image that each class covers, by name; they add up to 1."""
        return shares(self.class_map, self.label_space)

    def overlay(self) -> Image:
        """The image blended with the classes' colors, a legend below."""
        return overlay(self.image, self.class_map, self.label_space, self.shares)

    def save(self, folder: str | Path) -> tuple[Path, Path]:
        """Writes overlay (JPEG) and class map (palette PNG) into a folder; returns their paths.

        Raises:
            FileError: the folder cannot be written.
        """
        stem = Path(Path(self.name).stem)
        return write_prediction(Path(folder), stem, self.image, self.class_map, self.label_space)


class Segmenter:
    """A network ready to segment images.

    Args:
        weights: the name of shipped weights, a checkpoint file or an exported file.
        device: "cpu", "cuda", "cuda:N" or "auto".
        precision: "float32", "bfloat16", "int8" or "auto".
        max_side: longer side, pixels, to which larger images are downscaled for the network; the class map always has
            the image's own size. None takes what the weights recommend, 0 never downscales.
        runtime: the name of one, or "auto": the fastest available.
        streams: images that `stream` predicts at the same time, each on its share of the processor's cores.
        few_images: whether only a few images will come: the first prediction comes sooner, each takes a little longer.
        side: the old name of `max_side`; refused.

    Raises:
        UnknownName, CheckpointError, MissingExtra, UsageError: as `open_runtime`.
        UsageError: `max_side` is no number of pixels.
    """

    def __init__(
        self,
        weights: str | Path = DEFAULT_WEIGHTS,
        device: str = AUTO,
        precision: str = AUTO,
        max_side: int | None = None,
        runtime: str = AUTO,
        streams: int = 1,
        *,
        few_images: bool = False,
        side: None = None,
    ) -> None:
        if side is not None:
            raise UsageError("the argument side is called max_side now")
        if max_side is not None and (not isinstance(max_side, Integral) or max_side < 0):
            raise UsageError(f"max_side is {max_side!r}; expected an integer number of pixels, or 0: never downscale")
        self.runtime = open_runtime(weights, device, precision, runtime, streams, few_images)
        self.streams = streams
        self.label_space = self.runtime.label_space
        self._max_side = self.runtime.header.input_side if max_side is None else max_side

    def __call__(self, image: str | Path | Image) -> Prediction:
        """Predicts a class for every pixel of an image.

        Args:
            image: a file, or a uint8 RGB array (H, W, 3).

        Raises:
            ImageError: the file is no image, damaged, too large, or too small for the network.
            UsageError: neither file nor array; or the array is no image, or too small for the network.
        """
        if isinstance(image, np.ndarray):
            return self._segment("image", image)
        if not isinstance(image, str | Path):
            raise UsageError(f"the image is of type {type(image).__name__}; expected a file's name or an array")
        path = Path(image)
        pixels = read_image(path)
        try:
            return self._segment(path.name, pixels)
        except UsageError as error:
            raise ImageError(path, str(error)) from None

    def stream(self, images: Iterable[str | Path | Image]) -> Iterator[Prediction]:
        """Predicts images one after the other, or `streams` at the same time; predictions keep the images' order.

        Args:
            images: files or arrays. The iterable may be endless: only a few images are taken ahead.

        Raises:
            ImageError, UsageError: as a call, in the place of the image's prediction.
        """
        return parallel_map(self, images, self.streams)

    def _segment(self, name: str, image: Image) -> Prediction:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise UsageError(f"the image is {image.dtype} {image.shape}; expected uint8 (height, width, 3)")
        spec = network_by_name(self.runtime.header.network)
        spec.check_size(image.shape[0], image.shape[1], "the image")
        start = time.perf_counter()
        small = shrink(image, self._max_side, spec.minimum_side)
        class_map = self.runtime.segment(small[None], size=(image.shape[0], image.shape[1]))[0]
        return Prediction(name, image, class_map, self.label_space, time.perf_counter() - start)


def shrink(image: Image, max_side: int | None, minimum: int) -> Image:
    """Resizes an image so that its longer side is `max_side`; smaller images are returned unchanged.

    Args:
        image: uint8 RGB, (H, W, 3).
        max_side: pixels; None or 0 never downscales.
        minimum: no side becomes shorter than this, however narrow the image.
    """
    height, width = image.shape[:2]
    if not max_side or max(height, width) <= max_side:
        return image
    factor = max(max_side / max(height, width), minimum / min(height, width))
    size = (max(minimum, round(width * factor)), max(minimum, round(height * factor)))
    # Pillow averages over the area, which keeps thin objects; reducing_gap only makes large factors faster.
    return np.array(Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR, reducing_gap=3.0))
