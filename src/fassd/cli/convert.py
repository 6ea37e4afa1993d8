"""`fassd convert`: checkpoints of the authors' repositories -> fassd checkpoints."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("convert", short_help="Convert checkpoints of the authors' repositories.")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--network", required=True, help="Network that the file holds, for example fassd-net-l1.")
@click.option(
    "--label-space",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE",
    help="TOML file with [[classes]]; needed unless there are 19 (Cityscapes) or 11 (CamVid) outputs.",
)
def convert_command(checkpoint: Path, out: Path, network: str, label_space: Path | None) -> None:
    """Convert CHECKPOINT, a file of the FASSD-Net or FC-HarDNet repositories, to OUT, a .safetensors file.

    Reads best-model files, resume files and the ImageNet encoder. Code inside a file is never run.
    """
    from fassd.tasks.convert import convert

    done = convert(checkpoint, out, network, label_space)
    what = done.header.content if done.header.content == "encoder" else f"{len(done.header.label_space or ())} classes"
    click.echo(f"{out}: {network}, {what}, {done.loaded} weights and statistics")
    if done.unused:
        groups = sorted({".".join(name.split(".")[:3]) for name in done.unused})
        click.echo(f"not used, because {network} does not have them: {len(done.unused)} of {', '.join(groups)}")
    for note in done.notes:
        click.echo(f"note: {note}")
