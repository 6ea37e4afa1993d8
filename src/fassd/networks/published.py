"""Reads the authors' files (FASSD-Net and FC-HarDNet repositories) without running code, and renames their weights."""

from __future__ import annotations

import pickletools
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fassd.core.errors import CheckpointError

# (their name, ours); the first pattern that matches the start of a key decides.
_RENAMINGS: tuple[tuple[str, str], ...] = (
    (r"base\.([0-3])\.", r"encoder.stem.\1."),
    (r"DAPF\.conv1x1\.", "context.near.conv."),
    (r"DAPF\.bn1x1\.", "context.near.norm."),
    (r"DAPF\.pyBranch2\.", "context.far.0."),
    (r"DAPF\.pyBranch3\.", "context.far.1."),
    (r"DAPF\.pyBranch4\.", "context.far.2."),
    (r"DAPF\.conv1\.", "context.fuse.conv."),
    (r"DAPF\.bn1\.", "context.fuse.norm."),
    (r"conv1x1_up\.(\d)\.", r"decoder.\1.reduce."),
    (r"mda\.(\d)\.bn_relu_1\.", r"decoder.\1.refine.enter."),
    (r"mda\.(\d)\.conv3x3\.", r"decoder.\1.refine.shrink."),
    (r"mda\.(\d)\.parallel_conv3x3\.", r"decoder.\1.refine.detail."),
    (r"mda\.(\d)\.parallel_ddconv3x1\.", r"decoder.\1.refine.context.0."),
    (r"mda\.(\d)\.parallel_ddconv1x3\.", r"decoder.\1.refine.context.1."),
    (r"mda\.(\d)\.bn_relu_2\.", r"decoder.\1.refine.join."),
    (r"mda\.(\d)\.conv1x1\.conv\.", r"decoder.\1.refine.expand."),
    (r"denseBlocksUp\.(\d)\.", r"decoder.\1.block."),
    (r"finalConv\.", "classifier."),
)
# For the rest of a key.
_PART_RENAMINGS: tuple[tuple[str, str], ...] = (
    (r"atrous_conv3x1\.", "0.conv."),
    (r"bn3x1\.", "0.norm."),
    (r"atrous_conv1x3\.", "1.conv."),
    (r"bn1x3\.", "1.norm."),
    (r"bn_prelu\.", ""),
    (r"\bbn\.", "norm."),
    (r"\bacti\.", "activation."),
)
_COUNTER = "num_batches_tracked"
_LARGEST_FACT = 1e9
_CALLS = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"}


def our_name(key: str) -> str:
    """Our name for a key of the authors' state dicts; unknown keys are unchanged."""
    stage = re.match(r"base\.(\d+)\.", key)
    if stage and int(stage[1]) > 3:
        # Stages repeat block, transition, pooling from entry 4 on.
        number, part = divmod(int(stage[1]) - 4, 3)
        return f"encoder.stages.{number}.{('block', 'transition', 'pooling')[part]}.{key[stage.end() :]}"
    for pattern, replacement in _RENAMINGS:
        renamed, found = re.subn("^" + pattern, replacement, key)
        if found:
            for part_pattern, part_replacement in _PART_RENAMINGS:
                renamed = re.sub(part_pattern, part_replacement, renamed)
            return renamed
    return key


@dataclass(frozen=True)
class PublishedFile:
    """The content of one of the authors' files.

    Attributes:
        kind: "network", or "encoder" for an ImageNet encoder alone.
        arrays: float32 weights by our names, without the batch counters of BatchNorm layers.
        facts: epoch and best mean IoU, if the file has them.
    """

    kind: str
    arrays: dict[str, np.ndarray[Any, Any]]
    facts: dict[str, float]


def read_published(path: Path) -> PublishedFile:
    """Reads a best-model, resume or ImageNet encoder file, in PyTorch's old container or in its zip format.

    Raises:
        CheckpointError: not such a file, damaged, or one that would run code.
    """
    content = _load_without_code(path)
    if not isinstance(content, dict):
        raise CheckpointError(path, f"holds a {type(content).__name__}, not the state of a network")
    state = content.get("model_state", content)
    if not isinstance(state, dict) or not state or not all(map(_is_weight, state.items())):
        raise CheckpointError(path, "holds neither 'model_state' nor a bare state of weights; is it from FASSD-Net?")
    stated = ((key, content.get(key)) for key in ("epoch", "best_iou"))
    facts = {
        key: float(value) for key, value in stated if isinstance(value, int | float) and abs(value) < _LARGEST_FACT
    }
    keys = {key.removeprefix("module."): value for key, value in state.items()}
    encoder = all(re.match(r"\d+\.", key) for key in keys)
    arrays = {
        our_name(f"base.{key}" if encoder else key): value.detach().to(torch.float32).numpy()
        for key, value in keys.items()
        if not key.endswith(_COUNTER)
    }
    return PublishedFile("encoder" if encoder else "network", arrays, facts)


def _is_weight(item: tuple[object, object]) -> bool:
    name, value = item
    return isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta


def _numpy_names() -> list[Any]:
    """The NumPy names that the authors' `best_iou` needs, also under the module name of older versions."""
    from numpy._core.multiarray import scalar

    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, type(np.dtype(np.float64))]


def _load_without_code(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(path, "there is no such file")
    if path.suffix == ".safetensors":
        # torch.load would read one, but its header would be lost.
        raise CheckpointError(path, "is a safetensors file already; fassd's own need no conversion")
    try:
        with torch.serialization.safe_globals(_numpy_names()), warnings.catch_warnings():
            # PyTorch warns about its old storages in files from 2020.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch.load raises errors of any class for a damaged or hostile file.
        raise CheckpointError(path, _refusal(path, error)) from None


def _refusal(path: Path, error: Exception) -> str:
    wanted = re.search(r"(?:GLOBAL|Unsupported class)\s+[`']?([\w.]+)", str(error))
    if wanted or _calls_something(path):
        what = f" ('{wanted[1]}')" if wanted else ""
        return f"wants to run code{what} when loaded, so it is refused; ask its author for plain weights"
    return f"not a PyTorch checkpoint, or a damaged one ({type(error).__name__}); get it again"


def _calls_something(path: Path) -> bool:
    """Whether a file is a bare pickle with calls in it. Its instructions are listed, not executed."""
    try:
        with path.open("rb") as stream:
            # All of them, because a text may begin like a pickle.
            return not _CALLS.isdisjoint([instruction.name for instruction, _, _ in pickletools.genops(stream)])
    except (ValueError, OSError, EOFError, UnicodeDecodeError):
        return False
