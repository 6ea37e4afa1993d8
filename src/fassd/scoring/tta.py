"""Several looks at one picture: smaller, larger, mirrored; their probabilities averaged. Off by default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import PIL.Image
from jaxtyping import Float32

from fassd.core.arrays import ClassMap, Image
from fassd.core.errors import UsageError
from fassd.runtimes.runtime import Runtime

_Planes: TypeAlias = Float32[np.ndarray[Any, Any], "classes height width"]

_STRIP_ROWS = 64  # Rows enlarged at once: full-size probabilities of a Cityscapes picture would take 160 MB a look.


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Which looks are averaged.

    Attributes:
        scales: of the picture's sides, each above 0.
        flip: whether each scale is looked at mirrored as well.

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
        """Whether the picture is looked at once, as it is."""
        return self.scales == (1.0,) and not self.flip


NO_TTA = TestTimeAugmentation()
"""At the picture as it is."""


def parse_averaging(scales: str, flip: bool) -> TestTimeAugmentation:
    """What "0.5,1,2" asks for.

    Raises:
        UsageError: not a list of numbers, or a scale out of range.
    """
    try:
        return TestTimeAugmentation(tuple(float(scale) for scale in scales.split(",")), flip)
    except UsageError:
        raise
    except ValueError:
        raise UsageError(f"--scales is {scales}; expected numbers between commas, for example 0.5,1,2") from None


def averaged_answer(
    runtime: Runtime, image: Image, averaging: TestTimeAugmentation, among: Sequence[int] | None = None
) -> ClassMap:
    """The class of highest average probability at every pixel.

    Each look's logits are enlarged to the picture's size (bilinear, corners aligned) before the softmax.

    Args:
        runtime: answers.
        image: (H, W, 3) uint8 RGB.
        averaging: which looks; a single one is the runtime's own answer.
        among: only these classes may be the answer; None means all.

    Raises:
        UsageError: a look is too small for the network, or the runtime has no logits.
    """
    if averaging.single:
        single: ClassMap = runtime.segment(image[None], among=among)[0]
        return single
    allowed = np.array(sorted(among) if among is not None else range(len(runtime.label_space)), np.uint8)
    looks = [logits[allowed] for logits in _looks(runtime, image, averaging)]
    height, width = image.shape[:2]
    answer = np.empty((height, width), np.uint8)
    for top in range(0, height, _STRIP_ROWS):
        rows = slice(top, min(top + _STRIP_ROWS, height))
        shares = np.zeros((len(allowed), rows.stop - rows.start, width), np.float32)
        for look in looks:
            shares += _softmax(_enlarged(look, (height, width), rows))
        answer[rows] = allowed[shares.argmax(0)]
    return answer


def _looks(runtime: Runtime, image: Image, averaging: TestTimeAugmentation) -> Iterator[_Planes]:
    height, width = image.shape[:2]
    for scale in averaging.scales:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = PIL.Image.fromarray(image)
        resized = np.array(picture if scale == 1 else picture.resize(size, PIL.Image.Resampling.BILINEAR))
        yield runtime.logits(resized[None])[0]
        if averaging.flip:
            mirrored = np.ascontiguousarray(resized[None, :, ::-1])
            yield runtime.logits(mirrored)[0][:, :, ::-1]


def _enlarged(planes: _Planes, size: tuple[int, int], rows: slice) -> _Planes:
    """Some rows of the planes enlarged to `size`."""
    above, below, down = _places(planes.shape[1], size[0], rows)
    lines = planes[:, above] + (planes[:, below] - planes[:, above]) * down[:, None]
    left, right, along = _places(planes.shape[2], size[1], slice(0, size[1]))
    start = lines[:, :, left]
    enlarged: _Planes = start + (lines[:, :, right] - start) * along
    return enlarged


def _places(coarse: int, fine: int, part: slice) -> tuple[Any, Any, Any]:
    """For each fine place the coarse ones before and behind it, and how far it lies between them."""
    places = np.arange(part.start, part.stop) * ((coarse - 1) / max(1, fine - 1))
    before = np.minimum(places.astype(np.intp), coarse - 1)
    return before, np.minimum(before + 1, coarse - 1), (places - before).astype(np.float32)


def _softmax(logits: _Planes) -> _Planes:
    shares = np.exp(logits - logits.max(0))
    shares /= shares.sum(0)
    normalized: _Planes = shares
    return normalized
