"""Networks in int8 for ONNX Runtime, by its own post-training quantization, calibrated on the user's images.

Every value between two operations is rounded, not only the inputs of convolutions: ONNX Runtime computes a convolution
in float32 if its result is not rounded (docs/int8.md). Kernels use half of int8's range, for processors without VNNI:
see `quantize`. The classifier stays in float32: rounding its logits costs accuracy and saves no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import helper

from fassd.core.arrays import Images
from fassd.core.checkpoint import METADATA_KEY
from fassd.core.errors import UsageError
from fassd.networks.graph import IMAGES
from fassd.runtimes.onnxruntime_without_telemetry import onnxruntime

# By name, so that sorting imports cannot move it before the line that switches telemetry off.
quantization = import_module(f"{onnxruntime.__name__}.quantization")

_ROUNDED = ["Conv", "Concat", "Add", "AveragePool", "Relu", "Resize", "Slice"]
_IN_FLOAT32 = ["classifier"]
# Declares the graph prepared; otherwise the library prints advice.
_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}


def quantize(model: onnx.ModelProto, images: Sequence[Images]) -> onnx.ModelProto:
    """Quantizes a model to int8, with ONNX's operations QuantizeLinear and DequantizeLinear.

    Args:
        model: of `onnx_graph.build_model`, in float32; it is not changed.
        images: to calibrate on, (1, H, W, 3) uint8 each, of any sizes.

    Returns:
        A model with the inputs, outputs and header of `model`.

    Raises:
        UsageError: there are no images.
    """
    if not images:
        raise UsageError("there are no images to calibrate on; name a data set or a folder of images")
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(prepared, metadata | _PREPARED)
    with TemporaryDirectory() as folder:
        made = Path(folder) / "net.onnx"
        quantization.quantize_static(
            prepared,
            made,
            _Reader(images),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=_ROUNDED,
            nodes_to_exclude=_IN_FLOAT32,
        )
        quantized = onnx.load(made)
    helper.set_model_props(quantized, {METADATA_KEY: metadata[METADATA_KEY]})
    quantized.producer_name = model.producer_name
    return quantized


def by_arithmetic(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """The names of the convolutions in int8, and of the others, in the order of computation."""
    unpacked = {value for node in model.graph.node if node.op_type == "DequantizeLinear" for value in node.output}
    found = {node.name: node.input[1] in unpacked for node in model.graph.node if node.op_type == "Conv"}
    return [name for name, inside in found.items() if inside], [name for name, inside in found.items() if not inside]


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined] # a class without types
    """Gives the images one by one."""

    def __init__(self, images: Sequence[Images]) -> None:
        self._left: Iterator[Images] = (images[place] for place in range(len(images)))

    def get_next(self) -> dict[str, Images] | None:
        """The next image under the name of the graph's input; None after the last."""
        image = next(self._left, None)
        return None if image is None else {IMAGES: image}
