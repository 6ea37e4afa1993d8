"""What a folder of rendered streets remembers of its making, so that an interrupted run can go on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from fassd.core.errors import FileError
from fassd.core.files import written_whole
from fassd.synthesis.write import Streets, drawn_folders

_TERMS_FILE, _TERMS = "terms.txt", "rendered by fassd, free for any use\n"


@dataclass(frozen=True)
class _Record:
    """The streets of a split, and the program that draws them, for another may draw them otherwise."""

    streets: Streets
    program: str


def prepare_folder(out: Path, streets: Streets, program: str) -> None:
    """Makes a folder ready for a set of streets: new, with other splits of such, or with a part of this very set.

    The record of the split, `rendered_SPLIT.json`, is written first. `terms.txt` says that these are nobody's photos;
    whoever trains on them finds that in the checkpoint. What a killed run left half-written is removed.

    Args:
        out: the folder.
        streets: what is about to be rendered.
        program: the name and version of the renderer.

    Raises:
        FileError: holds other files, or streets of this split that were made otherwise; or cannot be read or written.
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
        for folder in drawn_folders(out, streets.split):
            for half in folder.glob(".*.png"):
                half.unlink()
    except OSError as error:
        raise FileError(out, f"cannot be read ({error.strerror}); choose another folder") from None


def _compare(path: Path, record: _Record) -> None:
    """Refuses a folder whose streets were made from other values."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Record)
    except msgspec.MsgspecError:
        raise FileError(path, "is not a record of rendered streets; give another --split or folder") from None
    if found != record:
        streets, size = found.streets, "x".join(map(str, found.streets.size))
        given = f"--images {streets.images} --size {size} --seed {streets.seed}"
        remedy = "give these values to complete it, or another --split or folder"
        if found.program != record.program:
            remedy = f"{record.program} may draw otherwise than {found.program}, so give another --split or folder"
        raise FileError(
            path.parent, f"holds the split '{streets.split}' of {given} already; nothing is overwritten: {remedy}"
        )


def _require_room(out: Path, split: str) -> None:
    """Refuses a folder without a record that holds anything but other splits of rendered streets."""
    terms = out / _TERMS_FILE
    if terms.is_file() and terms.read_text(encoding="utf-8") == _TERMS:
        taken = [folder.parent for folder in drawn_folders(out, split) if folder.parent.exists()]
        if taken:
            raise FileError(
                out,
                f"holds rendered streets of the split '{split}' without a record of how they were made; nothing is "
                f"overwritten: remove {' and '.join(map(str, taken))}, or give another --split or folder",
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = "a folder with files in it" if out.is_dir() else "a file"
        raise FileError(out, f"is {found}; give a new or an empty folder, nothing is overwritten")
