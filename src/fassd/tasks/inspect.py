"""Inspection: the metadata of a checkpoint, an exported file or a training state, and whether it is intact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import Header, is_training_state, read_digest, read_header
from fassd.core.errors import MissingExtra
from fassd.runtimes.exported import EXPORT_KINDS
from fassd.runtimes.open import open_runtime
from fassd.runtimes.rows import weights_suffix

if TYPE_CHECKING:
    from fassd.training.state import TrainerState

NO_CHECKSUM = "no checksum: written by an early fassd or another program, so damage would go unnoticed"
INTACT = "intact: the checksum matches"


@dataclass(frozen=True)
class Inspected:
    """The result.

    Attributes:
        path: of the file.
        size: of it and of the files that belong to it, bytes.
        kind: what it is, in a few words.
        condition: whether its checksum matches, in a few words.
        metadata: the header of weights, or the state of a training.
    """

    path: Path
    size: int
    kind: str
    condition: str
    metadata: Header | TrainerState


def inspect(weights: str | Path) -> Inspected:
    """Reads a checkpoint, an exported file or a training state, and verifies its checksum.

    Args:
        weights: a shipped name or a file.

    Raises:
        UnknownName, CheckpointError: there is no such file, it is damaged, or not one of fassd's.
        MissingExtra: of an exported file or a training state, whose package is not installed.
    """
    path = locate_weights(weights)
    for row in EXPORT_KINDS.values():
        if weights_suffix(path) == row.suffixes[0]:
            with open_runtime(path) as runtime:  # verifies the checksums inside
                size = sum(path.with_suffix(suffix).stat().st_size for suffix in row.suffixes)
                return Inspected(path, size, f"exported to {row.name}, {runtime.precision}", INTACT, runtime.header)
    if is_training_state(path):
        try:
            from fassd.training.state import read_state
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise MissingExtra("torch", "train", "reading training states") from None
        return Inspected(path, path.stat().st_size, "training state", INTACT, read_state(path)[0])
    header, digest = read_header(path), read_digest(path)
    kind = "checkpoint" if header.content == "network" else "checkpoint of an encoder alone"
    condition = NO_CHECKSUM if digest is None else f"{INTACT}, sha-256 {digest[:16]}..."
    return Inspected(path, path.stat().st_size, kind, condition, header)
