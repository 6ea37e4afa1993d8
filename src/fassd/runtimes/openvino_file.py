"""Exported OpenVINO files: a pair NAME.xml and NAME.bin, the header and the weights' digest inside."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from fassd.core.checkpoint import METADATA_KEY, Header
from fassd.core.errors import CheckpointError, UsageError
from fassd.networks.table import network_by_name
from fassd.runtimes.openvino_graph import logits_of
from fassd.runtimes.quiet import openvino

_DIGEST_KEY = f"{METADATA_KEY}_weights"


def write_model(model: openvino.Model, path: Path) -> None:
    """Writes a model of `openvino_graph` as `path` and, beside it, its .bin.

    Args:
        model: with its header.
        path: ending in .xml.
    """
    openvino.save_model(model, path, compress_to_fp16=False)
    # Only the file on disk tells what its weights are; writing it once more changes none of them.
    model.set_rt_info(_digest(path.with_suffix(".bin")), [_DIGEST_KEY])
    openvino.save_model(model, path, compress_to_fp16=False)


def read_model(path: Path) -> tuple[openvino.Model, Header]:
    """An exported model and what it says of itself.

    Raises:
        CheckpointError: missing, damaged, or not exported by fassd.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise CheckpointError(path, f"its weights, {weights.name}, are not beside it; keep the two together")
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-120:]
        raise CheckpointError(path, f"is no OpenVINO model, or a damaged one ({reason}); export it again") from None
    if not (model.has_rt_info([METADATA_KEY]) and model.has_rt_info([_DIGEST_KEY])):
        raise CheckpointError(path, "is a model without a fassd header; only what 'fassd export' wrote says enough")
    if model.get_rt_info([_DIGEST_KEY]).astype(str) != _digest(weights):
        raise CheckpointError(path, f"{weights.name} is damaged or belongs to another model; export it again")
    return model, _header(model, path)


def _header(model: openvino.Model, path: Path) -> Header:
    try:
        header = msgspec.json.decode(model.get_rt_info([METADATA_KEY]).astype(str), type=Header)
        network_by_name(header.network)
        logits_of(model)
        images = model.inputs[0]
        if len(model.inputs) != 1 or images.get_element_type() != openvino.Type.u8 or len(images.partial_shape) != 4:
            raise UsageError("it does not take 8-bit images")
    except (msgspec.MsgspecError, UsageError, ValueError) as error:
        raise CheckpointError(path, f"its contents are damaged or from another version ({error})") from None
    return header


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def is_quantised(model: openvino.Model) -> bool:
    """Whether convolutions of the model compute in int8."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())
