"""Inspection: what a file of ours says of itself, and whether its content is still what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import Header, is_training_state, read_digest, read_header
from fassd.core.errors import MissingExtra
from fassd.runtimes.exported import EXPORT_KINDS, ExportKind

if TYPE_CHECKING:
    from fassd.training.state import TrainerState

UNDIGESTED = "not digested: made by an early fassd or by others, so damage would go unnoticed"
_WHOLE = "whole: it is what was written"


@dataclass(frozen=True)
class Inspected:
    """What was found.

    Attributes:
        path: of the file.
        size: of it and of the files that belong to it, bytes.
        kind: what it is, in a few words.
        condition: whether its content can be trusted, in a few words.
        says: what it says of itself.
    """

    path: Path
    size: int
    kind: str
    condition: str
    says: Header | TrainerState


def inspect(weights: str | Path) -> Inspected:
    """Reads a checkpoint, an exported file or a training state.

    Args:
        weights: a shipped name or a file.

    Raises:
        UnknownName, CheckpointError: there is no such file, it is damaged, or not one of ours.
        MissingExtra: of an exported file or a training state, whose package is not installed.
    """
    path = locate_weights(weights)
    for row in EXPORT_KINDS.values():
        if path.suffix.lower() == row.suffixes[0]:
            return _exported(path, row)
    if is_training_state(path):
        return _state(path)
    header, digest = read_header(path), read_digest(path)
    kind = "checkpoint" if header.content == "network" else "checkpoint of an encoder alone"
    condition = UNDIGESTED if digest is None else f"{_WHOLE}, sha-256 {digest[:16]}..."
    return Inspected(path, path.stat().st_size, kind, condition, header)


def _exported(path: Path, row: ExportKind) -> Inspected:
    from fassd.runtimes.open import open_runtime

    with open_runtime(path) as runtime:
        # Opening it has compared it with the digest or the sums inside.
        size = sum(path.with_suffix(suffix).stat().st_size for suffix in row.suffixes)
        return Inspected(path, size, f"exported to {row.name}, {runtime.precision}", _WHOLE, runtime.header)


def _state(path: Path) -> Inspected:
    try:
        from fassd.training.state import read_state
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "train", "reading training states") from None
    return Inspected(path, path.stat().st_size, "training state", _WHOLE, read_state(path)[0])
