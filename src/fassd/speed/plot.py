"""A plot of speed against accuracy, like the paper's Fig. 1: published networks in gray, measured ones in color."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fassd.core.errors import MissingExtra, UsageError
from fassd.core.files import written_whole
from fassd.speed.report import EAGER, BenchmarkReport, Measured
from fassd.speed.table_iv import PAPER_SIZE, TABLE_IV

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_SUFFIXES = (".png", ".svg", ".pdf")

_GRAY, _INK = "#8d939b", "#22262c"
# Okabe and Ito's palette, safe for the color-blind; the first, dark one is for the first runtime, mostly eager PyTorch.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_REAL_TIME = 30
_LOWEST = 66.5
# Names are not formulas, whatever characters they contain.
_LITERAL: dict[str, Any] = {"textcoords": "offset points", "fontsize": 8, "parse_math": False}
# Where a label may stand: offset to the right and up in points, and which side of the label is there.
_BESIDE = (
    *((7, 0, "left", "center"), (-7, 0, "right", "center"), (0, 7, "center", "bottom"), (0, -7, "center", "top")),
    *((6, 6, "left", "bottom"), (6, -6, "left", "top"), (-6, 6, "right", "bottom"), (-6, -6, "right", "top")),
)


def check_plot(path: Path) -> None:
    """Refuses a plot that cannot be drawn, before anything is measured.

    Raises:
        UsageError: not one of PLOT_SUFFIXES.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise UsageError(f"the plot '{path}' must end in {', '.join(PLOT_SUFFIXES)}")
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("matplotlib", "plots", "the plot of speed against accuracy") from None


def draw_speed(report: BenchmarkReport, path: Path) -> None:
    """Draws frames per second (logarithmic) against mean IoU; the file is written completely or not at all.

    Weights that were scored stand at their mean IoU on those data. Published points are drawn only if the data are
    Cityscapes' val. A speed whose accuracy at that size is unknown is a vertical line.

    Args:
        report: what was measured.
        path: ends in one of PLOT_SUFFIXES.

    Raises:
        FileError: the folder cannot be written.
        MissingExtra, UsageError: as `check_plot`.
    """
    check_plot(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.4), dpi=150, facecolor="white")
    axes = figure.add_axes((0.075, 0.165, 0.9, 0.64))
    _prepare(axes, report)
    labels: list[tuple[float, float, str, str]] = []
    if _beside_published(report):
        for row in TABLE_IV:
            size = "" if row.size == PAPER_SIZE else f" {row.size[0]}x{row.size[1]}"
            labels.append((row.fps_normalized, row.mean_iou, f"{row.method}{size}", _GRAY))
    axes.scatter([one[0] for one in labels], [one[1] for one in labels], s=26, c=_GRAY, zorder=2, linewidths=0)
    labels += _draw_measured(axes, report)
    axes.legend(
        **{"loc": "lower left", "bbox_to_anchor": (-0.012, 1.0), "ncols": 4, "borderpad": 0.2},
        **{"frameon": False, "fontsize": 9, "labelcolor": _INK, "handletextpad": 0.2, "columnspacing": 1.4},
    )
    _write_labels(FigureCanvasAgg(figure), axes, labels)
    _write_captions(figure, report)
    with written_whole(path) as temporary:
        figure.savefig(temporary)


def _beside_published(report: BenchmarkReport) -> bool:
    """Whether the accuracies are on the data of the paper, Cityscapes val."""
    scored_on = report.scored_on
    return scored_on is None or (scored_on.data.startswith("cityscapes:") and scored_on.split == "val")


def _accuracy(report: BenchmarkReport, one: Measured) -> float | None:
    """The mean IoU that belongs to a speed; None if it is unknown, or if it is of another size or other data."""
    variant, scored_on = one.variant, report.scored_on
    if variant.weights and scored_on:
        fits = variant.size == scored_on.size
    else:
        fits = variant.size == PAPER_SIZE and _beside_published(report)
    return one.mean_iou if fits and variant.batch == 1 else None


