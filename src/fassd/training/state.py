"""Training states: everything that a run needs to resume bit-exactly, in a file with a digest. No pickle.

States are numbered by their iteration. A new one is written and flushed to the disk before an old one is removed, so
that a crash, a full disk or a damaged file costs only the iterations since the state before.
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
from fassd.core.renamed import TRAINER_STATE_KEYS, recipe_with_new_keys

_DIGEST_KEY = "fassd-sha256"
_KEPT = 2
_NAME = re.compile(r"state-(\d{8})\.safetensors")


class TrainerState(msgspec.Struct, frozen=True):
    """How far a run has come.

    Attributes:
        iteration: iterations done.
        validated: iteration after which it was last validated; 0 before the first validation.
        best_score: the best deciding figure of the validations so far, 0..1; -1 before the first.
        best_iteration: iteration after which it was found.
        seconds: of training so far, interruptions excluded.
        recipe: of the run.
        data: digest of the training files. With the recipe's seed it determines every batch.
        samples: number of training images.
        scaler: of float16's gradient scaler; empty in other precisions.
    """

    iteration: int
    validated: int
    best_score: float
    best_iteration: int
    seconds: float
    recipe: Recipe
    data: str
    samples: int
    scaler: dict[str, int | float] = {}


@dataclass(frozen=True)
class State:
    """A training state that was read.

    Attributes:
        path: of the file.
        progress: how far the run had come.
        tensors: by name.
        broken: a sentence for each newer file that was damaged and set aside.
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
        """Every state, intact or not, the newest first."""
        found = self.folder.glob("state-*.safetensors") if self.folder.is_dir() else ()
        return sorted((path for path in found if _NAME.fullmatch(path.name)), reverse=True)

    def save(self, tensors: Mapping[str, Tensor], progress: TrainerState) -> Path:
        """Writes a state atomically, then removes those that are no longer needed.

        Raises:
            FileError: the disk is full or cannot be written; the earlier states are still there.
        """
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        note = msgspec.json.encode(progress).decode()
        content = with_digest(save(plain, {_DIGEST_KEY: NO_DIGEST, STATE_KEY: note}))
        path = self.folder / f"state-{progress.iteration:08}.safetensors"
        with written_whole(path) as temporary:
            temporary.write_bytes(content)
        if os.name == "posix":
            # `written_whole` flushes the content. This makes the name outlast a power cut too.
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        every = progress.recipe.keep_every
        for old in self.paths()[_KEPT:]:
            iteration = int(old.stem.rpartition("-")[2])
            if not every or iteration % every or not iteration:
                old.unlink(missing_ok=True)
        return path

    def load(self) -> State:
        """The newest intact state. Damaged ones are renamed to `.broken`.

        Raises:
            UsageError: there is no state.
            CheckpointError: every state is damaged.
        """
        paths, broken = self.paths(), list[str]()
        if not paths:
            raise UsageError(f"{self.folder.parent} holds no training state to resume; omit --resume to start a run")
        for path in paths:
            try:
                progress, tensors = read_state(path)
            except CheckpointError as error:
                broken.append(str(error))
                continue
            for newer in paths[: len(broken)]:
                newer.replace(newer.with_suffix(".broken"))
            return State(path, progress, tensors, tuple(broken))
        raise CheckpointError(
            paths[0], f"{broken[0].partition(': ')[2]}, and no earlier state is intact: start a new run"
        )


def read_state(path: Path) -> tuple[TrainerState, dict[str, Tensor]]:
    """How far a run had come, and every tensor by name. States of earlier versions are read too.

    Raises:
        CheckpointError: damaged, or no training state.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        note, digest = metadata[STATE_KEY], metadata[_DIGEST_KEY]
        values = {TRAINER_STATE_KEYS.get(key, key): value for key, value in msgspec.json.decode(note).items()}
        progress = msgspec.convert({**values, "recipe": recipe_with_new_keys(values["recipe"])}, TrainerState)
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, msgspec.MsgspecError) as error:
        raise CheckpointError(path, f"is damaged or no training state ({error})") from None
    if not has_digest(path.read_bytes(), digest):
        raise CheckpointError(path, "is damaged: its content does not match its digest")
    return progress, tensors
