"""The images on which an export is compared and calibrated."""

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
from fassd.core.numbers import evenly_spaced
from fassd.data.dataset import Dataset
from fassd.data.image_sources import images_of
from fassd.data.open_dataset import names_dataset, open_dataset
from fassd.exports.agreement import Case
from fassd.media.images import read_image
from fassd.networks.specs import DAPF_DILATIONS, NetworkSpec, network_by_name
from fassd.segmenter import shrink

SHIPPED = ("street.jpg", "rendered_street.jpg")

# Of the images on which every layer is compared: large enough for every network, and quick.
_LAYERS = (243, 301)
# More images did not improve int8 (docs/int8.md).
_CALIBRATED = 100
# Enough to compare the mean IoU of two forms of one network, which differ in few pixels.
_LABELED = 60


@dataclass(frozen=True)
class Calibration(Sequence[Images]):
    """Images to measure ranges on, (1, H, W, 3) uint8 each; read on access."""

    readers: tuple[Callable[[], Image], ...]

    def __len__(self) -> int:
        return len(self.readers)

    def __getitem__(self, index: int) -> Images:  # type: ignore[override]
        return self.readers[index]()[None]


@dataclass(frozen=True)
class Cases:
    """The cases of a comparison; each is read when it is reached.

    Attributes:
        whole: functions that make the cases of uncut images.
        first, second: two different images; the cases of other sizes are cut from them.
        spec: the network's row.
        available: number of labeled images in the split; `whole` has at most 60 of them, evenly sampled.
    """

    whole: tuple[Callable[[], Case], ...]
    first: Image
    second: Image
    spec: NetworkSpec
    available: int

    def __len__(self) -> int:
        return len(self.whole) + 6

    @property
    def smallest(self) -> int:
        """The shortest side that the network accepts."""
        return self.spec.minimum_side

    def __iter__(self) -> Iterator[Case]:
        height, width = (max(self.smallest + 2, side) for side in self.first.shape[:2])
        # Odd sizes are not multiples of any network's stride. Cut, not resized, so that objects keep their scale.
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
        """A batch of two images on which every fault of a graph shows, for comparing every layer."""
        return self._pair(_LAYERS)

    @property
    def _strip(self) -> tuple[int, int]:
        """Length and width in pixels of the strips.

        A dilated convolution reads more than padding only on maps longer than its dilation. A square image of that
        size would take minutes.
        """
        coarsest = self.spec.output_stride * 2 ** (len(self.spec.stages) - 1)
        reach = max(DAPF_DILATIONS) if self.spec.context != "none" else max((0, *self.spec.refine_dilations))
        # Both are longer than the shortest side that the network accepts, and odd.
        return (reach + 2) * coarsest + 1, coarsest + 1

    def _pair(self, size: tuple[int, int]) -> Images:
        rows, columns = (_odd(max(self.smallest + 2, side)) for side in size)
        return np.stack([_cut(one, (rows, columns)) for one in (self.second, self.first)])


def comparison_cases(header: Header, data: str | None, split: str, images: Sequence[str]) -> Cases:
    """The cases that an export is compared on.

    Args:
        header: of the checkpoint; `images` are resized as it advises, labeled images are not.
        data: "KIND:PATH" of labeled images, of which at most 60 are used, evenly sampled; or None.
        split: of these.
        images: as `fassd predict` takes them; without these and `data`, those that ship are used.

    Raises:
        UsageError: the data set has other classes.
        FileError: data or images cannot be read.
    """
    assert header.label_space is not None
    whole: list[Callable[[], Case]] = []
    available = 0
    if data is not None:
        dataset = open_dataset(data, split, header.label_space)
        if not len(dataset):
            raise UsageError(f"--data {data}: its split '{split}' holds no images; name another --split")
        available = len(dataset)
        whole += [_labeled(dataset, place, header) for place in evenly_spaced(available, _LABELED)]
    paths = [found.path for source in images for found in images_of(source)]
    if not whole and not paths:
        paths = [Path(str(files("fassd"))) / "assets" / name for name in SHIPPED]
    whole += [_unlabeled(path, header) for path in paths]
    first = whole[0]().images[0]
    # A single image and its mirror image are two different ones.
    second = whole[1]().images[0] if len(whole) > 1 else np.ascontiguousarray(first[:, ::-1])
    return Cases(tuple(whole), first, second, network_by_name(header.network), available)


def calibration_images(given: str, header: Header) -> Calibration:
    """At most 100 images to calibrate on, evenly sampled.

    Args:
        given: "KIND:PATH", of which the split train is used; or an image, folder or pattern.
        header: of the checkpoint; images are resized as it advises, those of a data set are not.

    Raises:
        UsageError: no such kind, or it holds no images.
        FileError: nothing there can be read.
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
    return Calibration(tuple(readers[place] for place in evenly_spaced(len(readers), _CALIBRATED)))


def _unlabeled(path: Path, header: Header) -> Callable[[], Case]:
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
    """The center of an image, padded with its mirror image to `size`."""
    missing = [max(0, side - have) for side, have in zip(size, image.shape, strict=False)]
    margins = [(less // 2, less - less // 2) for less in missing]
    return _cut(np.pad(image, (*margins, (0, 0)), mode="symmetric"), size)


def _odd(side: int) -> int:
    """The largest odd number below."""
    return side - 1 - side % 2


def _cut(image: Image, size: tuple[int, int]) -> Image:
    """The center of an image, which is resized first if it is smaller than `size`."""
    factor = max(1.0, *(side / have for side, have in zip(size, image.shape, strict=False)))
    if factor > 1:
        resized = tuple(max(side, round(have * factor)) for side, have in zip(size, image.shape, strict=False))
        image = np.array(Pillow.fromarray(image).resize(resized[::-1], Pillow.Resampling.BILINEAR))
    top, left = ((have - side) // 2 for side, have in zip(size, image.shape, strict=False))
    return np.ascontiguousarray(image[top : top + size[0], left : left + size[1]])
