"""Test-time augmentation: an image is predicted at several scales and mirrored, and probabilities are averaged.

Off by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from jaxtyping import Float32

from fassd.core.arrays import ClassMap, Image
from fassd.core.errors import UsageError
from fassd.kernels.bilinear import coarse_neighbors
from fassd.runtimes.runtime import Runtime

_Planes: TypeAlias = Float32[np.ndarray[Any, Any], "classes height width"]

_STRIP_ROWS = 64  # Rows upsampled at once: full-size probabilities of a Cityscapes image would take 160 MB a view.


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Which views of an image are averaged.

    Attributes:
        scales: of the image's sides, each above 0.
        flip: whether every scale has a mirrored view as well.

    Raises:
        UsageError: no scale, one twice, or one out of range.
    """

    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if not self.scales or len(set(self.scales)) < len(self.scales) or not all(0 < one <= 8 for one in self.scales):
            shown = ",".join(f"{scale:g}" for scale in self.scales) or "nothing"
            raise UsageError(f"--scales is {shown}; give different numbers above 0, at most 8, for example 0.5,1,2")

    @property
    def single(self) -> bool:
        """Whether the only view is the image itself."""
        return self.scales == (1.0,) and not self.flip


NO_TTA = TestTimeAugmentation()
"""The image itself, once."""


def parse_tta(scales: str, flip: bool) -> TestTimeAugmentation:
    """Reads --scales, for example "0.5,1,2".

    Raises:
        UsageError: not a list of numbers, or a scale out of range.
    """
    try:
        return TestTimeAugmentation(tuple(float(scale) for scale in scales.split(",")), flip)
    except UsageError:
        raise
    except ValueError:
        raise UsageError(f"--scales is {scales}; expected numbers between commas, for example 0.5,1,2") from None


def segment_with_tta(
    runtime: Runtime, image: Image, tta: TestTimeAugmentation, classes: Sequence[int] | None = None
) -> ClassMap:
    """The class of highest average probability at every pixel.

    The logits of a view are upsampled to the image's size (bilinear, corners aligned) before the softmax.

    Args:
        runtime: predicts.
        image: (H, W, 3) uint8 RGB.
        tta: which views; with a single one the runtime's own class map is returned.
        classes: only these may be predicted; None means all.

    Raises:
        UsageError: a view is too small for the network, or the runtime has no logits.
    """
    if tta.single:
        single: ClassMap = runtime.segment(image[None], classes=classes)[0]
        return single
    allowed = np.array(sorted(classes) if classes is not None else range(len(runtime.label_space)), np.uint8)
    views = [logits[allowed] for logits in _view_logits(runtime, image, tta)]
    height, width = image.shape[:2]
    class_map = np.empty((height, width), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, height))
        probabilities = np.zeros((len(allowed), rows.stop - rows.start, width), np.float32)
        for view in views:
            probabilities += _softmax(_upsampled(view, (height, width), rows))
        class_map[rows] = allowed[probabilities.argmax(0)]
    return class_map


def _view_logits(runtime: Runtime, image: Image, tta: TestTimeAugmentation) -> Iterator[_Planes]:
    height, width = image.shape[:2]
    for scale in tta.scales:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        original = PIL.Image.fromarray(image)
        resized = np.array(original if scale == 1 else original.resize(size, PIL.Image.Resampling.BILINEAR))
        yield runtime.logits(resized[None])[0]
        if tta.flip:
            mirrored = np.ascontiguousarray(resized[None, :, ::-1])
            yield runtime.logits(mirrored)[0][:, :, ::-1]


def _upsampled(planes: _Planes, size: tuple[int, int], rows: slice) -> _Planes:
    """Some rows of the planes upsampled to `size`."""
    above, below, down = coarse_neighbors(planes.shape[1], size[0], rows.start, rows.stop)
    lines = planes[:, above] + (planes[:, below] - planes[:, above]) * down[:, None]
    left, right, along = coarse_neighbors(planes.shape[2], size[1], 0, size[1])
    start = lines[:, :, left]
    upsampled: _Planes = start + (lines[:, :, right] - start) * along
    return upsampled


def _softmax(logits: _Planes) -> _Planes:
    probabilities: _Planes = np.exp(logits - logits.max(0))
    probabilities /= probabilities.sum(0)
    return probabilities
