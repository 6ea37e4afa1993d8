"""`fassd data`: checks, draws, describes and renders data sets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from fassd.cli.bars import progress_bars
from fassd.cli.data_check import check_command
from fassd.core.errors import UsageError


@click.group("data")
def data_command() -> None:
    """Check, draw, describe and render labeled images."""


data_command.add_command(check_command)


@data_command.command("synthesize", short_help="Render street scenes with perfect labels.")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--images", type=int, default=50, show_default=True, help="Number of images.")
@click.option("--size", default="512x1024", show_default=True, metavar="HxW", help="Height x width in pixels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Image i depends only on seed, size and i.")
@click.option("--split", default="train", show_default=True, help="Folder of the images: train, val or test.")
def synthesize_command(out: Path, images: int, size: str, seed: int, split: str) -> None:
    """Render street scenes with perfect labels into OUT, in the layout of Cityscapes.

    OUT/leftImg8bit/SPLIT/rendered holds the images, OUT/gtFine/SPLIT/rendered their labels: label ids, train ids,
    instance ids, colors. OUT must be new, empty, or hold other splits of rendered streets. After an interruption,
    the same command renders the missing images.
    """
    from fassd.synthesis.write import Streets
    from fassd.tasks.synthesize import synthesize

    streets = Streets(images, _parse_size(size), seed, split)
    with progress_bars({"written": "streets"}) as advance:
        made = synthesize(out, streets, advance)
    kept = f"; already rendered: {made.kept}" if made.kept else ""
    click.echo(f"{out}: {images} image{'s' * (images != 1)} of {size.lower()}, split {split}{kept}")
    click.echo("  ".join(f"{name} {share:.1%}" for name, share in made.shares.items()))


@data_command.command("show", short_help="Draw a contact sheet of a data set.")
@click.argument("data", metavar="KIND:PATH")
@click.option("--split", help="Split to draw.  [default: the first]")
@click.option("--images", type=int, default=8, show_default=True, help="Number of frames.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the choice of frames.")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="PNG or JPEG, overwritten.  [default: NAME_SPLIT.png]",
)
def show_command(data: str, split: str | None, images: int, seed: int, out: Path | None) -> int:
    """Draw a contact sheet: image, mask in color and overlay of some frames, with a legend.

    Ignored pixels are hatched in gray, unknown values in magenta. Damaged frames are drawn as far as they can be read;
    then the exit code is 1.
    """
    from fassd.tasks.show import show

    with progress_bars({"frame": "frames"}) as advance:
        shown = show(data, split, out, images, seed, advance)
    click.echo(f"{shown.path}: {shown.frames} of {shown.pairs:,} images, split {shown.split}")
    for name, problem in shown.problems:
        click.echo(f"  {name}: {problem}", err=True)
    return 1 if shown.problems else 0


@data_command.command("init", short_help="Draft the description of a folder of images and masks.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace an existing description.")
def init_command(path: Path, force: bool) -> None:
    """Draft PATH/dataset.toml from the images and masks in PATH, and say what is unsure about it.

    Looks for pairs by their names, splits by folders or lists, what masks hold, and tables of class names.
    """
    from fassd.data.description import DESCRIPTION
    from fassd.tasks.init import init

    draft = init(path, force)
    for name in (*draft.lists, DESCRIPTION):
        click.echo(f"{path / name} written")
    for key, value in draft.decided:
        click.echo(f"  {key:9}{value}")
    for place, doubt in enumerate(draft.unsure):
        click.echo(f"  {'' if place else 'unsure':9}{doubt}")
    spec = shlex.quote(f"folder:{path}")
    click.echo(f"next: fassd data show {spec}; fassd data check {spec}")


def _parse_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([0-9]{1,6})[xX]([0-9]{1,6})", text.strip())
    if not match:
        raise UsageError(f"--size is '{text}'; give height x width in pixels, for example 512x1024")
    return int(match[1]), int(match[2])
