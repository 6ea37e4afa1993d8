"""Each option that several verbs share, defined once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fassd.core.catalog import DEFAULT_WEIGHTS, WEIGHTS

F = TypeVar("F", bound=Callable[..., Any])

data = click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="KIND:PATH",
    help="Data set, camvid:PATH, cityscapes:PATH or folder:PATH (described by its dataset.toml); may be repeated.",
)
weights = click.option(
    "--weights",
    default=DEFAULT_WEIGHTS,
    show_default=True,
    metavar="NAME|FILE",
    help=f"Shipped weights ({', '.join(WEIGHTS)}) or a checkpoint file.",
)
device = click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
precision = click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Arithmetic of the convolutions.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")


def out(default: str | None, text: str) -> Callable[[F], F]:
    """--out with a verb's own default and meaning."""
    # click takes an explicit default of None for a default.
    presence: dict[str, Any] = {"required": True} if default is None else {"default": default, "show_default": True}
    return click.option(
        "--out",
        **presence,
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help=text,
    )
