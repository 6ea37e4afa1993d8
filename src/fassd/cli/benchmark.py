"""`fassd benchmark`: how fast networks are on this machine; and two reports compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options
from fassd.core.errors import FileError, UsageError

if TYPE_CHECKING:
    from fassd.speed.variants import BenchmarkConfig

_INTERRUPTED = 130
_file = click.Path(path_type=Path)


def _sizes(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[tuple[int, int]]:
    """Heights and widths of values such as 1024x2048."""
    for value in values:
        if not re.fullmatch(r"\d{1,6}x\d{1,6}", value):
            raise click.BadParameter(f"'{value}' is no size; write height x width in pixels, for example 1024x2048")
    return [(int(height), int(width)) for height, width in (value.split("x") for value in values)]


@click.command("benchmark", short_help="Measure how fast networks are on this machine.")
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME|FILE",
    help="Shipped weights, a checkpoint or an exported file to measure instead of random weights; may be repeated.",
)
@click.option(
    "--network",
    "custom",
    multiple=True,
    metavar="PACKAGE.MODULE:FUNCTION",
    help="A custom network to measure. This imports and runs your code: FUNCTION() returns a torch.nn.Module that "
    "gives logits for (N, 3, H, W) float32 RGB images with ImageNet's normalization. May be repeated.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME",
    help="A name that `fassd runtimes` lists, auto for the fastest, or eager for the eager PyTorch reference, as the "
    "authors run their networks; may be repeated.  [default: eager and auto]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["auto", "float32", "bfloat16", "int8"]),
    default=["auto"],
    show_default=True,
    help="Of the arithmetic; may be repeated. The eager reference is always float32. For int8 a checkpoint is "
    "quantized for this benchmark alone, calibrated on its images.",
)
@click.option(
    "--images",
    multiple=True,
    metavar="SOURCE",
    help="Time on these instead of the photo that ships: images, patterns, folders or data sets (KIND:PATH), at "
    "most 32, evenly sampled; may be repeated.",
)
@click.option(
    "--data",
    metavar="KIND:PATH",
    help="Labeled images to score --weights on; without --images they are also timed on.",
)
@click.option("--split", default="val", show_default=True, help="Split of --data.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="HxW",
    callback=_sizes,
    help="Height and width to which the images are resized; may be repeated.  [default: 1024x2048, or that of the "
    "first of --images or --data]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    default=[1],
    show_default=True,
    help="Images per batch; may be repeated.",
)
@options.device
@click.option(
    "--protocol",
    type=click.Choice(["user", "paper"]),
    default="user",
    show_default=True,
    help="user: 8-bit image in memory to class map in memory. paper: network and upsampling to full size, float32, "
    "with the input already on the device.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=None,
    help="Every round times every variant once.  [default: 50; with the paper's protocol 10,000]",
)
@options.renamed("--iterations", "--rounds")
@click.option(
    "--warm-up", type=click.IntRange(min=0), default=5, show_default=True, help="Rounds before the timed ones."
)
@click.option("--no-memory", is_flag=True, help="Omit peak memory, which takes a separate process for each variant.")
@click.option(
    "--plot",
    type=_file,
    default=None,
    metavar="FILE.png",
    help="Draw speed against accuracy, like the paper's Fig. 1.",
)
@options.renamed("--picture", "--plot")
@click.option("--out", type=_file, default=None, metavar="FILE", help="Also write the report as JSON.")
@click.option(
    "--compare",
    nargs=2,
    type=_file,
    default=None,
    metavar="A.json B.json",
    help="Measure nothing; print the speedup of report B over report A.",
)
@options.as_json
def benchmark_command(
    networks: tuple[str, ...],
    custom: tuple[str, ...],
    no_memory: bool,
    plot: Path | None,
    out: Path | None,
    compare: tuple[Path, Path] | None,
    as_json: bool,
    **choices: Any,
) -> int:
    """Measure how fast NETWORKs are on this machine (default: the three that the paper proposes).

    \b
    fassd benchmark                                   the fastest runtime here against eager PyTorch
    fassd benchmark fassd-net --runtime openvino --precision float32 --precision bfloat16
    fassd benchmark --weights fassd-net-l2-street --size 720x1280 --out before.json
    fassd benchmark --weights fassd-net-l2-street --precision auto --precision int8 --data camvid:PATH
    fassd benchmark --protocol paper --rounds 100 --plot speed.png
    fassd benchmark --compare before.json after.json

    Every combination is measured. Runs are interleaved: every round times every variant once. Ctrl-C ends the
    measurement early and reports what was measured. Exit code 1 if a variant could not be measured.
    """
    if compare:
        if networks or custom or plot or out or any(choices[name] for name in ("weights", "images", "data")):
            raise UsageError("--compare measures nothing and writes nothing: give it the two reports alone")
        return _compare(*compare, as_json)
    from fassd.speed.variants import BenchmarkConfig

    config = BenchmarkConfig(networks=networks, custom=custom, memory=not no_memory, **choices)
    return _measure(config, plot, out, as_json)


def _measure(config: BenchmarkConfig, plot: Path | None, out: Path | None, as_json: bool) -> int:
    from fassd.cli.bars import progress_bars
    from fassd.core.files import check_writable
    from fassd.speed.plot import check_plot, draw_speed
    from fassd.speed.report import as_json as formatted
    from fassd.speed.report import write_report
    from fassd.tasks.benchmark import benchmark

    # What would fail after an hour of measuring fails now.
    if plot:
        check_plot(plot)
    for path in (plot, out):
        if path and path.is_dir():
            raise FileError(path, "is a folder; give the name of a file to write")
        if path:
            check_writable(path)
    work = {
        "opened": "opening",
        "warmed": "warming up",
        "round": "measuring",
        "memory": "peak memory",
        "scored": "scoring",
    }
    with progress_bars(work) as watch:
        report = benchmark(config, watch)
    # Files first, since the reader of the table may close the pipe; and the table even if the files fail.
    try:
        if out:
            write_report(out, report)
        if plot:
            draw_speed(report, plot)
    finally:
        if as_json:
            click.echo(formatted(report), nl=False)
        else:
            from fassd.cli.benchmark_tables import print_report

            print_report(report)
    return _INTERRUPTED if report.interrupted else 1 if report.skipped else 0


def _compare(first: Path, second: Path, as_json: bool) -> int:
    from fassd.cli.benchmark_tables import print_comparison
    from fassd.speed.report import as_json as formatted
    from fassd.speed.report import compare_reports, read_report

    comparison = compare_reports(read_report(first), read_report(second))
    if as_json:
        click.echo(formatted(comparison), nl=False)
    else:
        print_comparison(comparison)
    return 0
