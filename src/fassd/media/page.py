"""HTML pages from the templates in `templates/`, escaped, with their images inside."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fassd.media.legend import printable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_STYLE = files("fassd") / "templates" / "page.css"
# A page loads and runs nothing, even if a name on it holds HTML.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


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
    """A page as HTML. Text is escaped, and what no letter can show becomes "?".

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


def document(title: str, body: Iterable[str], written_by: str) -> Iterator[str]:
    """The lines of a page.

    Args:
        title: plain text, of the window.
        body: lines of HTML.
        written_by: the command, plain text.
    """
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{plain_text(title)}</title>\n<style>\n{_STYLE.read_text(encoding='utf-8')}</style>\n</head>"
    yield "<body>\n<main>"
    yield from body
    yield f"<footer>Written by fassd {version('fassd')}, {plain_text(written_by)}.</footer>"
    yield "</main>\n</body>\n</html>"


def figure(shots: Sequence[Shot], caption: str, kind: str) -> str:
    """Pictures side by side.

    Args:
        shots: left to right.
        caption: plain text above them; may be empty.
        kind: "two" or "three" beside each other.
    """
    captions = [plain_text(shot.caption) for shot in shots]
    pictures = "".join(
        f'<div><img src="{shot.source}" width="{shot.size[0]}" height="{shot.size[1]}" alt="{below}">{below}</div>'
        for shot, below in zip(shots, captions, strict=True)
    )
    above = f"<figcaption><code>{plain_text(caption)}</code></figcaption>" if caption else ""
    return f'<figure class="{kind}">{above}<div class="row">{pictures}</div></figure>'


def plain_text(text: str) -> str:
    """Any text, harmless in a page."""
    return html.escape(printable(text))