def _prepare(axes: Axes, report: BenchmarkReport) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    speeds = [one.frames_per_second.value for one in report.measured]
    known = [score for score in (_accuracy(report, one) for one in report.measured) if score is not None]
    published = _beside_published(report)
    axes.set_xscale("log")
    slowest, fastest = (0.75, 420.0) if published else (_REAL_TIME / 1.6, _REAL_TIME * 1.6)
    axes.set_xlim(
        min(slowest, *(speed / 1.6 for speed in speeds)),
        max(fastest, *(speed * (2 if published else 3) for speed in speeds)),
    )
    if published:
        axes.set_ylim(min([_LOWEST, *(score - 2 for score in known)]), 81)
    else:
        axes.set_ylim(max(0, min(known, default=50) - 5), min(100, max(known, default=50) + 5))
    ticks = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000]
    low, high = axes.get_xlim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{tick:g}" for tick in shown])
    axes.set_xlabel("frames per second", color=_INK)
    data = "Cityscapes val" if published or report.scored_on is None else report.scored_on.name
    axes.set_ylabel(f"mean IoU, {data}, %", color=_INK, parse_math=False)
    axes.grid(color="#e6e8eb", linewidth=0.8)
    axes.axvline(_REAL_TIME, color="#c3c7cc", linewidth=1.2, zorder=1)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_measured(axes: Axes, report: BenchmarkReport) -> list[tuple[float, float, str, str]]:
    """Draws points, joined for each network; returns x, y, text and color of their labels."""
    runtimes = list(dict.fromkeys(one.variant.runtime_and_precision for one in report.measured))
    styles = {name: (_COLORS[number % 6], _MARKERS[(number + number // 6) % 6]) for number, name in enumerate(runtimes)}
    labels: list[tuple[float, float, str, str]] = []
    networks: dict[str, list[tuple[float, float, str]]] = {}
    for one in report.measured:
        speed, score = one.frames_per_second.value, _accuracy(report, one)
        if score is None:
            _draw_line(axes, one, styles[one.variant.runtime_and_precision][0])
        else:
            networks.setdefault(_name(one), []).append((speed, score, one.variant.runtime_and_precision))
    for name, same in networks.items():
        same.sort()
        axes.plot([one[0] for one in same], [one[1] for one in same], color=_INK, linewidth=1, alpha=0.35, zorder=3)
        # Only the fastest point gets a label, but no label may cover the others.
        labels += [(*one[:2], name if one is same[-1] else "", _INK) for one in same]
    for runtime, (color, marker) in styles.items():
        points = [one for same in networks.values() for one in same if one[2] == runtime]
        speeds, scores = [one[0] for one in points], [one[1] for one in points]
        name = "eager PyTorch, float32" if runtime.startswith(EAGER) else runtime
        axes.scatter(
            speeds, scores, s=62, c=color, marker=marker, label=name, zorder=4, edgecolors="white", linewidths=0.8
        )
    return labels


def _draw_line(axes: Axes, one: Measured, color: str) -> None:
    """A speed whose accuracy is unknown."""
    speed, variant = one.frames_per_second.value, one.variant
    axes.axvline(speed, color=color, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
    size = "" if variant.size == PAPER_SIZE else f", {variant.size[0]}x{variant.size[1]}"
    text = f"{_name(one)}{size}{'' if variant.batch == 1 else f', batch {variant.batch}'}"
    vertical: dict[str, Any] = {"ha": "right", "va": "bottom", "rotation": 90, **_LITERAL}
    axes.annotate(text, (speed, axes.get_ylim()[0]), (-3, 5), color=color, **vertical)


def _name(one: Measured) -> str:
    return Path(one.variant.weights).name if one.variant.weights else one.variant.network


def _write_labels(canvas: Any, axes: Axes, labels: list[tuple[float, float, str, str]]) -> None:
    """Writes labels beside their points, where they cover no other label and no point if there is such a place."""
    from matplotlib.transforms import Bbox

    renderer = canvas.get_renderer()
    points = [axes.transData.transform((x, y)) for x, y, _, _ in labels]
    taken = [Bbox.from_extents(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    taken += [text.get_window_extent(renderer) for text in axes.texts]
    # Measured ones are last in the list but first in importance.
    for x, y, text, color in reversed([label for label in labels if label[2]]):
        weight = "bold" if color == _INK else "normal"
        label = axes.annotate(text, (x, y), (0, 0), color=color, weight=weight, zorder=5, **_LITERAL)
        for dx, dy, side, height in (*_BESIDE, _BESIDE[0]):
            label.set(position=(dx, dy), ha=side, va=height)
            box = label.get_window_extent(renderer)
            if axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1) and not box.count_overlaps(taken):
                break
        taken.append(box)


def _write_captions(figure: Figure, report: BenchmarkReport) -> None:
    machine = report.machine
    timed = "image to class map" if report.protocol == "user" else "network and upsampling, as the paper timed it"
    figure.text(0.075, 0.945, "Speed against accuracy", fontsize=15, weight="bold", color=_INK)
    figure.text(
        0.075,
        0.905,
        f"in color: measured on {machine.accelerator or machine.processor}, {machine.cores} cores, {timed}",
        fontsize=9.5,
        color=_INK,
    )
    scored_on = report.scored_on
    parts = []
    if _beside_published(report):
        parts.append("In gray: Table IV of Rosas-Arias et al. (ICPR 2020) as published, converted to a GTX 1080 Ti.")
    if scored_on is None:
        parts.append(
            "All accuracies are published ones, in float32 at the size named there, or else at 1024x2048; dashed: "
            "accuracy unknown."
        )
    else:
        height, width = scored_on.size
        parts.append(
            f"Accuracies of weights are measured in the same runtime and precision on {scored_on.images} images of "
            f"{scored_on.name} ({height}x{width}); dashed: accuracy unknown, or of another size."
        )
    explanation = textwrap.fill(" ".join([*parts, "The vertical line marks 30 frames per second."]), 152)
    figure.text(0.075, 0.035, explanation, fontsize=8, color=_GRAY, parse_math=False)
