"""Where an export and its source answer differently, as pictures for the report's page.

How an export compares with its source, as one page with pictures of the disagreement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from fassd.core.labels import LabelSpace
from fassd.exports.agreement import BORDER, Compared, Disagreement, percent, worst_cases
from fassd.media.page import Shot, document, figure, jpeg, plain_text
from fassd.media.paint import colorize

if TYPE_CHECKING:
    from fassd.exports.layer_drift import Drift
    from fassd.exports.result import Exported
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


def images_of(one: Disagreement, space: LabelSpace) -> Iterator[str]:
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
        drawn = colorize(part.of(shown.of(answer)), space).astype(float)
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
    return jpeg(caption, drawn.resize(size, Pillow.Resampling.NEAREST), colors_matter=True)


def _marked(image: Array, differing: Array, part: _Part) -> Pillow.Image:
    """The picture in gray, differing pixels in pink and large enough to be seen when it is shrunk, the part framed."""
    factor = _WIDTH / differing.shape[1]
    size = (_WIDTH, max(1, round(differing.shape[0] * factor)))
    gray = Pillow.fromarray(image).convert("L").resize(size, Pillow.Resampling.BILINEAR).point(lambda v: 90 + v // 2)
    drawn = gray.convert("RGB")
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
    """The names of classes beside their colors."""
    named = [space.classes[number] for number in classes.tolist() if number < len(space)]
    return (
        '<p class="left">'
        + "".join(
            f'<span class="name"><span class="swatch" style="background: rgb{tuple(one.color)}"></span>'
            f"{plain_text(one.name)}</span>"
            for one in named
        )
        + "</p>"
    )


_SHOWN_CASES = 40


def page(done: Exported) -> str:
    """The page on an export."""
    return "\n".join(document(f"Export of {done.path.name}", _body(done), "fassd export")) + "\n"


def _body(done: Exported) -> Iterator[str]:
    space = done.checkpoint.header.label_space
    assert space is not None
    yield f"<h1>{plain_text(done.path.name)}</h1>"
    yield f'<p class="verdict">{_verdict(done)}</p>'
    yield from _facts(done)
    yield from _cases(done)
    if done.drift is not None:
        yield from _layers(done.drift)
    yield "<h2>Where the answers differ</h2>"
    yield (
        '<p class="left">On the picture: marked in pink. Beside it the part with most differing pixels, as the source '
        "and as the exported file answer it: in full color where they differ, pale where they agree.</p>"
        if any((one.source != one.export).any() for one in done.agreement.worst)
        else '<p class="left">Nowhere: both answers, on the largest pictures.</p>'
    )
    for one in done.agreement.worst:
        yield f'<section class="kind"><h3>{plain_text(one.name)}<span class="count">{_differing(one)}</span></h3>'
        yield from images_of(one, space)
        yield "</section>"


def _verdict(done: Exported) -> str:
    agreement, precision = done.agreement, done.order.precision
    if not done.kept:
        return f'<b class="fault">Refused and not left on disk</b>: {plain_text(agreement.violations[0])}.'
    good = "Answers as its source does" if precision == "float32" else f"Within what {precision} may cost"
    found = f"{percent(agreement.equal)} of the pixels are equal"
    if agreement.source_iou is not None and agreement.export_iou is not None:
        found = f"mean IoU {agreement.export_iou:.2%}, the source's {agreement.source_iou:.2%}; {found}"
    return f'<b class="good">{good}</b>: {found}.'


def _facts(done: Exported) -> Iterator[str]:
    order, agreement = done.order, done.agreement
    rows = [
        ("weights", f"{order.weights} ({done.checkpoint.header.network})"),
        ("file", f"{order.to}, {order.precision}, {'logits' if order.logits else 'class map'}, {done.bytes:,} bytes"),
        ("sha-256", done.digest),
        ("source", f"the same weights by {done.source}"),
        ("contract", _contract(done)),
        ("off borders", f"{_share(agreement.inner_differing)} differ farther than {BORDER} pixels from a class border"),
    ]
    if agreement.source_iou is not None and agreement.export_iou is not None:
        ious = f"{agreement.source_iou:.2%} of the source, {agreement.export_iou:.2%} of the file"
        rows.append(("mean IoU", f"{ious}, on {done.labeled_images}"))
    rows += [(key.replace("_", " "), _value(value)) for key, value in done.facts.items()]
    rows += [("breach", one) for one in agreement.told]
    rows += [("remedy", done.remedy)] if done.remedy else []
    yield "<dl>"
    yield from (f"<dt>{plain_text(key)}</dt><dd>{plain_text(value)}</dd>" for key, value in rows)
    yield "</dl>"


def _value(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    return f"{len(value)}: {', '.join(value[:12])}{', ...' if len(value) > 12 else ''}" if value else "none"


def _contract(done: Exported) -> str:
    contract = done.agreement.contract
    each = f"{percent(contract.each)} of the pixels of every batch"
    if contract.iou_drop is not None and done.agreement.source_iou is not None:
        return f"mean IoU drops by at most {100 * contract.iou_drop:g} points; {each} are equal"
    return f"{percent(contract.equal)} of all pixels are equal, {each}"


def _cases(done: Exported) -> Iterator[str]:
    cases = done.agreement.cases
    shown = list(cases) if len(cases) <= _SHOWN_CASES else worst_cases(cases, _SHOWN_CASES)
    yield "<h2>What was compared</h2>"
    yield '<div class="scroll"><table>\n<tr><th>images</th><th>width x height</th><th class="number">equal</th>'
    yield '<th class="number">differing pixels</th><th class="number">off borders</th></tr>'
    yield from map(_row, shown)
    yield "</table></div>"
    if len(shown) < len(cases):
        yield f'<p class="left">The {len(shown)} that differ most, of {len(cases):,}.</p>'


def _row(one: Compared) -> str:
    size = f"{one.images} x {one.width} x {one.height}" if one.images > 1 else f"{one.width} x {one.height}"
    equal = one.problem or percent(1 - one.differing / one.pixels)
    return (
        f'<tr><td>{plain_text(one.name)}</td><td>{size}</td><td class="number">{plain_text(equal)}</td>'
        f'<td class="number">{one.differing:,}</td><td class="number">{one.inner_differing:,}</td></tr>'
    )


def _layers(drift: Drift) -> Iterator[str]:
    """Each layer's error, around the first that drifts."""
    sentence = plain_text(drift.sentence[:1].upper() + drift.sentence[1:])
    yield f'<h2>Layer by layer</h2>\n<p class="verdict">{sentence}.</p>'
    names = [one.layer for one in drift.layers]
    first = names.index(drift.first) if drift.first else len(names) - 1
    shown = drift.layers[max(0, first - 5) : first + 6]
    yield '<div class="scroll"><table>\n<tr><th>layer</th><th class="number">relative error</th><th></th></tr>'
    for one in shown:
        mark = "first to drift" if one.layer == drift.first else ""
        yield f'<tr><td><code>{plain_text(one.layer)}</code></td><td class="number">{one.error:.2g}</td>'
        yield f"<td>{mark}</td></tr>"
    yield "</table></div>"


def _share(share: float) -> str:
    return "none" if share == 0 else f"{100 * share:.4f} %"


def _differing(one: Disagreement) -> str:
    count = int((one.source != one.export).sum())
    return f"{count:,} of {one.source.size:,} pixels differ" if count else "no pixel differs"
