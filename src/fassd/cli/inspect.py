"""`fassd inspect`: what a checkpoint says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fassd.cli import options


@click.command("inspect", short_help="Print what a checkpoint says of itself.")
@click.argument("weights", metavar="WEIGHTS")
@options.as_json
def inspect_command(weights: str, as_json: bool) -> None:
    """Print the header of WEIGHTS (a shipped name or a checkpoint file): network, classes, data, scores, terms."""
    import msgspec

    from fassd.core.catalog import locate_weights
    from fassd.core.checkpoint import read_header

    path = locate_weights(weights)
    header = read_header(path)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(header)).decode())
        return
    _print_header(path, header)


def _print_header(path: Path, header: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from fassd.core.checkpoint import Header

    assert isinstance(header, Header)
    console = Console(highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("file", f"{path} ({path.stat().st_size / 2**20:.1f} MiB)")
    table.add_row("network", f"{header.network}, alpha {header.alpha}, {header.content}")
    if header.label_space:
        table.add_row("classes", f"{len(header.label_space)}: {', '.join(header.label_space.names)}")
    pixels = header.pixels
    table.add_row("input", f"{pixels.channel_order}, mean {pixels.mean}, deviation {pixels.deviation}")
    for data in header.data:
        files = f" (their files: {str(data['files_sha256'])[:16]}...)" if "files_sha256" in data else ""
        table.add_row("trained on", f"{data['name']} {data['split']}, {data['images']} images{files}")
    if header.recipe:
        table.add_row("recipe", _in_short(header.recipe))
    for score in header.scores:
        table.add_row("score", f"mean IoU {score.mean_iou:.2%} on {score.data} {score.split} ({score.images} images)")
        if score.conventions:
            table.add_row("", score.conventions)
    table.add_row("origin", header.origin)
    table.add_row("terms", header.terms)
    table.add_row("written by", f"fassd {header.version}")
    console.print(table)


def _in_short(recipe: dict[str, Any]) -> str:
    """What decides most of a recipe; `--json` prints all of it."""
    try:
        height, width = recipe["augmentation"]["crop"]
        return (
            f"{recipe['iterations']} updates of {recipe['batch']} images, crops of {width}x{height}, rate "
            f"{recipe['optimiser']['rate']}, seed {recipe['seed']}; every value with --json"
        )
    except (KeyError, TypeError, ValueError):
        return "of another version of fassd; every value with --json"
