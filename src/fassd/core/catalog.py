"""The weights that ship with the package, one row each. What a file says of itself is in its own header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from fassd.core.errors import UnknownName
from fassd.core.files import with_home


@dataclass(frozen=True)
class ShippedWeights:
    """A checkpoint inside the package.

    Attributes:
        name: what users type; also the file's name.
        digest: SHA-256 of the file.
        summary: what it is good for, in a few words.
    """

    name: str
    digest: str
    summary: str

    @property
    def path(self) -> Path:
        """The file."""
        return Path(str(files("fassd"))) / "weights" / f"{self.name}.safetensors"

    @property
    def int8(self) -> Path:
        """Its form in int8: the .xml of a pair of OpenVINO files."""
        return self.path.with_name(f"{self.name}-int8.xml")


_ROWS = (
    ShippedWeights(
        "fassd-net-l2-street",
        "3a97d3145234f23ece7ac2c712af324fb4aa91c11dfa6f5192555e456823908a",
        "anybody's street in CamVid's 11 classes; trained on CamVid and street19",
    ),
    ShippedWeights(
        "fassd-net-l2-camvid",
        "d8f994c90d14167d806d62e9b15e82c7234dc2e90724b580f1d14b1fdd499e25",
        "the line that papers report; CamVid train alone, from scratch",
    ),
)

WEIGHTS = {row.name: row for row in _ROWS}
DEFAULT_WEIGHTS = _ROWS[0].name


def locate_weights(name_or_file: str | Path) -> Path:
    """The file of shipped weights by name, or the given file.

    Raises:
        UnknownName: neither a shipped name nor the path of a file; the nearest names are offered.
    """
    return shipped_or_file("shipped weights file", name_or_file, {row.name: row.path for row in _ROWS})


def shipped_or_file(kind: str, name_or_file: str | Path, shipped: Mapping[str, Path]) -> Path:
    """What ships by name, or the given file, which need not be there.

    Args:
        kind: what ships, for messages.
        name_or_file: as it was typed.
        shipped: the files that ship, by name.

    Raises:
        UnknownName: neither a shipped name nor the path of a file; the nearest names are offered.
    """
    text = str(name_or_file)
    if text in shipped:
        return shipped[text]
    path = with_home(text)
    # A name has neither a folder nor a suffix; anything else was meant as a file.
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    raise UnknownName(kind, text, shipped)
