"""The tables of a benchmark and of a comparison in a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

from fassd.metrics.timing import Interval
from fassd.speed.report import EAGER, BenchmarkComparison, BenchmarkReport, Measured
from fassd.speed.table_iv import PAPER_SIZE, TABLE_IV

_BAR_WIDTH = 27
# Distinguishable without colors, too.
_SHADES = {"normalization": "░", "network": "█", "upsampling": "▓", "argmax": "▒", "class map": "▚"}
_OTHER_SHADE = "▞"
# Below this many columns Table IV omits what `fassd networks` prints as well.
_WIDE = 104


def print_report(report: BenchmarkReport) -> None:
    """Machine, protocol, times, stages, Table IV where it applies, and everything that makes the figures doubtful."""
    console = Console(highlight=False, markup=False)
    _print_machine(console, report)
    for (size, batch), group in itertools.groupby(report.measured, lambda one: (one.variant.size, one.variant.batch)):
        same = list(group)
        console.print(f"{_size(size)}, batch {batch}", style="bold")
        _print_times(console, same, report.scored_on is not None)
        _print_stages(console, same)
    _print_legend(console, report)
    _print_table_iv(console, report)
    _print_remarks(console, "not measured", [f"{skipped.variant}: {skipped.reason}" for skipped in report.skipped])
    unknown = [f"{one.variant}: {one.peak_memory_problem}" for one in report.measured if one.peak_memory_problem]
    _print_remarks(console, "no peak memory", unknown)
    _print_remarks(console, "doubtful", report.warnings)


def print_comparison(comparison: BenchmarkComparison) -> None:
    """Speedups, and what besides the code may explain them."""
    console = Console(highlight=False, markup=False)
    columns = ("first,\nms", "second,\nms", "speedup", "95 %", "first,\nratio", "second,\nratio")
    rows = [
        _Row(
            f"{one.variant.network_and_weights}, {_size(one.variant.size)}, batch {one.variant.batch}",
            (
                one.variant.runtime_and_precision,
                *(_ms(one.before_ms), _ms(one.after_ms)),
                *(f"{one.speedup.value:.2f}", _bounds(one.speedup, ".2f")),
                *(_optional(one.before_ratio, ".2f"), _optional(one.after_ratio, ".2f")),
            ),
        )
        for one in comparison.compared
    ]
    _print_rows(console, columns, rows)
    console.print(
        "\nspeedup: of the second report over the first. ratio: speedup over eager PyTorch within one report; compare "
        "the ratios if the machines differ.",
        style="dim",
    )
    _print_remarks(console, "differs", comparison.differences)
    _print_remarks(console, "only in the first", map(str, comparison.only_first))
    _print_remarks(console, "only in the second", map(str, comparison.only_second))
    _print_remarks(console, "doubtful", comparison.doubtful)


def _print_remarks(console: Console, kind: str, remarks: Iterable[str]) -> None:
    for remark in remarks:
        console.print(f"{kind}:", style="yellow", end=" ")
        console.print(remark, soft_wrap=True)


def _print_machine(console: Console, report: BenchmarkReport) -> None:
    machine = report.machine
    memory = f", {machine.memory_gib} GiB" if machine.memory_gib else ""
    instructions = ", ".join(machine.instructions) or "no instruction set of note"
    console.print(f"{machine.accelerator or machine.processor}, {machine.cores} cores{memory}", style="bold")
    console.print(f"{instructions}; {machine.system}", style="dim")
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items() if name != "numpy")
    console.print(f"Python {machine.python}, {versions}", style="dim")
    timed = {
        "user": "8-bit image in memory to class map in memory",
        "paper": "the paper's protocol: network and upsampling, float32, input on the device",
    }[report.protocol]
    stopped = "; stopped early" if report.interrupted else ""
    console.print(f"{timed}; {report.rounds} interleaved rounds, warm-up {report.warm_up}{stopped}", style="dim")
    if report.timed_on:
        console.print(f"timed on {report.timed_on}", style="dim")
    console.print()


def _print_times(console: Console, measured: Sequence[Measured], scored: bool) -> None:
    by_speed = sorted(measured, key=lambda one: one.frames_per_second.value)
    fastest = {one.variant.network_and_weights: one for one in by_speed}
    columns = {
        "p50": [_ms(one.latency_ms.p50) for one in measured],
        "p90": [_ms(one.latency_ms.p90) for one in measured],
        "p99,\nms": [_ms(one.latency_ms.p99) for one in measured],
        "frames/s": [_fps(one.frames_per_second.value) for one in measured],
        "95 %": [_bounds(one.frames_per_second, _fps_format(one.frames_per_second.value)) for one in measured],
        "ratio": [_optional(one.speedup.value if one.speedup else None, ".2f") for one in measured],
        "mIoU,\n%": [_optional(one.mean_iou if scored and one.variant.weights else None, ".2f") for one in measured],
        "peak,\nMiB": [_optional(one.peak_device_memory_mib or one.peak_memory_mib, ".0f") for one in measured],
    }
    columns = {heading: cells for heading, cells in columns.items() if any(cells)}
    names = [one.variant.runtime_and_precision for one in measured]
    texts = [
        ["  ", *(f"  {name}" for name in names)],
        *([*head.split("\n"), *cells] for head, cells in columns.items()),
    ]
    if sum(max(map(len, column)) + 1 for column in texts) > console.width:
        del columns["p90"]
    rows = [
        _Row(
            one.variant.network_and_weights,
            cells,
            "cyan" if fastest[one.variant.network_and_weights] is one else "",
        )
        for one, cells in zip(measured, zip(names, *columns.values(), strict=True), strict=True)
    ]
    _print_rows(console, tuple(columns), rows)


def _print_legend(console: Console, report: BenchmarkReport) -> None:
    """What the columns mean that are there."""
    lines = []
    if any(one.speedup for one in report.measured):
        lines.append("ratio: speedup over eager PyTorch, the median of the ratios within each round")
    if report.scored_on:
        lines.append(f"mIoU: of {report.scored_on.images} images of {report.scored_on.name}, at their own sizes")
    for number in sorted({one.calibrated_on for one in report.measured if one.calibrated_on}):
        images = f"its {number} images" if number > 1 else "its image"
        lines.append(f"int8: made for this benchmark alone, calibrated on {images}")
    for line in lines:
        console.print(line, style="dim")
    if lines:
        console.print()


def _print_stages(console: Console, measured: Sequence[Measured]) -> None:
    names = list(dict.fromkeys(name for one in measured for name in one.stages_ms))
    legend = "  ".join(f"{_SHADES.get(name, _OTHER_SHADE)} {name}" for name in names)
    console.print(f"\nstages, ms: {legend}")
    longest: dict[str, float] = {}
    for one in measured:
        network = one.variant.network_and_weights
        longest[network] = max(longest.get(network, 0), sum(one.stages_ms.values()))
    figures = [" + ".join(_ms(value) for value in one.stages_ms.values()) for one in measured]
    beside = max(len(one.variant.runtime_and_precision) for one in measured) + max(map(len, figures)) + 6
    width = max(4, min(_BAR_WIDTH, console.width - beside))
    rows = [
        _Row(
            one.variant.network_and_weights,
            (
                one.variant.runtime_and_precision,
                figure,
                _bar(one.stages_ms, width / longest[one.variant.network_and_weights]),
            ),
        )
        for one, figure in zip(measured, figures, strict=True)
    ]
    _print_rows(console, ("figures", "bar"), rows, header=False)
    console.print()


def _bar(stages: dict[str, float], scale: float) -> str:
    ends = [round(end * scale) for end in itertools.accumulate(stages.values())]
    widths = [end - start for start, end in itertools.pairwise([0, *ends])]
    return "".join(_SHADES.get(name, _OTHER_SHADE) * width for name, width in zip(stages, widths, strict=True))


def _print_table_iv(console: Console, report: BenchmarkReport) -> None:
    """Table IV with the speeds of this machine, if anything was measured at the paper's size."""
    here: dict[str, list[Measured]] = {}
    for one in report.measured:
        if one.variant.size == PAPER_SIZE and one.variant.batch == 1 and not one.variant.weights:
            here.setdefault(one.variant.network, []).append(one)
    if not here:
        return
    wide = console.width >= _WIDE
    counts = ("GFLOPs", "params,\nM") if wide else ()
    headings = ("here", "norma-\nlized") if report.protocol == "paper" else ("eager\nhere", "best\nhere")
    table = _table("method", "mIoU,\n%", "input", "GPU", *counts, "frames/s", "norma-\nlized", *headings, gap=1)
    for row in TABLE_IV:
        measured = here.pop(row.network or "", [])
        table.add_row(
            row.method,
            f"{row.mean_iou:.1f}",
            _size(row.size),
            row.gpu,
            *((_optional(row.gflops, ".1f"), _optional(row.parameters_m, ".2f")) if wide else ()),
            f"{row.fps:.1f}{'*' if row.tensorrt else ' '}",
            f"{row.fps_normalized:.1f}",
            *_speeds_here(report, measured),
            style="" if measured else "bright_black",
        )
    for name, measured in here.items():
        accuracy = _optional(measured[0].mean_iou, ".1f")
        blank = [""] * (len(counts) + 3)
        table.add_row(name, accuracy, _size(PAPER_SIZE), *blank, *_speeds_here(report, measured))
    console.print("Table IV as published, and this machine", style="bold")
    console.print(table)
    console.print("mIoU on Cityscapes val; normalized: as on a GTX 1080 Ti; * with TensorRT", style="dim")
    if report.machine_factor is not None:
        console.print(
            f"This machine is {report.machine_factor:.3g} of a GTX 1080 Ti (geometric mean over the networks of Table "
            "IV measured here); its normalized speeds are divided by that.",
            style="dim",
        )
    console.print()


