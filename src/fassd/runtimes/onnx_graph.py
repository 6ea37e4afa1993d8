"""A network as an ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fassd.core.checkpoint import METADATA_KEY, Arrays, Header
from fassd.networks.graph import CLASS_MAP, IMAGES, LOGITS, Array, Convolution, Graph
from fassd.networks.specs import network_by_name

_OPSET = 18
# The oldest version with this operation set, so that old programs can read the file.
_IR_VERSION = 8


class ONNXOperations:
    """ONNX's operations; a map is the name of a value. Sizes are computed in the graph."""

    # ONNX Runtime packs channels by 8 or 16 itself; sharing convolutions saved no time.
    lanes = 1

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def center(self, images: str, mean: Array) -> str:
        """See `Operations`."""
        pixels = self._node("Cast", [images], to=TensorProto.FLOAT)
        # A row of means: subtracting contiguous rows is several times as fast as three values at a time.
        row = self._node("Expand", [self._floats(mean), self._node("Shape", [images], start=2)])
        centered = self._node("Sub", [pixels, row])
        return self._node("Transpose", [centered], perm=[0, 3, 1, 2])

    def convolve(self, maps: str, convolution: Convolution) -> str:
        """See `Operations`."""
        inputs = [maps, self._floats(convolution.kernel, f"{convolution.name}.kernel")]
        if convolution.bias is not None:
            inputs.append(self._floats(convolution.bias, f"{convolution.name}.bias"))
        return self._node(
            "Conv",
            inputs,
            convolution.name,
            strides=[convolution.stride] * 2,
            pads=[*convolution.padding, *convolution.padding],
            dilations=list(convolution.dilation),
        )

    def relu(self, maps: str) -> str:
        """See `Operations`."""
        return self._node("Relu", [maps])

    def prelu(self, maps: str, weights: Array) -> str:
        """See `Operations`."""
        return self._node("PRelu", [maps, self._floats(weights.reshape(-1, 1, 1))])

    def scale(self, maps: str, factors: Array, shifts: Array) -> str:
        """See `Operations`."""
        scaled = self._node("Mul", [maps, self._floats(factors.reshape(-1, 1, 1))])
        return self._node("Add", [scaled, self._floats(shifts.reshape(-1, 1, 1))])

    def add(self, one: str, other: str) -> str:
        """See `Operations`."""
        return self._node("Add", [one, other])

    def concatenate(self, maps: Sequence[str]) -> str:
        """See `Operations`."""
        return self._node("Concat", list(maps), axis=1)

    def split(self, maps: str, widths: Sequence[int]) -> Sequence[str]:
        """See `Operations`."""
        ends = np.cumsum(widths)
        return [
            self._node("Slice", [maps, self._integers(end - width), self._integers(end), self._integers(1)])
            for end, width in zip(ends, widths, strict=True)
        ]

    def halve(self, maps: str) -> str:
        """See `Operations`."""
        return self._node("AveragePool", [maps], kernel_shape=[2, 2], strides=[2, 2])

    def upsample(self, maps: str, like: str) -> str:
        """See `Operations`."""
        return self.resize(maps, self._node("Shape", [like], start=2))

    def mean(self, maps: str) -> str:
        """See `Operations`."""
        return self._node("GlobalAveragePool", [maps])

    def resize(self, maps: str, size: str) -> str:
        """Maps upsampled to a (height, width) that is computed in the graph."""
        outer = self._node("Shape", [maps], start=0, end=2)
        sizes = self._node("Concat", [outer, size], axis=0)
        return self._node(
            "Resize", [maps, "", "", sizes], mode="linear", coordinate_transformation_mode="align_corners"
        )

    def argmax_class(self, maps: str) -> str:
        """The argmax channel at each pixel, uint8 (N, H, W); of equal values the first."""
        return self._node("Cast", [self._node("ArgMax", [maps], axis=1, keepdims=0)], to=TensorProto.UINT8)

    def named(self, value: str, name: str) -> str:
        """The same value under the name of an output."""
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        return name

    def size_of(self, images: str) -> str:
        """(height, width) of (N, H, W, 3) images."""
        return self._node("Shape", [images], start=1, end=3)

    def _node(self, kind: str, inputs: list[str], name: str | None = None, **attributes: Any) -> str:
        name = name or f"{kind.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}.out"], name, **attributes))
        return f"{name}.out"

    def _floats(self, values: Array, name: str | None = None) -> str:
        return self._constant(np.ascontiguousarray(values, np.float32), name)

    def _integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64), None)

    def _constant(self, values: Array, name: str | None) -> str:
        name = name or f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name


def build_model(header: Header, arrays: Arrays, ending: str = CLASS_MAP) -> onnx.ModelProto:
    """A network as a model for uint8 (N, H, W, 3) RGB images of any size, the header inside.

    Args:
        header: of a complete network.
        arrays: all its weights, in the right shapes.
        ending: LOGITS for float32 (N, classes, h, w) coarse logits; CLASS_MAP for uint8 (N, H, W) class maps, of
            equal logits the lowest class.
    """
    operations = ONNXOperations()
    logits = Graph(operations, network_by_name(header.network), arrays, header.normalization).build(IMAGES)
    operations.named(logits, LOGITS)
    output = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["n", "classes", "h", "w"])
    if ending == CLASS_MAP:
        upsampled = operations.resize(LOGITS, operations.size_of(IMAGES))
        operations.named(operations.argmax_class(upsampled), CLASS_MAP)
        output = helper.make_tensor_value_info(CLASS_MAP, TensorProto.UINT8, ["n", "height", "width"])
    images = helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, ["n", "height", "width", 3])
    model = helper.make_model(
        helper.make_graph(operations.nodes, header.network, [images], [output], operations.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="fassd",
    )
    helper.set_model_props(model, {METADATA_KEY: msgspec.json.encode(header).decode()})
    return model


def up_to_logits(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model cut at its logits, whatever follows them."""
    needed, nodes = {LOGITS}, []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
    output = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["n", "classes", "h", "w"])
    constants = [constant for constant in model.graph.initializer if constant.name in needed]
    graph = helper.make_graph(nodes[::-1], model.graph.name, model.graph.input, [output], constants)
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    cut.graph.CopyFrom(graph)
    return cut
