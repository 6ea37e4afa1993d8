"""A checkpoint: weights and the header that explains them, in one safetensors file. No PyTorch, no code inside.

The file contains a digest of its content, so that damaged weights are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fassd.core.digest import NO_DIGEST, has_digest, with_digest
from fassd.core.errors import CheckpointError
from fassd.core.files import written_whole
from fassd.core.labels import LabelSpace
from fassd.core.renamed import HEADER_KEYS, recipe_with_new_keys, with_new_keys

METADATA_KEY = "fassd"
STATE_KEY = "fassd-training-state"
"""Metadata key of training states, which are not checkpoints: the progress of the run."""
_DIGEST_KEY = "sha256"

Arrays = dict[str, np.ndarray[Any, Any]]


class Normalization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The normalization of 8-bit pixels: (value / 255 - mean) / std, channel by channel.

    Attributes:
        channel_order: order of the network's input planes; mean and std follow it.
        mean: of each plane, on the scale 0..1.
        std: of each plane, on the scale 0..1.
    """

    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# The usual ImageNet constants; the published networks were trained on planes in the order blue, green, red.
RGB_NORMALIZATION = Normalization("rgb", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
BGR_NORMALIZATION = Normalization("bgr", RGB_NORMALIZATION.mean[::-1], RGB_NORMALIZATION.std[::-1])


class Score(msgspec.Struct, frozen=True):
    """A measured score as fractions 0..1: on which data, the command that repeats it, and its conventions."""

    data: str
    split: str
    images: int
    mean_iou: float
    pixel_accuracy: float | None
    classes: int
    command: str
    conventions: str = ""


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata of a checkpoint, JSON under the key `fassd`, together with the digest of the file.

    Attributes:
        content: a network, or only its encoder (for `--encoder-weights`).
        network: name of the row.
        alpha: the DAPF's divisor.
        label_space: classes in the order of the outputs; None in an encoder-only file.
        normalization: of its input.
        input_side: prediction shrinks images with a longer side to this many pixels; None: no limit.
        recipe: the values it was trained with; None if unknown.
        data: the data sets it was trained on, with their counts.
        scores: measured with exactly these weights.
        terms: what the owners of the data allow for the weights.
        origin: of the weights, in a sentence.
        version: of the fassd that wrote the file.
    """

    content: Literal["network", "encoder"] = "network"
    network: str
    alpha: int = 2
    label_space: LabelSpace | None
    normalization: Normalization
    input_side: int | None = None
    recipe: dict[str, Any] | None = None
    data: list[dict[str, Any]] = []
    scores: list[Score] = []
    terms: str = ""
    origin: str = ""
    version: str = ""


def header_from(values: Any) -> Header:
    """A header from its JSON values, as this or an earlier version wrote them.

    Raises:
        msgspec.ValidationError: they are not a header.
    """
    renamed = with_new_keys(values, HEADER_KEYS)
    if isinstance(renamed, dict) and isinstance(renamed.get("recipe"), dict):
        renamed["recipe"] = recipe_with_new_keys(renamed["recipe"])
    return msgspec.convert(renamed, Header)


@dataclass(frozen=True)
class Checkpoint:
    """Weights by name, float16 or float32, with their header."""

    header: Header
    arrays: Arrays


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint with its digest, atomically.

    Raises:
        FileError: the folder cannot be written.
    """
    # The digest comes first, so that no other text can be mistaken for its placeholder.
    values = {_DIGEST_KEY: NO_DIGEST} | msgspec.to_builtins(checkpoint.header)
    metadata = {METADATA_KEY: msgspec.json.encode(values).decode()}
    contiguous = {name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}
    with written_whole(path) as temporary:
        # safetensors' own writer ignores the user's file mode.
        temporary.write_bytes(with_digest(save(contiguous, metadata)))


def read_header(path: Path) -> Header:
    """Only the header; see `read_checkpoint`."""
    return _decode_header(path, _checked(path, _open_safetensors(path)))


def read_checkpoint(path: Path) -> Checkpoint:
    """Header and weights. Files without a digest, from the first versions of fassd, are read unchecked.

    Raises:
        CheckpointError: missing, damaged, or not written by fassd.
    """
    opened = _open_safetensors(path)
    header = _decode_header(path, _checked(path, opened))
    try:
        return Checkpoint(header, {name: opened.get_tensor(name) for name in opened.keys()})
    except (SafetensorError, AttributeError, TypeError, ValueError) as error:
        # AttributeError: a dtype that NumPy lacks, such as bfloat16 or float8.
        raise CheckpointError(path, f"its weights cannot be read ({error}); get the file again") from None


def read_digest(path: Path) -> str | None:
    """The digest of an intact checkpoint, 64 hexadecimal digits; None if it has none.

    Raises:
        CheckpointError: missing, damaged, or not written by fassd.
    """
    digest: str | None = _checked(path, _open_safetensors(path)).get(_DIGEST_KEY)
    return digest


def is_training_state(path: Path) -> bool:
    """Whether a safetensors file is a training state.

    Raises:
        CheckpointError: missing, damaged or of another format.
    """
    return STATE_KEY in (_open_safetensors(path).metadata() or {})


def _open_safetensors(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(path, "there is no such file; give a .safetensors checkpoint or a shipped name")
    try:
        return safe_open(path, framework="numpy")
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            path,
            f"not a safetensors file, or a damaged one ({error}); checkpoints of other projects are read by "
            "'fassd convert'",
        ) from None


def _checked(path: Path, opened: Any) -> dict[str, Any]:
    """The values of a checkpoint's header, its digest included and verified."""
    metadata = opened.metadata() or {}
    if STATE_KEY in metadata:
        raise CheckpointError(path, "is a training state, for 'fassd train --resume'; name best.safetensors of its run")
    if METADATA_KEY not in metadata:
        raise CheckpointError(path, "a safetensors file without a fassd header; only fassd's own files say enough")
    try:
        values = msgspec.json.decode(metadata[METADATA_KEY], type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError) as error:
        raise CheckpointError(path, f"its fassd header is damaged ({error}); get the file again") from None
    if _DIGEST_KEY in values and not has_digest(path.read_bytes(), str(values[_DIGEST_KEY])):
        raise CheckpointError(path, "is damaged: its content is not that of its digest; get the file again")
    return values


def _decode_header(path: Path, values: dict[str, Any]) -> Header:
    try:
        return header_from({key: value for key, value in values.items() if key != _DIGEST_KEY})
    except (msgspec.MsgspecError, ValueError) as error:
        raise CheckpointError(path, f"its fassd header is damaged or from another version ({error})") from None
