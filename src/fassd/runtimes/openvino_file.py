"""Exported OpenVINO files: a pair NAME.xml and NAME.bin, the header and a digest of both inside."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from fassd.core.checkpoint import METADATA_KEY, Header, header_from
from fassd.core.digest import NO_DIGEST, has_digest, with_digest
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.files import cannot_be_written
from fassd.networks.specs import network_by_name
from fassd.runtimes.openvino_graph import logits_of
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.runtimes.runtime import reason_of

_DIGEST_KEY = f"{METADATA_KEY}_digest"
_STATED = re.compile(rf'<{_DIGEST_KEY} value="([0-9a-f]{{64}})"'.encode())
_FOREIGN = "is a model without a fassd header; only what 'fassd export' wrote says enough"


def write_model(model: openvino.Model, path: Path) -> None:
    """Writes a model of `openvino_graph` as `path` and, beside it, its .bin.

    Args:
        model: with its header.
        path: ending in .xml.

    Raises:
        FileError: the folder cannot be written.
    """
    model.set_rt_info(NO_DIGEST, [_DIGEST_KEY])
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise cannot_be_written(path, reason_of(error)) from None
    # Graph, header and weights alike: a changed dilation or exchanged names would answer something else, silently.
    path.write_bytes(with_digest(path.read_bytes(), path.with_suffix(".bin").read_bytes()))


def read_model(path: Path) -> tuple[openvino.Model, Header]:
    """An exported model and what it says of itself.

    Raises:
        CheckpointError: missing, damaged, or not exported by fassd.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise CheckpointError(path, f"its weights, {weights.name}, are not beside it; keep the two together")
    _check_whole(path)
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        problem = f"this version of OpenVINO cannot read it ({reason_of(error)}); export it again"
        raise CheckpointError(path, problem) from None
    if not model.has_rt_info([METADATA_KEY]):
        raise CheckpointError(path, _FOREIGN)
    return model, _header(model, path)


def _check_whole(path: Path) -> None:
    """Before OpenVINO looks at it, which would try whatever other formats it knows."""
    content = path.read_bytes()
    if b"<net " not in content[:1024]:
        raise CheckpointError(path, "is no OpenVINO model; name an .xml that 'fassd export' wrote")
    stated = _STATED.search(content)
    if stated is None:
        whole = content.rstrip().endswith(b"</net>")
        raise CheckpointError(path, _FOREIGN if whole else "is damaged, its end is missing; export it again")
    weights = path.with_suffix(".bin")
    if not has_digest(content, stated[1].decode(), weights.read_bytes()):
        raise CheckpointError(path, f"it or {weights.name} is damaged, or they do not belong together; export it again")


def _header(model: openvino.Model, path: Path) -> Header:
    try:
        header = header_from(msgspec.json.decode(model.get_rt_info([METADATA_KEY]).astype(str)))
        network_by_name(header.network)
        logits_of(model)
        images = model.inputs[0]
        if len(model.inputs) != 1 or images.get_element_type() != openvino.Type.u8 or len(images.partial_shape) != 4:
            raise UsageError("it does not take 8-bit images")
    except (msgspec.MsgspecError, UsageError, ValueError) as error:
        raise CheckpointError(path, f"its contents are damaged or from another version ({error})") from None
    return header


def is_quantized(model: openvino.Model) -> bool:
    """Whether convolutions of the model compute in int8."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())
