"""The training state: all that going on needs, in a file that is whole or is noticed. No pickle.

States are numbered by their update. The new one is written and flushed to the disk before an old one goes, so that a
crash, a full disk or a damaged file costs the updates since the state before and no more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fassd.core.checkpoint import STATE_KEY
from fassd.core.digest import NO_DIGEST, has_digest, with_digest
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.files import written_whole
from fassd.core.recipe import Recipe
from fassd.core.renamed import recipe_with_new_keys

_DIGEST_KEY = "fassd-sha256"
_KEPT = 2
_NAME = re.compile(r"state-(\d{8})\.safetensors")


class TrainerState(msgspec.Struct, frozen=True):
    """Where a run stands.

    Attributes:
        step: updates done.
        validated: after which update it was validated last; 0 before the first.
        best_score: the best deciding figure of the validations so far, 0..1; -1 before the first.
        best_step: after which update that was.
        seconds: of training so far, over all sittings.
        recipe: of the run.
        data: digest of the training files; with the recipe's seed it decides what each update sees.
        samples: how many they are.
        scaler: of float16's loss; empty in other precisions.
    """

    step: int
    validated: int
    best_score: float
    best_step: int
    seconds: float
    recipe: Recipe
    data: str
    samples: int
    scaler: dict[str, int | float] = {}


@dataclass(frozen=True)
class State:
    """A training state as read.

    Attributes:
        path: where from.
        progress: where the run stood.
        tensors: by name.
        broken: what was wrong with newer files, which were set aside; a sentence each.
    """

    path: Path
    progress: TrainerState
    tensors: dict[str, Tensor]
    broken: tuple[str, ...] = ()


class States:
    """The training states of one run, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """Every state, the newest first, sound or not."""
        found = self.folder.glob("state-*.safetensors") if self.folder.is_dir() else ()
        return sorted((path for path in found if _NAME.fullmatch(path.name)), reverse=True)

    def save(self, tensors: Mapping[str, Tensor], progress: TrainerState) -> Path:
        """Writes a state whole or not at all, then lets go of those that are no longer needed.

        Raises:
            FileError: the disk is full or cannot be written; the states before are still there.
        """
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        note = msgspec.json.encode(progress).decode()
        content = with_digest(save(plain, {_DIGEST_KEY: NO_DIGEST, STATE_KEY: note}))
        path = self.folder / f"state-{progress.step:08}.safetensors"
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
        _flush_folder(self.folder)
        every = progress.recipe.keep_every
        for old in self.paths()[_KEPT:]:
            if not every or _step_of(old) % every or not _step_of(old):
                old.unlink(missing_ok=True)
        return path

    def load(self) -> State:
        """The newest state that is sound; broken ones are renamed, so that they are in nobody's way.

        Raises:
            UsageError: there is none.
            CheckpointError: there are some, none of them sound.
        """
        paths, broken = self.paths(), list[str]()
        if not paths:
            raise UsageError(f"{self.folder.parent} holds no training state to resume; leave --resume away to begin")
        for path in paths:
            try:
                progress, tensors = read_state(path)
            except CheckpointError as error:
                broken.append(str(error))
                continue
            for newer in paths[: len(broken)]:
                newer.replace(newer.with_suffix(".broken"))
            return State(path, progress, tensors, tuple(broken))
        raise CheckpointError(paths[0], f"{broken[0].partition(': ')[2]}, and no earlier state is sound: begin anew")

    def progress(self) -> TrainerState:
        """Where the newest state that is sound stands; see `load`."""
        return self.load().progress


def read_state(path: Path) -> tuple[TrainerState, dict[str, Tensor]]:
    """Where a run stood, and every tensor by name.

    Raises:
        CheckpointError: damaged, or no training state.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        note, digest = metadata[STATE_KEY], metadata[_DIGEST_KEY]
        values = msgspec.json.decode(note)
        progress = msgspec.convert({**values, "recipe": recipe_with_new_keys(values["recipe"])}, TrainerState)
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, msgspec.MsgspecError) as error:
        raise CheckpointError(path, f"is damaged or no training state ({error})") from None
    if not has_digest(path.read_bytes(), digest):
        raise CheckpointError(path, "is damaged: its content is not that of its digest")
    return progress, tensors


def _step_of(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _flush_folder(folder: Path) -> None:
    """Makes the names in a folder outlast a power cut, as written_whole does with their content."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
