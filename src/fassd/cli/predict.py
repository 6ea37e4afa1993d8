"""`fassd predict`: images -> overlays and class maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.types import Event
    from fassd.tasks.predict import Predicted

_SHOWN_CLASSES = 4


@click.command("predict", short_help="Label every pixel of images, globs or folders.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@options.weights
@options.out("predictions", "Folder for overlays and class maps.")
@click.option(
    "--max-side",
    type=click.IntRange(min=0),
    default=None,
    help="Longer side, pixels, to which larger images are downscaled for the network; 0 never downscales.  "
    "[default: as the weights recommend]",
)
@options.renamed("--side", "--max-side")
@options.runtime
@options.device
@options.precision
@options.as_json
def predict_command(
    sources: tuple[str, ...],
    weights: str,
    out: Path,
    max_side: int | None,
    runtime: str,
    device: str,
    precision: str,
    as_json: bool,
) -> int:
    """Label every pixel of images, globs, folders or data sets (KIND:PATH, all splits).

    Writes two files for each image: an overlay with a legend (NAME_overlay.jpg) and the class map (NAME_classmap.png:
    class indices with the classes' palette). Exit code 1 if some images could not be read.
    """
    from fassd.segmenter import Segmenter
    from fassd.tasks.predict import FEW_IMAGES, count_images, predict, streams_for

    def show(event: Event) -> None:
        if event.kind == "failed":
            click.echo(f"fassd: {event.values['error']}", err=True)
        elif not as_json:
            click.echo(_line(event.values["predicted"]))

    images = count_images(sources)
    few = images <= FEW_IMAGES
    segmenter = Segmenter(weights, device, precision, max_side, runtime, streams_for(images), few_images=few)
    report = predict(sources, segmenter, out, show)
    if as_json:
        values = [
            {
                "source": str(one.source),
                "overlay": str(one.overlay),
                "class_map": str(one.class_map),
                "width": one.width,
                "height": one.height,
                "seconds": one.seconds,
                "shares": one.shares,
            }
            for one in report.done
        ]
        click.echo(json.dumps(values, indent=2))
    elif report.failed:
        click.echo(f"{len(report.done)} predicted, {len(report.failed)} could not be read", err=True)
    return 1 if report.failed else 0


def _line(done: Predicted) -> str:
    ranked = sorted(done.shares.items(), key=lambda item: -item[1])
    covered = [f"{name} {share:.0%}" for name, share in ranked if share >= 0.005]
    more = f", {len(covered) - _SHOWN_CLASSES} more" if len(covered) > _SHOWN_CLASSES else ""
    return (
        f"{done.source}  {done.width}x{done.height}  {done.seconds:.2f} s  "
        f"{', '.join(covered[:_SHOWN_CLASSES])}{more}  -> {done.overlay}"
    )
