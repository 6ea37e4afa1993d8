"""The record in a folder of rendered streets of how they were made, so that an interrupted run can be resumed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from fassd.core.errors import FileError
from fassd.core.files import written_whole
from fassd.synthesis.write import Streets, folders_of_split

_TERMS_FILE, _TERMS = "terms.txt", "rendered by fassd, free for any use\n"


@dataclass(frozen=True)
class _Record:
    """The streets of a split, and the program that renders them, since another version may render differently."""

    streets: Streets
    program: str


def prepare_folder(out: Path, streets: Streets, program: str) -> None:
    """Prepares a folder for a set of streets: a new one, one with other splits, or one with a part of this set.

    Writes the record of the split, `rendered_SPLIT.json`, and the license, `terms.txt`, which checkpoints trained on
    the streets will contain. Removes incomplete files of a killed run.

    Args:
        out: the folder.
        streets: the set to be rendered.
        program: name and version of the renderer.

    Raises:
        FileError: the folder holds other files, or streets of this split made with other values; or it cannot be read
            or written.
    """
    path, record = out / f"rendered_{streets.split}.json", _Record(streets, program)
    try:
        if path.is_file():
            _compare(path, record)
        else:
            _require_room(out, streets.split)
        with written_whole(out / _TERMS_FILE) as temporary:
            temporary.write_text(_TERMS, encoding="utf-8")
        with written_whole(path) as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        for folder in folders_of_split(out, streets.split):
            for half in folder.glob(".*.png"):
                half.unlink()
    except OSError as error:
        raise FileError(out, f"cannot be read ({error.strerror}); choose another folder") from None


def _compare(path: Path, record: _Record) -> None:
    """Refuses a folder whose streets were made with other values."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Record)
    except msgspec.MsgspecError:
        raise FileError(path, "is not a record of rendered streets; give another --split or folder") from None
    if found != record:
        streets, size = found.streets, "x".join(map(str, found.streets.size))
        given = f"--images {streets.images} --size {size} --seed {streets.seed}"
        fix = "give these values to complete it, or another --split or folder"
        if found.program != record.program:
            fix = f"{record.program} may render differently than {found.program}, so give another --split or folder"
        raise FileError(
            path.parent, f"holds the split '{streets.split}' of {given} already; nothing is overwritten: {fix}"
        )


def _require_room(out: Path, split: str) -> None:
    """Refuses a folder without a record, unless it is empty or holds only other splits of rendered streets."""
    terms = out / _TERMS_FILE
    if terms.is_file() and terms.read_text(encoding="utf-8") == _TERMS:
        taken = [folder.parent for folder in folders_of_split(out, split) if folder.parent.exists()]
        if taken:
            raise FileError(
                out,
                f"holds rendered streets of the split '{split}' without a record of how they were made; nothing is "
                f"overwritten: remove {' and '.join(map(str, taken))}, or give another --split or folder",
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = "a folder with files in it" if out.is_dir() else "a file"
        raise FileError(out, f"is {found}; give a new or an empty folder, nothing is overwritten")
