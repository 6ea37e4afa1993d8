"""`fassd data check`: reports the problems of a data set, and writes a corrected copy."""

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
    "copies": "comparing images across splits",
    "file": "writing the copy",
}
"""The text of the progress bar for each kind of event."""


@click.command("check")
@click.argument("data", metavar="KIND:PATH")
@click.option("--split", "splits", multiple=True, metavar="NAME", help="Only this split; may be repeated.")
@click.option(
    "--fix", "out", type=click.Path(path_type=Path), metavar="OUT", help="Write a corrected copy to this new folder."
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the findings with images as one HTML page; overwritten.",
)
@click.option("--workers", type=click.IntRange(min=1), default=None, help="Reading processes.  [default: all cores]")
@options.as_json
def check_command(
    data: str, splits: tuple[str, ...], out: Path | None, page: Path | None, workers: int | None, as_json: bool
) -> int:
    """Read every image and mask of KIND:PATH and report what is wrong.

    Errors spoil training or scores; infos are worth knowing. --fix corrects problems that have one certain fix, in a
    copy. The exit code is 0 without errors, 1 with errors, 2 if there is no data set.
    """
    from fassd.checks.page import write_page
    from fassd.checks.repair import check_out, repair
    from fassd.checks.report import report_as_json
    from fassd.cli.check_tables import print_checked, print_repaired
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
        click.echo(json.dumps(report_as_json(checked, repaired), indent=2))
    else:
        print_checked(checked)
        if repaired is not None:
            print_repaired(repaired, checked.root)
        if page is not None:
            click.echo(f"{page}: the findings with images")
    return 1 if checked.errors else 0
