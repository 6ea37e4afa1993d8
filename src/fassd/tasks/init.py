"""A first `dataset.toml` for a folder of labeled images."""

from __future__ import annotations

from pathlib import Path

from fassd.core.errors import FileError
from fassd.core.files import written_whole
from fassd.data.description import DESCRIPTION
from fassd.drafts.draft import Draft, draft_description


def init(root: Path, force: bool = False) -> Draft:
    """Drafts the description of a folder and writes it, and the lists it needs, each whole or not at all.

    Args:
        root: the folder with images and masks.
        force: replaces a description that is there.

    Raises:
        FileError: there is a description or a list already, or the folder cannot be written.
        DataError: the folder holds no usable images and masks.
    """
    _refuse(root / DESCRIPTION, force)
    draft = draft_description(root)
    for name in draft.lists:
        _refuse(root / name, force)
    for name, text in draft.lists.items():
        _write(root / name, text)
    _write(root / DESCRIPTION, draft.text)
    return draft


def _refuse(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise FileError(path, "exists already; look at it, or replace it with --force")


def _write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
