"""`fassd inspect`: the metadata of a checkpoint, an exported file or a training state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options

if TYPE_CHECKING:
    from fassd.core.checkpoint import Header
    from fassd.training.state import TrainerState

Rows = list[tuple[str, str]]


@click.command("inspect", short_help="Show a file's metadata and verify its checksum.")
@click.argument("weights", metavar="WEIGHTS")
@options.as_json
def inspect_command(weights: str, as_json: bool) -> None:
    """Show a file's metadata and verify its checksum: network, classes, data, scores, terms.

    WEIGHTS is a shipped name, a checkpoint, an exported file or a training state.
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from fassd.core.checkpoint import Header
    from fassd.tasks.inspect import inspect

    found = inspect(weights)
    metadata = found.metadata
    if as_json:
        file = {"path": str(found.path), "kind": found.kind, "condition": found.condition}
        values = {"file": file} | msgspec.to_builtins(metadata)
        click.echo(msgspec.json.format(msgspec.json.encode(values)).decode())
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("file", str(found.path))
    table.add_row("kind", f"{found.kind}, {found.size / 2**20:.1f} MiB")
    table.add_row("content", found.condition)
    for row in _of_header(metadata) if isinstance(metadata, Header) else _of_state(metadata):
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def _of_header(header: Header) -> Rows:
    rows = [("network", _network(header.network, header.alpha))]
    if header.label_space:
        space = header.label_space
        rows.append(("classes", f"{len(space)} of {space.name}: {', '.join(space.names)}"))
    values = header.normalization
    mean, std = (" ".join(f"{one:g}" for one in channels) for channels in (values.mean, values.std))
    side = f"; longer side at most {header.input_side}" if header.input_side else ""
    rows.append(("input", f"{values.channel_order.upper()}, normalization mean {mean}, std {std}{side}"))
    for data in header.data:
        rows.append(("trained on", f"{data['name']} {data['split']}, {data['images']} images"))
        if "files_sha256" in data:
            rows.append(("", f"list of files: sha-256 {str(data['files_sha256'])[:16]}..."))
    rows.append(("recipe", "unknown" if header.recipe is None else _summary(header.recipe)))
    printed = ""
    for score in header.scores:
        where = f"{score.data}, {score.split}: {score.images} images, {score.classes} classes"
        rows.append(("score", f"mean IoU {score.mean_iou:.2%} on {where}"))
        if score.conventions and score.conventions != printed:
            rows.append(("", printed := score.conventions))
    if header.label_space and not header.scores:
        rows.append(("score", "none was measured"))
    rows += [("origin", header.origin), ("terms", header.terms or "none were stated")]
    return [*rows, ("written by", f"fassd {header.version}" if header.version else "unknown")]


def _of_state(state: TrainerState) -> Rows:
    import msgspec

    recipe = state.recipe
    best = "none yet" if state.best_score < 0 else f"{state.best_score:.2%} after iteration {state.best_iteration}"
    return [
        ("network", _network(recipe.network, recipe.alpha)),
        ("progress", f"iteration {state.iteration} of {recipe.iterations}, after {state.seconds / 60:.0f} minutes"),
        ("best score", best),
        ("trained on", f"{state.samples} images"),
        ("", f"list of files: sha-256 {state.data[:16]}..."),
        ("recipe", _summary(msgspec.to_builtins(recipe))),
    ]


def _network(name: str, alpha: int) -> str:
    from fassd.networks.specs import NETWORKS

    row = NETWORKS.get(name)
    return f"{name}, alpha {alpha}" if row and row.context == "dapf" else name


def _summary(recipe: dict[str, Any]) -> str:
    """The main values of a recipe; `--json` prints all."""
    try:
        height, width = recipe["augmentation"]["crop_size"]
        return (
            f"{recipe['iterations']} iterations of {recipe['batch_size']} images, crops of {width}x{height}, learning "
            f"rate {recipe['optimizer']['lr']}, seed {recipe['seed']}; every value with --json"
        )
    except (KeyError, TypeError, ValueError):
        return "of another version of fassd; every value with --json"
