"""Custom classes, read from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from fassd.core.errors import FileError
from fassd.core.labels import LabelClass, LabelSpace
from fassd.core.renamed import HEADER_KEYS, with_new_keys

Byte = Annotated[int, Meta(ge=0, le=255)]


class ClassRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class; its mask value and its index in the network's output are its position, counted from 0."""

    name: str
    color: tuple[Byte, Byte, Byte]


class _LabelFile(msgspec.Struct, frozen=True):
    classes: Annotated[list[ClassRow], Meta(min_length=1)]
    name: str = ""


def label_space_of(name: str, rows: list[ClassRow]) -> LabelSpace:
    """The label space of rows in order.

    Raises:
        UsageError: a name occurs twice, or there are more than 255 classes.
    """
    return LabelSpace(name, tuple(LabelClass(row.name, row.color, index) for index, row in enumerate(rows)))


def read_label_space(path: Path) -> LabelSpace:
    """The classes that a TOML file names in `[[classes]]` tables; a `dataset.toml` with classes will do.

    Raises:
        FileError: the file is missing, is not TOML, or has no classes.
        UsageError: a name occurs twice.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        described = msgspec.convert(with_new_keys(values, HEADER_KEYS), _LabelFile)
    except OSError as error:
        raise FileError(path, f"the label space cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"is not valid TOML ({error})") from None
    except msgspec.ValidationError as error:
        raise FileError(path, f"has no classes: {error}; expected [[classes]] tables with name and color") from None
    return label_space_of(described.name or path.stem, described.classes)
