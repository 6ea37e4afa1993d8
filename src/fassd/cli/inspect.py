"""`fassd inspect`: what a file of ours says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.checkpoint import Header
    from fassd.tasks.inspect import Inspected
    from fassd.training.state import TrainerState

Rows = list[tuple[str, str]]


@click.command("inspect", short_help="Print what a checkpoint says of itself.")
@click.argument("weights", metavar="WEIGHTS")
@options.as_json
def inspect_command(weights: str, as_json: bool) -> None:
    """Print what WEIGHTS says of itself, and whether it is whole: network, classes, data, scores, terms.

    WEIGHTS is a shipped name, a checkpoint, an exported file or a training state.
    """
    import msgspec

    from fassd.tasks.inspect import inspect

    found = inspect(weights)
    if as_json:
        file = {"path": str(found.path), "kind": found.kind, "condition": found.condition}
        click.echo(msgspec.json.format(msgspec.json.encode({"file": file} | msgspec.to_builtins(found.says))).decode())
        return
    _print(found)


def _print(found: Inspected) -> None:
    from rich.console import Console
    from rich.table import Table

    from fassd.core.checkpoint import Header

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    said = _of_header(found.says) if isinstance(found.says, Header) else _of_progress(found.says)
    for row in (*_of_file(found), *said):
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def _of_file(found: Inspected) -> Rows:
    size = f"{found.size / 2**20:.1f} MiB"
    return [("file", str(found.path)), ("kind", f"{found.kind}, {size}"), ("content", found.condition)]


def _of_header(header: Header) -> Rows:
    rows = [("network", _network(header.network, header.alpha))]
    if header.label_space:
        space = header.label_space
        rows.append(("classes", f"{len(space)} of {space.name}: {', '.join(space.names)}"))
    rows.append(("input", _input(header)))
    for data in header.data:
        rows.append(("trained on", f"{data['name']} {data['split']}, {data['images']} images"))
        if "files_sha256" in data:
            rows.append(("", f"list of files: sha-256 {str(data['files_sha256'])[:16]}..."))
    rows.append(("recipe", "unknown" if header.recipe is None else _in_short(header.recipe)))
    told = ""
    for score in header.scores:
        asked = f"{score.data}, {score.split}: {score.images} images, {score.classes} classes"
        rows.append(("score", f"mean IoU {score.mean_iou:.2%} on {asked}"))
        if score.conventions and score.conventions != told:
            rows.append(("", told := score.conventions))
    if header.label_space and not header.scores:
        rows.append(("score", "none was measured"))
    rows += [("origin", header.origin), ("terms", header.terms or "none were stated")]
    return [*rows, ("written by", f"fassd {header.version}" if header.version else "unknown")]


def _of_progress(progress: TrainerState) -> Rows:
    import msgspec

    recipe = progress.recipe
    best = "none yet" if progress.best_score < 0 else f"{progress.best_score:.2%} after update {progress.best_step}"
    return [
        ("network", _network(recipe.network, recipe.alpha)),
        ("stands at", f"update {progress.step} of {recipe.iterations}, after {progress.seconds / 60:.0f} minutes"),
        ("best score", best),
        ("trained on", f"{progress.samples} images"),
        ("", f"list of files: sha-256 {progress.data[:16]}..."),
        ("recipe", _in_short(msgspec.to_builtins(recipe))),
    ]


def _network(name: str, alpha: int) -> str:
    from fassd.networks.specs import NETWORKS

    row = NETWORKS.get(name)
    return f"{name}, alpha {alpha}" if row and row.context == "dapf" else name


def _input(header: Header) -> str:
    pixels = header.normalization
    mean, std = (" ".join(f"{one:g}" for one in of) for of in (pixels.mean, pixels.std))
    side = f"; longer side at most {header.input_side}" if header.input_side else ""
    return f"{pixels.channel_order.upper()}, mean {mean}, deviation {std}{side}"


def _in_short(recipe: dict[str, Any]) -> str:
    """What decides most of a recipe; `--json` prints all of it."""
    try:
        height, width = recipe["augmentation"]["crop_size"]
        return (
            f"{recipe['iterations']} updates of {recipe['batch_size']} images, crops of {width}x{height}, rate "
            f"{recipe['optimizer']['lr']}, seed {recipe['seed']}; every value with --json"
        )
    except (KeyError, TypeError, ValueError):
        return "of another version of fassd; every value with --json"
