"""`fassd data check`: what is wrong with a data set, and a corrected copy of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from fassd.cli import options
from fassd.cli.bars import progress_bars

_WORK = {
    "pair": "reading pairs",
    "masks": "comparing the masks of each split",
    "copies": "comparing pictures across splits",
    "file": "writing the copy",
}
"""What a bar says for each kind of event."""


@click.command("check")
@click.argument("data", metavar="KIND:PATH")
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Only this part; may be repeated.")
@click.option(
    "--fix", "out", type=click.Path(path_type=Path), metavar="OUT", help="Write a corrected copy to this new folder."
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the findings with their pictures as one page, overwritten.",
)
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Processes that read.  [default: all cores]")
@options.as_json
def check_command(
    data: str, splits: tuple[str, ...], out: Path | None, page: Path | None, workers: int | None, as_json: bool
) -> int:
    """Read every image and mask of KIND:PATH and say what is wrong.

    Faults spoil training or scores; notes are worth knowing. --fix leaves the originals as they are and corrects what
    has one right answer. The exit code is 0 without faults, 1 with some, 2 where there is no data set.
    """
    from fassd.checks.page import write_page
    from fassd.checks.repair import check_out, repair
    from fassd.checks.report import as_json as report_of
    from fassd.checks.report import root_of
    from fassd.cli.check_report import print_checked, print_repaired
    from fassd.core.files import check_writable, with_home
    from fassd.tasks.check import check

    if out is not None:
        check_out(out, with_home(data.partition(":")[2]))
    if page is not None:
        check_writable(page)
    with progress_bars(_WORK, quiet=as_json) as watch:
        checked = check(data, splits, workers, watch)
        if page is not None:
            write_page(page, checked)
        repaired = None if out is None else repair(checked, out, workers or os.cpu_count() or 1, watch)
    if as_json:
        click.echo(json.dumps(report_of(checked, repaired), indent=2))
    else:
        print_checked(checked)
        if repaired is not None:
            print_repaired(repaired, root_of(checked))
        if page is not None:
            click.echo(f"{page}: the findings with their pictures")
    return 1 if checked.faults else 0
