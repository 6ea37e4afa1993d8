"""The images on which an export is judged and calibrated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from fassd.core.arrays import Image, Images
from fassd.core.checkpoint import Header
from fassd.core.errors import DataError, UsageError
from fassd.data.dataset import Dataset
from fassd.data.image_sources import images_of
from fassd.data.open_dataset import names_dataset, open_dataset
from fassd.exports.agreement import Case
from fassd.media.images import read_image
from fassd.networks.specs import DAPF_DILATIONS, NetworkSpec, network_by_name
from fassd.segmenter import shrink

SHIPPED = ("street.jpg", "rendered_street.jpg")

# Of the pictures that every layer is looked at on: large enough for every network, and quick.
_LAYERS = (243, 301)
# More than these changed nothing in int8's answers (docs/int8.md).
_CALIBRATED = 100
# Enough for the mean IoU of two forms of one network, whose answers differ in few pixels.
_LABELED = 60


@dataclass(frozen=True)
class Calibration(Sequence[Images]):
    """Images to measure ranges on, (1, H, W, 3) uint8 each, read when they are asked for."""

    readers: tuple[Callable[[], Image], ...]

    def __len__(self) -> int:
        return len(self.readers)

    def __getitem__(self, index: int) -> Images:  # type: ignore[override]
        return self.readers[index]()[None]


@dataclass(frozen=True)
class Cases:
    """What is compared, one case after the other, read when its turn comes.

    Attributes:
        whole: makes the cases of pictures at their own size.
        first, second: two different pictures, which the cases of other sizes are made of.
        spec: the network's row.
        available: how many labeled images there are, of which `whole` has at most 60, evenly taken.
    """

    whole: tuple[Callable[[], Case], ...]
    first: Image
    second: Image
    spec: NetworkSpec
    available: int = 0

    def __len__(self) -> int:
        return len(self.whole) + 6

    @property
    def smallest(self) -> int:
        """The shortest side that the network takes."""
        return self.spec.minimum_side

    def __iter__(self) -> Iterator[Case]:
        height, width = (max(self.smallest + 2, side) for side in self.first.shape[:2])
        # Odd sizes are no multiple of what any network shrinks by. Cut out, not resized: things keep their scale.
        sizes = {
            "the smallest": (self.smallest, self.smallest),
            "cut to odd sizes": (_odd(height), _odd(width)),
            "a tall half": (_odd(height), _odd(max(self.smallest + 2, width // 2))),
        }
        for what, (rows, columns) in sizes.items():
            yield Case(f"{columns}x{rows}, {what}", _cut(self.first, (rows, columns))[None])
        yield Case("a batch of 2", self._pair((height, width)))
        long, short = self._strip
        yield Case(f"{short}x{long}, a column", _mirrored(self.first, (long, short))[None])
        yield Case(f"{long}x{short}, a row", _mirrored(self.first, (short, long))[None])
        yield from (make() for make in self.whole)

    @property
    def small(self) -> Images:
        """Two images at once on which every fault of a graph shows, for looking at every layer."""
        return self._pair(_LAYERS)

    @property
    def _strip(self) -> tuple[int, int]:
        """Length and breadth in pixels. Only on a map longer than the largest dilation does its convolution look at
        anything but padding, and a picture of that size both ways would take minutes.
        """
        coarsest = self.spec.output_stride * 2 ** (len(self.spec.stages) - 1)
        reach = max(DAPF_DILATIONS) if self.spec.context != "none" else max((0, *self.spec.refine_dilations))
        return max(self.smallest, (reach + 2) * coarsest) | 1, max(self.smallest, coarsest) | 1

    def _pair(self, size: tuple[int, int]) -> Images:
        rows, columns = (_odd(max(self.smallest + 2, side)) for side in size)
        return np.stack([_cut(one, (rows, columns)) for one in (self.second, self.first)])


def comparison_cases(header: Header, data: str | None, split: str, pictures: Sequence[str]) -> Cases:
    """What an export is compared on.

    Args:
        header: of the checkpoint; pictures are shrunk as it advises, labeled images are not.
        data: "KIND:PATH" of labeled images, of which at most 60 are taken, evenly; or None.
        split: of these.
        pictures: as `fassd predict` takes them; without these and `data`, those that ship are taken.

    Raises:
        UsageError: the data have other classes.
        FileError: data or pictures cannot be read.
    """
    assert header.label_space is not None
    whole: list[Callable[[], Case]] = []
    available = 0
    if data is not None:
        dataset = open_dataset(data, split, header.label_space)
        if not len(dataset):
            raise UsageError(f"--data {data}: its split '{split}' holds no images; name another --split")
        available = len(dataset)
        whole += [_labeled(dataset, place, header) for place in _evenly(available, _LABELED)]
    paths = [found.path for source in pictures for found in images_of(source)]
    if not whole and not paths:
        paths = [Path(str(files("fassd"))) / "assets" / name for name in SHIPPED]
    whole += [_picture(path, header) for path in paths]
    first = whole[0]().images[0]
    # Of a single picture the mirror image is another one.
    second = whole[1]().images[0] if len(whole) > 1 else np.ascontiguousarray(first[:, ::-1])
    return Cases(tuple(whole), first, second, network_by_name(header.network), available)


def calibration_images(given: str, header: Header) -> Calibration:
    """At most 100 images to calibrate on, evenly taken from what is given.

    Args:
        given: "KIND:PATH", of which the split train is taken; or a picture, folder or pattern.
        header: of the checkpoint; pictures are shrunk as it advises.

    Raises:
        UsageError: no such kind, or it holds no images.
        FileError: nothing there that can be read.
    """
    readers: list[Callable[[], Image]]
    if names_dataset(given):
        dataset = open_dataset(given, "train")
        readers = [lambda path=pair.image: read_image(path) for pair in dataset.pairs]  # type: ignore[misc]
    else:
        side = header.input_side, network_by_name(header.network).minimum_side
        readers = [
            lambda path=found.path: shrink(read_image(path), *side)  # type: ignore[misc]
            for found in images_of(given)
        ]
    if not readers:
        raise UsageError(f"--calibrate {given}: it holds no images")
    return Calibration(tuple(readers[place] for place in _evenly(len(readers), _CALIBRATED)))


def _evenly(available: int, most: int) -> list[int]:
    places: list[int] = np.linspace(0, available - 1, min(most, available)).round().astype(int).tolist()
    return places


def _picture(path: Path, header: Header) -> Callable[[], Case]:
    spec = network_by_name(header.network)

    def make() -> Case:
        image = read_image(path)
        spec.check_size(image.shape[0], image.shape[1], str(path))
        return Case(path.name, shrink(image, header.input_side, spec.minimum_side)[None])

    return make


def _labeled(dataset: Dataset, index: int, header: Header) -> Callable[[], Case]:
    spec = network_by_name(header.network)

    def make() -> Case:
        sample = dataset[index]
        try:
            spec.check_size(sample.image.shape[0], sample.image.shape[1], "the image")
        except UsageError as error:
            raise DataError(dataset.pairs[index].image, str(error)) from None
        return Case(sample.name, sample.image[None], sample.labels)

    return make


def _mirrored(image: Image, size: tuple[int, int]) -> Image:
    """The middle of an image, continued by its mirror image as far as it takes."""
    missing = [max(0, side - have) for side, have in zip(size, image.shape, strict=False)]
    margins = [(less // 2, less - less // 2) for less in missing]
    return _cut(np.pad(image, (*margins, (0, 0)), mode="symmetric"), size)


def _odd(side: int) -> int:
    """The largest odd number below."""
    return side - 1 - side % 2


def _cut(image: Image, size: tuple[int, int]) -> Image:
    """The middle of an image, which is enlarged first where it is smaller."""
    factor = max(1.0, *(side / have for side, have in zip(size, image.shape, strict=False)))
    if factor > 1:
        enlarged = tuple(max(side, round(have * factor)) for side, have in zip(size, image.shape, strict=False))
        image = np.array(Pillow.fromarray(image).resize(enlarged[::-1], Pillow.Resampling.BILINEAR))
    top, left = ((have - side) // 2 for side, have in zip(size, image.shape, strict=False))
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])