def _speeds_here(report: BenchmarkReport, measured: Sequence[Measured]) -> tuple[str, str]:
    """The last two cells of Table IV for one network."""
    if not measured:
        return "", ""
    best = max(measured, key=lambda one: one.frames_per_second.value)
    if report.protocol == "paper":
        normalized = best.frames_per_second_normalized
        return _fps(best.frames_per_second.value), "" if normalized is None else f"{normalized:.1f}"
    eager = [one for one in measured if one.variant.runtime == EAGER]
    return _fps(eager[0].frames_per_second.value) if eager else "", _fps(best.frames_per_second.value)


@dataclass(frozen=True)
class _Row:
    """A row below a heading, in a style."""

    heading: str
    cells: tuple[str, ...]
    style: str = ""


def _print_rows(console: Console, columns: Sequence[str], rows: Sequence[_Row], header: bool = True) -> None:
    """Rows below the headings they share; headings may be wider than the first column."""
    texts = [("", *columns), *((f"  {row.cells[0]}", *row.cells[1:]) for row in rows)]
    widths = [max(len(line) for text in texts for line in text[place].split("\n")) for place in range(len(texts[0]))]
    gap = 2 if sum(widths) + 2 * len(columns) <= console.width else 1
    if header:
        console.print(_table("", *columns, widths=widths, gap=gap))
    for heading, group in itertools.groupby(rows, lambda row: row.heading):
        console.print(heading, style="bold", soft_wrap=True)
        table = _table("", *columns, widths=widths, gap=gap)
        table.show_header = False
        for row in group:
            table.add_row(f"  {row.cells[0]}", *row.cells[1:], style=row.style)
        console.print(table)


def _table(first: str, *columns: str, widths: Sequence[int | None] = (), gap: int) -> Table:
    """A table without lines: one column of text, the others mostly figures."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for place, heading in enumerate((first, *columns)):
        justify: Literal["left", "right"] = "left" if place == 0 or heading in ("GPU", "bar") else "right"
        width = widths[place] if widths else None
        table.add_column(heading, justify=justify, width=width, no_wrap=True, vertical="bottom")
    return table


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _ms(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 1000 else 0}f}"


def _fps_format(value: float) -> str:
    return f".{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f"


def _fps(value: float) -> str:
    return format(value, _fps_format(value))


def _bounds(interval: Interval, form: str) -> str:
    if interval.low is None or interval.high is None:
        return "too few"
    return f"{interval.low:{form}}-{interval.high:{form}}"


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
