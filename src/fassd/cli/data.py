"""`fassd data`: everything about data sets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fassd.core.errors import UsageError

if TYPE_CHECKING:
    from fassd.core.types import Event


@click.group("data")
def data_command() -> None:
    """Make and look after labelled images."""


@data_command.command("synthesize")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--images", type=int, default=50, show_default=True, help="How many.")
@click.option("--size", default="512x1024", show_default=True, metavar="HxW", help="Height x width, pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Image i depends on seed, size and i alone.")
@click.option("--split", default="train", show_default=True, help="Folder for the images, as train, val, test.")
def synthesize_command(out: Path, images: int, size: str, seed: int, split: str) -> None:
    """Render street scenes with perfect labels into OUT, in the layout of Cityscapes.

    OUT/leftImg8bit/SPLIT/rendered holds the images, OUT/gtFine/SPLIT/rendered their labels: raw ids, train ids,
    instance ids, colours. OUT must be new, empty, or hold other splits of
    rendered streets.
    """
    from rich.console import Console
    from rich.progress import Progress

    from fassd.synthesis.write import Streets
    from fassd.tasks.synthesize import synthesize

    streets = Streets(images, _parse_size(size), seed, split)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("streets", total=images)

        def advance(event: Event) -> None:
            progress.update(bar, completed=event.values["done"])

        shares = synthesize(out, streets, advance)
    click.echo(f"{out}: {images} image{'s' * (images != 1)} of {size.lower()}, split {split}")
    click.echo("  ".join(f"{name} {share:.1%}" for name, share in shares.items()))


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})[xX]([0-9]{1,6})", text.strip())
    if not match:
        raise UsageError(f"--size is '{text}'; give height x width in pixels, for example 512x1024")
    return int(match[1]), int(match[2])
