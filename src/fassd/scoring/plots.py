"""Plots of an evaluation: confusion matrix, trimap curve, and the errors in one image."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from fassd.core.arrays import ClassMap, Confusion, Image
from fassd.core.labels import LabelSpace
from fassd.core.numbers import percent
from fassd.core.types import Sample
from fassd.media.paint import colorize
from fassd.metrics.confusion import mean_iou
from fassd.metrics.counts import WIDTHS
from fassd.scoring.count import ImageScore, Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _FAINT, _PAPER = "#22262b", "#7a828c", "#ffffff"
_BLUE, _AMBER = "#2466a8", "#c46a1b"
_DOTS_PER_INCH = 110

_PANEL_WIDTH = 960
_BACKGROUND, _TEXT, _MUTED = (23, 25, 29), (240, 241, 243), (160, 165, 173)
_WRONG, _UNKNOWN = (235, 52, 52), (58, 62, 70)


def confusion_plot(confusion: Confusion, names: Sequence[str], classes: Sequence[int]) -> Image:
    """A row for each true class, the shares of the predicted classes in percent; a row adds up to 100 %.

    Args:
        confusion: (classes, classes + 1) int64.
        names: of the classes.
        classes: those to show. Predictions that are no class get an extra column if there are any.
    """
    columns, headings = list(classes), [names[label] for label in classes]
    if confusion[:, -1].any():
        columns, headings = [*columns, len(names)], [*headings, "no class"]
    counts = confusion[np.ix_(list(classes), columns)]
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    rows = [names[label] if total else f"{names[label]} (absent)" for label, total in zip(classes, totals, strict=True)]
    side = 0.42 * len(columns) + 2.6
    figure = _figure((side + 0.4, 0.42 * len(rows) + 2.3))
    axes = figure.add_subplot()
    # The square root makes errors of a few percent visible beside rows that are nearly all right.
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), headings, rotation=55, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.set_xlabel("prediction", fontsize=9, color=_FAINT)
    axes.set_ylabel("truth", fontsize=9, color=_FAINT)
    axes.set_title("Of each true class, % of pixels by predicted class", fontsize=10, color=_INK, loc="left")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            color = _PAPER if share > 0.35 else _INK
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7, color=color)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(1, len(columns)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(rows)) - 0.5, minor=True)
    axes.grid(which="minor", color=_PAPER, linewidth=1)
    axes.tick_params(which="minor", length=0)
    return _drawn(figure)


def trimap_plot(report: Report) -> Image:
    """Mean IoU within bands around the true borders, beside that of all pixels."""
    part = report.parts[0]
    values = [mean_iou(band, part.annotated) for band in part.counts.bands]
    known = [(width, 100 * value) for width, value in zip(WIDTHS, values, strict=True) if value is not None]
    figure = _figure((5.6, 3.8))
    axes = figure.add_subplot()
    axes.plot([width for width, _ in known], [value for _, value in known], "o-", color=_BLUE, linewidth=2)
    for width, value in known:
        axes.annotate(f"{value:.1f}", (width, value), (0, -15), textcoords="offset points", ha="center", fontsize=8)
    if part.mean_iou is not None:
        axes.axhline(100 * part.mean_iou, color=_AMBER, linewidth=1.5, linestyle=(0, (5, 3)))
        text = f"all pixels {100 * part.mean_iou:.1f}"
        axes.annotate(
            text, (WIDTHS[0], 100 * part.mean_iou), (0, 4), textcoords="offset points", fontsize=8, color=_AMBER
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(WIDTHS, [str(width) for width in WIDTHS], fontsize=8)
    axes.set_ylim(0, 105)
    axes.tick_params(labelsize=8, colors=_INK)
    axes.set_xlabel("pixels on either side of a true border", fontsize=9, color=_FAINT)
    axes.set_ylabel("mean IoU, %", fontsize=9, color=_FAINT)
    axes.set_title("Near borders", fontsize=10, color=_INK, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    return _drawn(figure)


def error_panels(sample: Sample, class_map: ClassMap, label_space: LabelSpace, score: ImageScore) -> Image:
    """Image, truth, prediction and errors in a square; the image's scores above, its classes below."""
    panels = {
        "image": sample.image,
        "truth": colorize(sample.labels, label_space),
        "prediction": colorize(class_map, label_space),
        "errors": _errors(sample, class_map, len(label_space)),
    }
    height, width = sample.labels.shape
    size = _PANEL_WIDTH, max(1, round(height * _PANEL_WIDTH / width))
    em, gap = 22, 10
    legend = _legend(label_space, score, 2 * _PANEL_WIDTH + gap, em)
    top, pitch = 3 * em, size[1] + round(1.9 * em)
    canvas = PIL.Image.new("RGB", (2 * _PANEL_WIDTH + 3 * gap, top + 2 * pitch + legend.height + gap), _BACKGROUND)
    pen = PIL.ImageDraw.Draw(canvas)
    scores = {"mean IoU": score.mean_iou, "pixel accuracy": score.pixel_accuracy}
    shown = [f"{name} {percent(value)}" for name, value in scores.items() if value is not None]
    headline = "    ".join([score.name, *shown])
    pen.text((gap, top // 2), headline, _TEXT, PIL.ImageFont.load_default(round(1.2 * em)), "lm")
    for number, (name, panel) in enumerate(panels.items()):
        left, upper = gap + (number % 2) * (_PANEL_WIDTH + gap), top + (number // 2) * pitch
        # Colors of classes must not be mixed; those of a photo may.
        method = PIL.Image.Resampling.BOX if name == "image" else PIL.Image.Resampling.NEAREST
        canvas.paste(PIL.Image.fromarray(panel).resize(size, method), (left, upper))
        caption = "errors: red is wrong, dark is ignored" if name == "errors" else name
        pen.text((left, upper + size[1] + round(0.8 * em)), caption, _MUTED, PIL.ImageFont.load_default(em - 4), "lm")
    canvas.paste(legend, (gap, top + 2 * pitch))
    return np.array(canvas)


def _errors(sample: Sample, class_map: ClassMap, classes: int) -> Image:
    gray = np.array(PIL.Image.fromarray(sample.image).convert("L").convert("RGB"))
    shown: Image = 70 + gray // 2 + gray // 8
    known = sample.labels < classes
    shown[~known] = _UNKNOWN
    shown[known & (class_map != sample.labels)] = _WRONG
    return shown


def _legend(label_space: LabelSpace, score: ImageScore, width: int, em: int) -> PIL.Image.Image:
    """The classes of the image with their IoU, the worst first."""
    font = PIL.ImageFont.load_default(em - 4)
    found = [(value, label) for value, label in zip(score.iou, label_space.classes, strict=True) if value is not None]
    found.sort(key=lambda entry: entry[0])
    cell = round(max((font.getlength(label.name) for _, label in found), default=0) + 5.5 * em)
    columns = max(1, width // cell)
    rows = -(-len(found) // columns)
    legend = PIL.Image.new("RGB", (width, round(1.7 * em * (rows + 1)) + em), _BACKGROUND)
    pen = PIL.ImageDraw.Draw(legend)
    pen.text((0, em), "IoU of the classes in this image, the lowest first", _MUTED, font, "lm")
    for number, (value, label) in enumerate(found):
        left, middle = (number % columns) * cell, round((2.9 + 1.7 * (number // columns)) * em)
        box = (left, middle - em // 2, left + em, middle + em // 2)
        pen.rounded_rectangle(box, em * 0.24, label.color, _MUTED)
        pen.text((left + round(1.5 * em), middle), label.name, _TEXT, font, "lm")
        right = left + cell - round(1.2 * em)
        pen.text((right, middle), f"{100 * value:.0f} %", _MUTED, font, "rm")
    return legend


def _figure(size: tuple[float, float]) -> Figure:
    from matplotlib.figure import Figure

    return Figure(size, dpi=_DOTS_PER_INCH, facecolor=_PAPER, layout="tight")


def _drawn(figure: Figure) -> Image:
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    with PIL.Image.open(stream, formats=["PNG"]) as drawn:
        return np.array(drawn.convert("RGB"))
