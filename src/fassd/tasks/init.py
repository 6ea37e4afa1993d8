"""Init: drafts a `dataset.toml` for a folder of labeled images."""

from __future__ import annotations

from pathlib import Path

from fassd.core.errors import FileError
from fassd.core.files import written_whole
from fassd.data.description import DESCRIPTION
from fassd.drafts.draft import Draft, draft_description


def init(root: Path, force: bool = False) -> Draft:
    """Drafts the description of a folder and writes it with the lists it needs; a failure leaves no partial file.

    Args:
        root: the folder with images and masks.
        force: replaces an existing description.

    Raises:
        FileError: there is already a description or a list, or the folder cannot be written.
        DataError: the folder holds no usable images and masks.
    """
    _refuse_existing(root / DESCRIPTION, force)
    draft = draft_description(root)
    for name in draft.lists:
        _refuse_existing(root / name, force)
    for name, text in {**draft.lists, DESCRIPTION: draft.text}.items():
        with written_whole(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return draft


def _refuse_existing(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise FileError(path, "already exists; edit it, or replace it with --force")
