"""Exported OpenVINO files, NAME.xml and NAME.bin with a header and a digest of both: written, read, executed."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np

from fassd.core.arrays import Images
from fassd.core.checkpoint import METADATA_KEY, Header, header_from
from fassd.core.digest import NO_DIGEST, has_digest, with_digest
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.files import cannot_be_written
from fassd.networks.specs import network_by_name
from fassd.runtimes.exported import Array, LayerMaps
from fassd.runtimes.openvino_core import compile_model
from fassd.runtimes.openvino_graph import logits_of
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.runtimes.runtime import reason_of

op = openvino.opset13
_DIGEST_KEY = f"{METADATA_KEY}_digest"
_STATED = re.compile(rf'<{_DIGEST_KEY} value="([0-9a-f]{{64}})"'.encode())
_SUMMANDS = ("Constant", "Convolution", "Interpolate", "VariadicSplit")
_FOREIGN = "is a model without a fassd header; only files of 'fassd export' have one"


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
    # Of graph, header and weights: a changed dilation or exchanged class names would give wrong class maps silently.
    path.write_bytes(with_digest(path.read_bytes(), path.with_suffix(".bin").read_bytes()))


def read_model(path: Path) -> tuple[openvino.Model, Header]:
    """An exported model and its header.

    Raises:
        CheckpointError: missing, damaged, or not exported by fassd.
    """
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise CheckpointError(path, f"its weights, {weights.name}, are not beside it; keep the two together")
    _check_intact(path, weights)
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as error:
        problem = f"this version of OpenVINO cannot read it ({reason_of(error)}); export it again"
        raise CheckpointError(path, problem) from None
    if not model.has_rt_info([METADATA_KEY]):
        raise CheckpointError(path, _FOREIGN)
    try:
        header = header_from(msgspec.json.decode(model.get_rt_info([METADATA_KEY]).astype(str)))
        network_by_name(header.network)
        logits_of(model)
        images = model.inputs[0]
        if len(model.inputs) != 1 or images.get_element_type() != openvino.Type.u8 or len(images.partial_shape) != 4:
            raise UsageError("it does not take 8-bit images")
    except (msgspec.MsgspecError, UsageError, ValueError) as error:
        raise CheckpointError(path, f"its contents are damaged or from another version ({error})") from None
    return model, header


def _check_intact(path: Path, weights: Path) -> None:
    """Verifies the digest before OpenVINO reads the file: OpenVINO would try every other format that it knows."""
    content = path.read_bytes()
    if b"<net " not in content[:1024]:
        raise CheckpointError(path, "is not an OpenVINO model; name an .xml that 'fassd export' wrote")
    stated = _STATED.search(content)
    if stated is None:
        complete = content.rstrip().endswith(b"</net>")
        raise CheckpointError(path, _FOREIGN if complete else "is damaged, its end is missing; export it again")
    if not has_digest(content, stated[1].decode(), weights.read_bytes()):
        raise CheckpointError(path, f"it or {weights.name} is damaged, or they do not belong together; export it again")


def is_quantized(model: openvino.Model) -> bool:
    """Whether convolutions of the model compute in int8."""
    return any(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


class OpenVINOFile:
    """An OpenVINO model executed as it is: one compiled graph for every size.

    Args:
        model: as read or built.
        precision: of what is not quantized, "float32" or "bfloat16".
    """

    def __init__(self, model: openvino.Model, precision: str) -> None:
        self.model = model
        self._precision = precision
        self._compiled = compile_model(model, precision)

    def run(self, images: Images) -> Array:
        """See `ExportedFile`."""
        output: Array = self._compiled(images)[0]
        return output

    def layers(self, images: Images) -> LayerMaps:
        """See `ExportedFile`."""
        model = self.model.clone()
        layers = {
            node.get_friendly_name(): _completed(node.output(0))
            for node in model.get_ordered_ops()
            if node.get_type_name() == "Convolution"
        }
        tapped = openvino.Model([op.result(value) for value in layers.values()], model.get_parameters(), "layers")
        # Otherwise int8 graphs would give their inner maps in scaled units.
        found = compile_model(tapped, self._precision, LP_TRANSFORMS_MODE="NO")(images)
        return {layer: np.array(found[place]) for place, layer in enumerate(layers)}


def _completed(value: openvino.Output) -> openvino.Output:
    """Where a convolution is complete: after the additions of its bias and of its other half."""
    reader = _only_reader(value)
    if reader is not None and reader.get_type_name() == "FakeQuantize":
        # Rounded before the addition; the sum is the layer's output.
        behind = _only_reader(reader.output(0))
        value, reader = (reader.output(0), behind) if behind is not None else (value, None)
    if reader is None or reader.get_type_name() != "Add":
        return value
    others = [reader.input_value(place) for place in (0, 1) if reader.input_value(place) != value]
    return _completed(reader.output(0)) if all(map(_is_summand, others)) else value


def _only_reader(value: openvino.Output) -> openvino.Node | None:
    readers = list(value.get_target_inputs())
    return readers[0].get_node() if len(readers) == 1 else None


def _is_summand(value: openvino.Output) -> bool:
    node = value.get_node()
    while node.get_type_name() in ("FakeQuantize", "Convert"):
        node = node.input_value(0).get_node()
    return node.get_type_name() in _SUMMANDS
