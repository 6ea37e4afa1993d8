"""Where an export and its source answer differently, as pictures for the report's page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from fassd.core.labels import LabelSpace
from fassd.media.paint import colourise
from fassd.tasks.agreement import Disagreement
from fassd.tasks.page import Shot, figure, jpeg, plain_text

if TYPE_CHECKING:
    from fassd.runtimes.exported import Array

_WIDTH = 330
"""Of every picture on the page, in pixels."""
_ZOOM = 3
"""How many times larger than in the picture a pixel is in the part beside it, or larger still."""
_NARROWEST, _WIDEST = 0.7, 2.1
"""Width by height of pictures that are shown whole; of longer ones a part is."""
_MARK, _FRAME = (255, 0, 200), (255, 255, 255)
_PALE = 0.72
_FEW = 0.001
"""Share of differing pixels below which each is marked larger than it is."""


@dataclass(frozen=True)
class _Part:
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, array: Array) -> Array:
        part: Array = array[self.top : self.top + self.height, self.left : self.left + self.width]
        return part


def pictures_of(one: Disagreement, space: LabelSpace) -> Iterator[str]:
    """Lines of HTML: the picture with the differing pixels marked, both answers enlarged, the classes' names.

    Args:
        one: the image and both answers.
        space: the classes.
    """
    differing = one.source != one.export
    height, width = differing.shape
    shown = _densest(differing, _at_most(height, width))
    part = _Part(0, 0, shown.height, shown.width)
    if differing.any():
        columns = max(1, min(shown.width, _WIDTH // _ZOOM))
        part = _densest(shown.of(differing), (max(1, round(columns * shown.height / shown.width)), columns))
    whole = (shown.height, shown.width) == (height, width)
    picture = _marked(shown.of(one.image), shown.of(differing), part)
    shots = [_shot("picture" if whole else f"part of the picture, {_place(shown, height, width)}", picture)]
    unlike = part.of(shown.of(differing))
    for caption, answer in (("source", one.source), ("exported file", one.export)):
        drawn = colourise(part.of(shown.of(answer)), space).astype(float)
        if unlike.any():
            drawn[~unlike] += (255 - drawn[~unlike]) * _PALE
        shots.append(_shot(caption, Pillow.fromarray(drawn.round().astype(np.uint8))))
    yield figure(shots, "", "three")
    answers = [part.of(shown.of(answer)) for answer in (one.source, one.export)]
    yield _legend(np.unique([answer[unlike] if unlike.any() else answer for answer in answers]), space)


def _at_most(height: int, width: int) -> tuple[int, int]:
    """Height and width of what is shown of an image."""
    if width < _NARROWEST * height:
        return width, width
    return height, min(width, round(height * _WIDEST))


def _place(part: _Part, height: int, width: int) -> str:
    if part.height < height:
        return f"rows {part.top} to {part.top + part.height} of {height}"
    return f"columns {part.left} to {part.left + part.width} of {width}"


def _densest(differing: Array, size: tuple[int, int]) -> _Part:
    """The part of that height and width with most differing pixels."""
    rows, columns = size
    sums = np.pad(differing.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    # Many parts may hold as many: the middle one shows them in their surroundings.
    best = np.argwhere(counts == counts.max())
    top, left = best[len(best) // 2]
    return _Part(int(top), int(left), rows, columns)


def _shot(caption: str, drawn: Pillow.Image) -> Shot:
    size = (_WIDTH, max(1, round(drawn.height * _WIDTH / drawn.width)))
    return jpeg(caption, drawn.resize(size, Pillow.Resampling.NEAREST), colours_matter=True)


def _marked(image: Array, differing: Array, part: _Part) -> Pillow.Image:
    """The picture in grey, differing pixels in pink and large enough to be seen when it is shrunk, the part framed."""
    factor = _WIDTH / differing.shape[1]
    size = (_WIDTH, max(1, round(differing.shape[0] * factor)))
    grey = Pillow.fromarray(image).convert("L").resize(size, Pillow.Resampling.BILINEAR).point(lambda v: 90 + v // 2)
    drawn = grey.convert("RGB")
    drawn.paste(_MARK, mask=_spots(differing, size))
    if (part.height, part.width) != differing.shape:
        left, top, right, bottom = (
            round(value * factor) for value in (part.left, part.top, part.left + part.width, part.top + part.height)
        )
        ImageDraw.Draw(drawn).rectangle((left, top, right - 1, bottom - 1), outline=_FRAME)
    return drawn


def _spots(differing: Array, size: tuple[int, int]) -> Pillow.Image:
    """Where pixels differ, at another size; none is lost in shrinking."""
    if size[0] >= differing.shape[1]:
        return Pillow.fromarray(differing.astype(np.uint8) * 255).resize(size, Pillow.Resampling.NEAREST)
    spots = np.zeros(size[::-1], np.uint8)
    places = np.argwhere(differing) * np.array(spots.shape) // np.array(differing.shape)
    spots[tuple(places.T)] = 255
    drawn = Pillow.fromarray(spots)
    return drawn.filter(ImageFilter.MaxFilter(5)) if differing.mean() < _FEW else drawn


def _legend(classes: Array, space: LabelSpace) -> str:
    """The names of classes beside their colours."""
    named = [space.classes[number] for number in classes.tolist() if number < len(space)]
    return (
        '<p class="left">'
        + "".join(
            f'<span class="name"><span class="swatch" style="background: rgb{tuple(one.colour)}"></span>'
            f"{plain_text(one.name)}</span>"
            for one in named
        )
        + "</p>"
    )
