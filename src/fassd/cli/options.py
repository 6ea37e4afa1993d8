"""The options that several commands share, each defined once, and those that had other names before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from fassd.core.catalog import DEFAULT_WEIGHTS, WEIGHTS
from fassd.core.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

_DATA = "Data set, camvid:PATH, cityscapes:PATH or folder:PATH (described by its dataset.toml); may be repeated."
data = click.option("--data", required=True, multiple=True, metavar="KIND:PATH", help=_DATA)
data_if_new = click.option("--data", multiple=True, metavar="KIND:PATH", help=f"{_DATA} Not needed with --resume.")
weights = click.option(
    "--weights",
    default=DEFAULT_WEIGHTS,
    show_default=True,
    metavar="NAME|FILE",
    help=f"Shipped weights ({', '.join(WEIGHTS)}), a checkpoint or an exported file.",
)
device = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda or cuda:N; auto takes a GPU if PyTorch can use one."
)
precision = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "int8"]),
    default="auto",
    show_default=True,
    help="Arithmetic of the network; auto takes the fastest that the device supports natively.",
)
runtime = click.option(
    "--runtime",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="What executes the network; 'fassd runtimes' lists them.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON value and nothing else.")


def out(default: str | None, text: str) -> Callable[[F], F]:
    """--out with a command's default and meaning."""
    # click treats an explicit default of None as a default.
    presence: dict[str, Any] = {"required": True} if default is None else {"default": default, "show_default": True}
    return click.option(
        "--out",
        **presence,
        metavar="FOLDER",
        type=click.Path(path_type=Path),
        help=text,
    )


def renamed(old: str, new: str, takes_value: bool = True) -> Callable[[F], F]:
    """A hidden option under the old name of another; giving it raises a UsageError with the new name.

    Args:
        old: "--at-most".
        new: "--max-iou-drop".
        takes_value: whether the old option was followed by a value.
    """

    def refuse(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value not in (None, False, ()) and not context.resilient_parsing:
            raise UsageError(f"the option {old} is called {new} now")

    kind: dict[str, Any] = {"default": None, "multiple": True} if takes_value else {"is_flag": True}
    return click.option(
        old,
        f"renamed_{old.strip('-').replace('-', '_')}",
        hidden=True,
        expose_value=False,
        callback=refuse,
        help=f"The old name of {new}.",
        **kind,
    )


class Choice(click.Choice):  # type: ignore[type-arg]  # generic since click 8.2, but 8.1 will do
    """A choice of values, some of which had other names before; these raise a UsageError with the new name.

    Args:
        choices: the values.
        renamed: from old to new.
    """

    def __init__(self, choices: Sequence[str], renamed: Mapping[str, str]) -> None:
        super().__init__(choices)
        self._renamed = renamed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value, if it is one of the choices."""
        if value in self._renamed:
            option = param.opts[0] if param else "the option"
            raise UsageError(f"{option} {value} is called {option} {self._renamed[value]} now")
        return super().convert(value, param, ctx)
