"""`fassd networks`: parameters and multiply-adds of the paper's networks."""

from __future__ import annotations

import json

import click

from fassd.cli import options
from fassd.core.errors import UsageError
from fassd.networks.count import count
from fassd.networks.specs import NETWORKS, check_alpha

PAPER_SIZE = (1024, 2048)
PAPER_CLASSES = 19
PAPER_ALPHA = 2


@click.command("networks", short_help="List the networks with parameters and multiply-adds.")
@click.option("--classes", default=PAPER_CLASSES, show_default=True, help="Number of outputs.")
@click.option("--alpha", default=PAPER_ALPHA, show_default=True, help="Divisor of the DAPF's branches.")
@options.as_json
def networks_command(classes: int, alpha: int, as_json: bool) -> None:
    """List the networks with parameters and multiply-adds at 1024x2048."""
    if not 1 <= classes <= 255:
        raise UsageError(f"--classes is {classes}; 1 to 255 are possible")
    rows = []
    for spec in NETWORKS.values():
        check_alpha(spec, alpha)
        counted = count(spec, classes, PAPER_SIZE, alpha)
        rows.append(
            {
                "name": spec.name,
                "parameters": counted.parameters,
                "macs": counted.macs,
                "operations_as_in_paper": counted.operations_as_in_paper,
                "minimum_side": spec.minimum_side,
                "output_stride": spec.output_stride,
                "paper_parameters_m": spec.paper.parameters_m,
                "paper_gflops": spec.paper.gflops,
                "note": spec.paper.note,
            }
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        _print_table(rows, classes == PAPER_CLASSES and alpha == PAPER_ALPHA)


def _print_table(rows: list[dict[str, object]], as_in_paper: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title="The networks of the paper at 1024x2048", title_justify="left", box=None, pad_edge=False)
    table.add_column("network", style="bold", no_wrap=True)
    for heading in ("parameters", "G MACs", "counted as\nin paper, G"):
        table.add_column(heading, justify="right")
    if as_in_paper:
        table.add_column("paper,\nM", justify="right", style="dim")
        table.add_column("paper,\nGFLOPs", justify="right", style="dim")
    table.add_column("min\nside", justify="right")
    for row in rows:
        star = " *" if row["note"] and as_in_paper else ""
        paper = [f"{row['paper_parameters_m']:.2f}", f"{row['paper_gflops']:.1f}{star}"] if as_in_paper else []
        table.add_row(
            str(row["name"]),
            f"{row['parameters']:,}",
            f"{_giga(row['macs']):.3f}",
            f"{_giga(row['operations_as_in_paper']):.3f}",
            *paper,
            str(row["minimum_side"]),
        )
    console.print(table)
    console.print(
        "\nMACs are the convolutions' multiply-adds. The paper calls them FLOPs and also counts BatchNorm layers, "
        "activations, pooling and the classifier's bias: the second column. Sides are in pixels.",
        style="dim",
    )
    for row in rows:
        if row["note"] and as_in_paper:
            console.print(f"* {row['name']}: {row['note']}", style="dim")


def _giga(value: object) -> float:
    return float(str(value)) / 1e9
