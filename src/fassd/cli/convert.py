"""`fassd convert`: the authors' checkpoint files -> ours."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("convert", short_help="Turn the authors' checkpoint files into ours.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--network", required=True, help="Which network the file holds, for example fassd-net-l1.")
@click.option(
    "--label-space",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="TOML with [[classes]], where there are neither 19 (Cityscapes) nor 11 (CamVid) outputs.",
)
def convert_command(checkpoint: Path, out: Path, network: str, label_space: Path | None) -> None:
    """Convert a file of the FASSD-Net or FC-HarDNet repositories into OUT.safetensors.

    Best-model files, resume files and the ImageNet encoder are read; code inside a file is never run.
    """
    from fassd.tasks.convert import convert

    done = convert(checkpoint, out, network, label_space)
    what = done.header.content if done.header.content == "encoder" else f"{len(done.header.label_space or ())} classes"
    click.echo(f"{out}: {network}, {what}, {done.taken} weights and statistics taken")
    if done.left:
        groups = sorted({".".join(name.split(".")[:3]) for name in done.left})
        click.echo(f"left out, for {network} has no place for them: {len(done.left)} of {', '.join(groups)}")
    for note in done.notes:
        click.echo(f"note: {note}")
