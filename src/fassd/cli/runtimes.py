"""`fassd runtimes`: the runtimes of this machine, and which one is chosen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from fassd.cli import options

if TYPE_CHECKING:
    from pathlib import Path

    from fassd.core.machine import Machine
    from fassd.runtimes.rows import RuntimeChoice, RuntimeRow


@click.command("runtimes", short_help="Show the runtimes of this machine, and which one is chosen.")
@options.as_json
def runtimes_command(as_json: bool) -> None:
    """Show the runtimes of this machine, which one is chosen for the networks, and why."""
    from fassd.core.machine import describe_machine
    from fassd.networks.specs import NETWORKS
    from fassd.runtimes.cache import cache_folder
    from fassd.runtimes.open import choose_runtime
    from fassd.runtimes.rows import CHECKPOINT, RUNTIMES

    machine, picked = describe_machine(), choose_runtime(CHECKPOINT)
    if as_json:
        values = {
            "processor": machine.processor,
            "cores": machine.cores,
            "instructions": list(machine.instructions),
            "cache": None if (cache := cache_folder()) is None else str(cache),
            "runtimes": [_as_json(row) for row in RUNTIMES.values()],
            "picked": [{"network": network, **_choice_as_json(picked)} for network in NETWORKS],
        }
        click.echo(json.dumps(values, indent=2))
    else:
        _print(machine, list(RUNTIMES.values()), picked, cache_folder())


def _as_json(row: RuntimeRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "package": row.package,
        "version": row.version,
        "extra": row.extra,
        "files": list(row.modules),
        "devices": ["cpu", "cuda"] if row.gpu else ["cpu"],
        "precisions": list(row.precisions),
        "summary": row.summary,
    }


def _choice_as_json(choice: RuntimeChoice) -> dict[str, Any]:
    return {
        "runtime": choice.row.name,
        "device": choice.device,
        "precision": choice.precision,
        "why": choice.why,
    }


def _print(machine: Machine, rows: list[RuntimeRow], picked: RuntimeChoice, cache: Path | None) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    # Lines are wrapped on a terminal only, so that programs that read a pipe get complete lines.
    console.soft_wrap = not console.is_terminal
    able = ", ".join(machine.instructions) or "no instructions that matter here"
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    console.print(f"[bold]{escape(machine.processor)}[/], {cores}: {able}\n")
    for row in rows:
        found = f"{row.package} {row.version}" if row.version else f"[yellow]{row.package} is not installed[/]"
        fix = "" if row.version or not row.extra else f": pip install 'fassd\\[{row.extra}]'"
        devices = "cpu and cuda" if row.gpu else "cpu"
        console.print(f"[bold]{row.name}[/]  {found}{fix}")
        console.print(f"  [dim]{row.summary}[/]")
        console.print(f"  {devices}; {', '.join(row.precisions)}; opens {' and '.join(row.modules)}")
    console.print(
        f"\nEvery network runs on [bold]{picked.row.name}[/], device {picked.device}, in {picked.precision}: "
        f"{picked.why}."
    )
    console.print("An exported file runs on the runtime that it was made for.", style="dim")
    kept = f"in {escape(str(cache))}" if cache else "nowhere: there is no home folder, and FASSD_CACHE names none"
    console.print(f"Compiled graphs are kept {kept}.", style="dim")
