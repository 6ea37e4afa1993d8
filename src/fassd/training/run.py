"""A run's folder: its recipe, its log, the best checkpoint, and the training state that resuming needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fassd.core.checkpoint import Arrays
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.files import written_whole
from fassd.core.recipe import Recipe

_STATE_KEY = "fassd-training-state"
_NETWORK, _MOMENTUM = "network.", "momentum."


class Progress(msgspec.Struct, frozen=True):
    """Where a run stands.

    Attributes:
        step: updates done.
        best_mean_iou: of the validations so far, 0..1; -1 before the first.
        best_step: after which update that was.
        seconds: of training so far, over all sittings.
        recipe: of the run.
        samples: training samples; with the recipe's seed it decides their order.
    """

    step: int
    best_mean_iou: float
    best_step: int
    seconds: float
    recipe: Recipe
    samples: int


class Run:
    """The folder of one training run: `recipe.json`, `log.jsonl`, `state.safetensors`, `best.safetensors`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state_path = folder / "state.safetensors"
        self.best_path = folder / "best.safetensors"

    def begin(self, recipe: Recipe) -> None:
        """Makes the folder and notes the effective recipe.

        Raises:
            UsageError: the folder holds a run already.
            FileError: it cannot be written.
        """
        if self.state_path.exists() or self.best_path.exists():
            raise UsageError(f"{self.folder} holds a run already: add --resume to go on, or name another --out")
        with written_whole(self.folder / "recipe.json") as path:
            path.write_bytes(msgspec.json.format(msgspec.json.encode(recipe)))

    def log(self, kind: str, **values: Any) -> None:
        """Adds a line to `log.jsonl`."""
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"event": kind, **values}) + "\n")

    def save_state(self, network: nn.Module, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
        """Writes weights, running statistics, momentum and progress, whole or not at all."""
        tensors = {_NETWORK + name: value for name, value in network.state_dict().items()}
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        for parameter, state in optimiser.state.items():
            if state.get("momentum_buffer") is not None:
                tensors[_MOMENTUM + names[id(parameter)]] = state["momentum_buffer"]
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        with written_whole(self.state_path) as path:
            path.write_bytes(save(plain, {_STATE_KEY: msgspec.json.encode(progress).decode()}))

    def read_progress(self) -> Progress:
        """Where the run stood when its state was last written.

        Raises:
            UsageError: there is nothing to resume.
            CheckpointError: the state is damaged.
        """
        if not self.state_path.is_file():
            raise UsageError(f"{self.folder} holds no training state to resume; leave --resume away to begin")
        try:
            with safe_open(self.state_path, framework="pt") as opened:
                return msgspec.json.decode((opened.metadata() or {})[_STATE_KEY], type=Progress)
        except (SafetensorError, OSError, KeyError, msgspec.MsgspecError) as error:
            raise CheckpointError(self.state_path, f"is damaged or no training state ({error})") from None

    def read_weights(self) -> Arrays:
        """Weights and running statistics of the training state, by name, as float32 arrays."""
        with safe_open(self.state_path, framework="numpy") as opened:
            names = [name for name in opened.keys() if name.startswith(_NETWORK)]
            return {name.removeprefix(_NETWORK): opened.get_tensor(name) for name in names}

    def restore(self, network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Fills network and optimiser from the training state, in place.

        Raises:
            CheckpointError: the state is of another network or class count.
        """
        with safe_open(self.state_path, framework="pt") as opened:
            tensors: dict[str, Tensor] = {name: opened.get_tensor(name) for name in opened.keys()}
        own = network.state_dict()
        for name, value in own.items():
            if _NETWORK + name not in tensors or tensors[_NETWORK + name].shape != value.shape:
                raise CheckpointError(
                    self.state_path, f"does not fit the network ({name}); resume with its own data and recipe"
                )
        network.load_state_dict(
            {name.removeprefix(_NETWORK): value for name, value in tensors.items() if name.startswith(_NETWORK)}
        )
        for name, parameter in network.named_parameters():
            if _MOMENTUM + name in tensors:
                buffer = torch.empty_like(parameter).copy_(tensors[_MOMENTUM + name])
                optimiser.state[parameter]["momentum_buffer"] = buffer
