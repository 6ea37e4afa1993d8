"""HTML pages from the templates in `templates/`, escaped, with their images inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fassd.media.legend import printable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True)
class Shot:
    """An image on a page.

    Attributes:
        caption: what it is.
        source: a data URI.
        size: width and height in pixels.
    """

    caption: str
    source: str
    size: tuple[int, int]


def jpeg(caption: str, drawn: Picture, colors_matter: bool = False) -> Shot:
    """An image small enough for a page.

    Args:
        caption: what it is.
        drawn: RGB.
        colors_matter: thin lines keep their colors.
    """
    stream = io.BytesIO()
    drawn.save(stream, "JPEG", quality=80, optimize=True, subsampling=0 if colors_matter else 2)
    return Shot(caption, f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}", drawn.size)


def render(template: str, command: str, values: Mapping[str, object]) -> str:
    """A page as HTML. Text is escaped, and characters that cannot be printed become "?".

    Args:
        template: a file of `templates/`.
        command: that writes the page, named at its foot.
        values: by the names that the template uses; a missing one is an error.
    """
    return _templates().get_template(template).render({**values, "command": command, "version": version("fassd")})


@cache
def _templates() -> Environment:
    def on_one_line(value: object) -> object:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    return Environment(
        loader=PackageLoader("fassd"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=on_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
