"""`fassd benchmark`: how fast networks answer here; and two such reports compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options
from fassd.core.errors import FileError, UsageError

if TYPE_CHECKING:
    from fassd.core.types import Event
    from fassd.speed.report import Report
    from fassd.speed.variants import BenchmarkConfig

_INTERRUPTED = 130


def _sizes(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[tuple[int, int]]:
    """Height and width of each 1024x2048."""
    for value in values:
        if not re.fullmatch(r"\d{1,6}x\d{1,6}", value):
            raise click.BadParameter(f"'{value}' is no size; write height x width in pixels, for example 1024x2048")
    return [(int(height), int(width)) for height, width in (value.split("x") for value in values)]


_file = click.Path(path_type=Path)


@click.command("benchmark", short_help="Measure how fast networks answer here.")
@click.argument("networks", nargs=-1, metavar="[NETWORK]...")
@click.option(
    "--weights",
    multiple=True,
    metavar="NAME|FILE",
    help="Measure shipped weights or a checkpoint file instead of random weights; may be repeated.",
)
@click.option(
    "--network",
    "own",
    multiple=True,
    metavar="PACKAGE.MODULE:FUNCTION",
    help="Measure a network of your own. This imports and runs your code: FUNCTION() returns a torch.nn.Module that "
    "gives logits for (N, 3, H, W) float32 RGB images with ImageNet's normalization. May be repeated.",
)
@click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME",
    help="As `fassd runtimes` names it, auto for the best, or authors for PyTorch as the authors run it; may be "
    "repeated.  [default: authors and auto]",
)
@click.option(
    "--precision",
    "precisions",
    multiple=True,
    type=click.Choice(["auto", "float32", "bfloat16", "int8"]),
    default=["auto"],
    show_default=True,
    help="Of the arithmetic; may be repeated. The authors' way is always float32. A checkpoint's int8 form is made for "
    "the benchmark alone, calibrated on its images.",
)
@click.option(
    "--images",
    multiple=True,
    metavar="SOURCE",
    help="Time on these instead of the photo that ships: pictures, patterns, folders or data sets (KIND:PATH), at "
    "most 32, evenly taken; may be repeated.",
)
@click.option(
    "--data",
    metavar="KIND:PATH",
    help="Score --weights on these labeled images as well, for table and picture, and time on them if there are no "
    "--images.",
)
@click.option("--split", default="val", show_default=True, help="Which part of --data.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="HxW",
    callback=_sizes,
    help="Height and width to which the images are brought; may be repeated.  [default: 1024x2048, or that of the "
    "first of --images or --data]",
)
@click.option(
    "--batch",
    "batches",
    multiple=True,
    type=click.IntRange(min=1),
    default=[1],
    show_default=True,
    help="Images at once; may be repeated.",
)
@options.device
@click.option(
    "--protocol",
    type=click.Choice(["user", "paper"]),
    default="user",
    show_default=True,
    help="user: 8-bit image in memory to class map in memory. paper: network and upsampling to full size, float32, "
    "the input on the device already.",
)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    default=None,
    help="Rounds; each measures every variant once.  [default: 50; by the paper's protocol 10,000]",
)
@click.option("--warm-up", type=click.IntRange(min=0), default=5, show_default=True, help="Rounds before that.")
@click.option("--no-memory", is_flag=True, help="Do not start a process for each variant to measure its peak memory.")
@click.option(
    "--picture",
    type=_file,
    default=None,
    metavar="FILE.png",
    help="Draw speed against accuracy, as the paper's Fig. 1.",
)
@click.option("--out", type=_file, default=None, metavar="FILE", help="Write the report as JSON, too.")
@click.option(
    "--compare",
    nargs=2,
    type=_file,
    default=None,
    metavar="A.json B.json",
    help="Measure nothing; print how many times as fast report B is as report A.",
)
@options.as_json
def benchmark_command(
    networks: tuple[str, ...],
    own: tuple[str, ...],
    no_memory: bool,
    iterations: int | None,
    picture: Path | None,
    out: Path | None,
    compare: tuple[Path, Path] | None,
    as_json: bool,
    **choices: Any,
) -> int:
    """Measure how fast NETWORKs answer on this machine (default: the three that the paper proposes).

    \b
    fassd benchmark                                   the best runtime here against the authors' way
    fassd benchmark fassd-net --runtime openvino --precision float32 --precision bfloat16
    fassd benchmark --weights fassd-net-l2-street --size 720x1280 --out before.json
    fassd benchmark --weights fassd-net-l2-street --precision auto --precision int8 --data camvid:PATH
    fassd benchmark --protocol paper --iterations 100 --picture speed.png
    fassd benchmark --compare before.json after.json

    Every combination of what is named is measured, in turns: each round measures each once, so that load and heat fall
    on all alike. Ctrl-C ends the rounds and reports what was measured. Exit code 1 if some could not be measured.
    """
    if compare:
        if networks or own or picture or out or any(choices[name] for name in ("weights", "images", "data")):
            raise UsageError("--compare measures nothing and writes nothing: give it the two reports alone")
        return _compare(*compare, as_json)
    from fassd.speed.variants import BenchmarkConfig

    order = BenchmarkConfig(networks=networks, own=own, rounds=iterations, memory=not no_memory, **choices)
    return _measure(order, picture, out, as_json)


def _measure(order: BenchmarkConfig, picture: Path | None, out: Path | None, as_json: bool) -> int:
    from fassd.core.files import check_writable
    from fassd.speed.plot import check_picture, draw_speed
    from fassd.speed.report import write_report
    from fassd.tasks.benchmark import benchmark

    # What would fail after an hour's measuring fails now.
    if picture:
        check_picture(picture)
    for path in (picture, out):
        if path and path.is_dir():
            raise FileError(path, "is a folder; give the name of a file to write")
        if path:
            check_writable(path)
    with _Display() as display:
        report = benchmark(order, display)
    # Files first, since whoever reads the table may stop reading; and the table whatever becomes of the files.
    try:
        if out:
            write_report(out, report)
        if picture:
            draw_speed(report, picture)
    finally:
        _print(report, as_json)
    return _INTERRUPTED if report.interrupted else 1 if report.skipped else 0


def _print(report: Report, as_json: bool) -> None:
    if as_json:
        from fassd.speed.report import as_json as formatted

        click.echo(formatted(report), nl=False)
    else:
        from fassd.cli.benchmark_tables import print_report

        print_report(report)


def _compare(first: Path, second: Path, as_json: bool) -> int:
    from fassd.cli.benchmark_tables import print_comparison
    from fassd.speed.report import as_json as formatted
    from fassd.speed.report import compare, read_report

    comparison = compare(read_report(first), read_report(second))
    if as_json:
        click.echo(formatted(comparison), nl=False)
    else:
        print_comparison(comparison)
    return 0


class _Display:
    """A progress bar for each part of the work, on error output."""

    _parts = {"opened": "opening", "warmed": "warming up", "round": "measuring"}  # noqa: RUF012
    _parts |= {"memory": "peak memory", "scored": "scoring"}

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description:<12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._bars: dict[str, Any] = {}

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        bar = self._bars.get(event.kind)
        if bar is None:
            bar = self._bars[event.kind] = self._progress.add_task(self._parts[event.kind])
        self._progress.update(bar, total=event.values["total"], completed=event.values["done"])
