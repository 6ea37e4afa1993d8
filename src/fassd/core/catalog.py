"""The table of weights that ship with the package. Details are in the header of each file."""

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
        name: what users type; also the name of the file.
        digest: SHA-256 of the file.
        summary: its purpose in a few words.
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
        """The .xml of its int8 version, a pair of OpenVINO files."""
        return self.path.with_name(f"{self.name}-int8.xml")


_ROWS = (
    ShippedWeights(
        "fassd-net-l2-street",
        "3a97d3145234f23ece7ac2c712af324fb4aa91c11dfa6f5192555e456823908a",
        "any street, in CamVid's 11 classes; trained on CamVid and street19",
    ),
    ShippedWeights(
        "fassd-net-l2-camvid",
        "d8f994c90d14167d806d62e9b15e82c7234dc2e90724b580f1d14b1fdd499e25",
        "trained on CamVid train only, as papers do; from scratch",
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
    """The shipped file of a name, or the given file, which need not exist.

    Args:
        kind: of the shipped files, for messages.
        name_or_file: as the user typed it.
        shipped: the shipped files by name.

    Raises:
        UnknownName: neither a shipped name nor the path of a file; the nearest names are offered.
    """
    text = str(name_or_file)
    if text in shipped:
        return shipped[text]
    path = with_home(text)
    # A name has neither a folder nor a suffix; anything else means a file.
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    raise UnknownName(kind, text, shipped)
