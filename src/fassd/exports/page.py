"""The report on an export as an HTML page: what was compared, and images of where source and file differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from fassd.core.labels import LabelClass, LabelSpace
from fassd.exports.agreement import BORDER, ComparedCase, Disagreement, percent_below_100, worst_cases
from fassd.exports.layer_drift import LayerDrift
from fassd.exports.result import Exported
from fassd.media.page import Shot, jpeg, render
from fassd.media.paint import colorize
from fassd.runtimes.exported import Array

_CASES_SHOWN = 40
_LAYERS_BESIDE = 5
"""Layers shown before and after the first that drifts."""
_WIDTH = 330
"""Of every image on the page, in pixels."""
_ZOOM = 3
"""Least magnification of the detail beside an image."""
_NARROWEST, _WIDEST = 0.7, 2.1
"""Width by height of images that are shown in full; longer ones are cropped."""
_PINK, _WHITE = (255, 0, 200), (255, 255, 255)
_PALE = 0.72
_FEW = 0.001
"""Share of differing pixels below which their marks are drawn larger than they are."""


def page(done: Exported) -> str:
    """The HTML page on an export."""
    space = done.checkpoint.header.label_space
    assert space is not None
    agreement, drift = done.agreement, done.drift
    verdict, reason = _verdict(done)
    cases = agreement.cases
    listed = list(cases) if len(cases) <= _CASES_SHOWN else worst_cases(cases, _CASES_SHOWN)
    return render(
        "export_report.html.jinja",
        "fassd export",
        {
            "file": done.path.name,
            "kept": done.kept,
            "verdict": verdict,
            "reason": reason,
            "facts": list(_facts(done)),
            "cases": [_case(one) for one in listed],
            "omitted_cases": f"{len(cases) - len(listed):,}" if len(listed) < len(cases) else "",
            "drift_sentence": "" if drift is None else drift.sentence[:1].upper() + drift.sentence[1:],
            "layers": [] if drift is None else _layers(drift),
            "any_differ": any((one.source != one.export).any() for one in agreement.worst),
            "figures": [disagreement_figure(one, space) for one in agreement.worst],
        },
    )


def _verdict(done: Exported) -> tuple[str, str]:
    """The verdict, and its reason."""
    agreement, precision = done.agreement, done.config.precision
    if not done.kept:
        return "Refused and not left on disk", agreement.violations[0]
    verdict = "Agrees with its source" if precision == "float32" else f"Within the tolerance of {precision}"
    reason = f"{percent_below_100(agreement.equal)} of the pixels are equal"
    if agreement.source_iou is not None and agreement.export_iou is not None:
        reason = f"mean IoU {agreement.export_iou:.2%}, the source's {agreement.source_iou:.2%}; {reason}"
    return verdict, reason


def _facts(done: Exported) -> Iterator[tuple[str, str]]:
    config, agreement = done.config, done.agreement
    off_borders = agreement.inner_differing
    tolerance = agreement.tolerance
    each = f"{percent_below_100(tolerance.min_equal_per_batch)} of the pixels of every batch"
    yield "weights", f"{config.weights} ({done.checkpoint.header.network})"
    yield "file", f"{config.to}, {config.precision}, {'logits' if config.logits else 'class map'}, {done.bytes:,} bytes"
    yield "sha-256", done.digest
    yield "source", f"the same weights by {done.source}"
    if tolerance.max_iou_drop is not None and agreement.source_iou is not None:
        yield "tolerance", f"mean IoU drops by at most {100 * tolerance.max_iou_drop:g} points; {each} are equal"
    else:
        yield "tolerance", f"{percent_below_100(tolerance.min_equal)} of all pixels are equal, {each}"
    share = f"{100 * off_borders:.4f} %" if off_borders else "none"
    yield "off borders", f"{share} differ farther than {BORDER} pixels from a class border"
    if agreement.source_iou is not None and agreement.export_iou is not None:
        ious = f"{agreement.source_iou:.2%} of the source, {agreement.export_iou:.2%} of the file"
        yield "mean IoU", f"{ious}, on {done.labeled_images}"
    for key, value in done.facts.items():
        yield key.replace("_", " "), _fact(value)
    for violation in agreement.main_violations:
        yield "violation", violation
    if done.fix:
        yield "fix", done.fix


def _fact(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    return f"{len(value)}: {', '.join(value[:12])}{', ...' if len(value) > 12 else ''}" if value else "none"


def _case(one: ComparedCase) -> tuple[str, str, str, str, str]:
    size = f"{one.images} x {one.width} x {one.height}" if one.images > 1 else f"{one.width} x {one.height}"
    equal = one.problem or percent_below_100(1 - one.differing / one.pixels)
    return one.name, size, equal, f"{one.differing:,}", f"{one.inner_differing:,}"


def _layers(drift: LayerDrift) -> list[tuple[str, str, bool]]:
    """Name, error, and whether it is the first to drift, of the layers around that one."""
    names = [one.layer for one in drift.layers]
    first = names.index(drift.first) if drift.first else len(names) - 1
    shown = drift.layers[max(0, first - _LAYERS_BESIDE) : first + _LAYERS_BESIDE + 1]
    return [(one.layer, f"{one.error:.2g}", one.layer == drift.first) for one in shown]


@dataclass(frozen=True)
class DisagreementFigure:
    """An image on which source and file differ, drawn for the page.

    Attributes:
        name: of the image.
        count: of its differing pixels, in words.
        shots: the image with the differing pixels marked, then a detail as the source and as the file predict it.
        classes: that occur in the detail where the two differ; anywhere in it if they are equal.
    """

    name: str
    count: str
    shots: tuple[Shot, ...]
    classes: tuple[LabelClass, ...]


def disagreement_figure(one: Disagreement, space: LabelSpace) -> DisagreementFigure:
    """Draws an image and both predictions.

    Args:
        one: the image and both predictions.
        space: the classes.
    """
    differing = one.source != one.export
    count = int(differing.sum())
    height, width = differing.shape
    shown = _densest(differing, _largest_shown(height, width))
    detail = _Part(0, 0, shown.height, shown.width)
    if count:
        columns = max(1, min(shown.width, _WIDTH // _ZOOM))
        detail = _densest(shown.of(differing), (max(1, round(columns * shown.height / shown.width)), columns))
    caption = "image"
    if shown.height < height:
        caption = f"part of the image, rows {shown.top} to {shown.top + shown.height} of {height}"
    elif shown.width < width:
        caption = f"part of the image, columns {shown.left} to {shown.left + shown.width} of {width}"
    shots = [_shot(caption, _marked(shown.of(one.image), shown.of(differing), detail))]
    unequal = detail.of(shown.of(differing))
    source, export = (detail.of(shown.of(prediction)) for prediction in (one.source, one.export))
    for caption, prediction in (("source", source), ("exported file", export)):
        drawn = colorize(prediction, space).astype(float)
        if unequal.any():
            drawn[~unequal] += (255 - drawn[~unequal]) * _PALE
        shots.append(_shot(caption, Pillow.fromarray(drawn.round().astype(np.uint8))))
    found = np.unique([each[unequal] if unequal.any() else each for each in (source, export)]).tolist()
    return DisagreementFigure(
        one.name,
        f"{count:,} of {differing.size:,} pixels differ" if count else "no pixel differs",
        tuple(shots),
        tuple(space.classes[number] for number in found if number < len(space)),
    )


@dataclass(frozen=True)
class _Part:
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, array: Array) -> Array:
        part: Array = array[self.top : self.top + self.height, self.left : self.left + self.width]
        return part


def _largest_shown(height: int, width: int) -> tuple[int, int]:
    """Height and width of what is shown of an image."""
    if width < _NARROWEST * height:
        return width, width
    return height, min(width, round(height * _WIDEST))


def _densest(differing: Array, size: tuple[int, int]) -> _Part:
    """The part of that height and width with most differing pixels."""
    rows, columns = size
    sums = np.pad(differing.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    counts = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    # Of parts with equally many, the middle one shows them in their surroundings.
    best = np.argwhere(counts == counts.max())
    top, left = best[len(best) // 2]
    return _Part(int(top), int(left), rows, columns)


def _shot(caption: str, drawn: Pillow.Image) -> Shot:
    size = (_WIDTH, round(drawn.height * _WIDTH / drawn.width))
    return jpeg(caption, drawn.resize(size, Pillow.Resampling.NEAREST), colors_matter=True)


def _marked(image: Array, differing: Array, detail: _Part) -> Pillow.Image:
    """The image in gray, differing pixels in pink and large enough to be seen after shrinking, the detail framed."""
    factor = _WIDTH / differing.shape[1]
    size = (_WIDTH, round(differing.shape[0] * factor))
    gray = Pillow.fromarray(image).convert("L").resize(size, Pillow.Resampling.BILINEAR).point(lambda v: 90 + v // 2)
    drawn = gray.convert("RGB")
    drawn.paste(_PINK, mask=_spots(differing, size))
    if (detail.height, detail.width) != differing.shape:
        edges = detail.left, detail.top, detail.left + detail.width, detail.top + detail.height
        left, top, right, bottom = (round(edge * factor) for edge in edges)
        ImageDraw.Draw(drawn).rectangle((left, top, right - 1, bottom - 1), outline=_WHITE)
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
