"""A network as an OpenVINO model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np

from fassd.core.checkpoint import METADATA_KEY, Arrays, Header
from fassd.core.errors import UsageError
from fassd.networks.graph import CLASS_MAP, IMAGES, LOGITS, Array, Convolution, Graph
from fassd.networks.specs import network_by_name
from fassd.runtimes.openvino_without_telemetry import openvino

op = openvino.opset13
Node: TypeAlias = openvino.Node | openvino.Output


_CHANNELS_LAST = (0, 2, 3, 1)


class OpenVINOOperations:
    """OpenVINO's operations. Sizes are computed in the graph, so that one model takes images of every size."""

    # Outputs in one 512-bit register. bfloat16 is summed in float32, so it has as many.
    lanes = 16

    def center(self, images: Node, mean: Array) -> Node:
        """See `Operations`."""
        centered = op.subtract(op.convert(images, "f32"), _constant(mean))
        return op.transpose(centered, _integers(0, 3, 1, 2))

    def convolve(self, maps: Node, convolution: Convolution) -> Node:
        """See `Operations`."""
        padding, dilation = list(convolution.padding), list(convolution.dilation)
        strides = [convolution.stride] * 2
        kernel = _constant(convolution.kernel, f"{convolution.name}.kernel")
        result = op.convolution(maps, kernel, strides, padding, padding, dilation, name=convolution.name)
        return result if convolution.bias is None else op.add(result, _constant(_channels(convolution.bias)))

    def relu(self, maps: Node) -> Node:
        """See `Operations`."""
        return op.relu(maps)

    def prelu(self, maps: Node, weights: Array) -> Node:
        """See `Operations`."""
        return op.prelu(maps, _constant(weights))

    def scale(self, maps: Node, factors: Array, shifts: Array) -> Node:
        """See `Operations`."""
        return op.add(op.multiply(maps, _constant(_channels(factors))), _constant(_channels(shifts)))

    def add(self, one: Node, other: Node) -> Node:
        """See `Operations`."""
        return op.add(one, other)

    def concatenate(self, maps: Sequence[Node]) -> Node:
        """See `Operations`."""
        return op.concat(list(maps), 1)

    def split(self, maps: Node, widths: Sequence[int]) -> Sequence[Node]:
        """See `Operations`."""
        parts: Sequence[Node] = op.variadic_split(maps, _integers(1), _integers(*widths)).outputs()
        return parts

    def halve(self, maps: Node) -> Node:
        """See `Operations`."""
        return op.avg_pool(maps, [2, 2], [0, 0], [0, 0], [2, 2], True)

    def upsample(self, maps: Node, like: Node) -> Node:
        """See `Operations`."""
        return _upsampled(maps, op.slice(op.shape_of(like), _integers(2), _integers(4), _integers(1)))

    def mean(self, maps: Node) -> Node:
        """See `Operations`."""
        return op.reduce_mean(maps, _integers(2, 3), True)


def build_logits(header: Header, arrays: Arrays) -> openvino.Model:
    """A network up to its coarse logits.

    Args:
        header: of a complete network.
        arrays: all its weights, in the right shapes.

    Returns:
        uint8 (N, H, W, 3) RGB images of any size to float32 (N, classes, h, w) logits; the header inside.
    """
    images = op.parameter([-1, -1, -1, 3], np.uint8, name=IMAGES)
    images.output(0).set_names({IMAGES})
    graph = Graph(OpenVINOOperations(), network_by_name(header.network), arrays, header.normalization)
    model = _model(graph.build(images), images, LOGITS)
    model.set_rt_info(msgspec.json.encode(header).decode(), [METADATA_KEY])
    return model


def with_class_map(model: openvino.Model) -> openvino.Model:
    """The model with upsampling and argmax after its logits.

    Returns:
        uint8 (N, H, W, 3) images to uint8 (N, H, W) class maps; of equal logits the lowest class wins.
    """
    images, logits = model.get_parameters()[0], logits_of(model)
    size = op.slice(op.shape_of(images), _integers(1), _integers(3), _integers(1))
    best = op.topk(_upsampled(logits, size), op.constant(1), 1, "max", "index", stable=True).output(1)
    finished = _model(op.convert(op.squeeze(best, _integers(1)), "u8"), images, CLASS_MAP)
    finished.set_rt_info(model.get_rt_info([METADATA_KEY]).astype(str), [METADATA_KEY])
    return finished


def with_channels_last(model: openvino.Model) -> openvino.Model:
    """The model up to its logits, as (N, h, w, classes). This is their order in memory, so nothing is copied.

    The classifier becomes a matrix product, whose result OpenVINO leaves in float32. A transposed convolution result
    would be rounded to bfloat16 and copied.
    """
    images, logits = model.get_parameters()[0], logits_of(model)
    classifier = logits.get_node().input_value(0).get_node()
    kernel = classifier.input_value(1).get_node()
    if kernel.get_type_name() != "Constant":  # quantized: it is kept
        return _model(op.transpose(logits, _integers(*_CHANNELS_LAST)), images, "last_channels")
    features = op.transpose(classifier.input_value(0), _integers(*_CHANNELS_LAST))
    weights = kernel.data.reshape(kernel.shape[0], kernel.shape[1])
    bias = logits.get_node().input_value(1).get_node().data
    product = op.matmul(features, _constant(weights), False, True)
    return _model(op.add(product, _constant(bias.ravel())), images, "last_channels")


def logits_of(model: openvino.Model) -> Node:
    """The logits of a model of this module, whatever follows them.

    Raises:
        UsageError: the model has none, so it is foreign.
    """
    for node in model.get_ordered_ops():
        for output in node.outputs():
            if LOGITS in output.get_names():
                return output
    raise UsageError("nothing in it is called 'logits'; only what fassd exported can be opened")


def _model(result: Node, images: Node, name: str) -> openvino.Model:
    result.output(0).set_names({name})
    return openvino.Model([op.result(result)], [images], "fassd")


def _upsampled(maps: Node, size: Node) -> Node:
    mode = {"mode": "linear_onnx", "shape_calculation_mode": "sizes"}
    return op.interpolate(maps, size, coordinate_transformation_mode="align_corners", axes=_integers(2, 3), **mode)


def _channels(values: Array) -> Array:
    return values.reshape(1, -1, 1, 1)


def _constant(values: Array, name: str | None = None) -> Node:
    return op.constant(np.ascontiguousarray(values, np.float32), name=name)


def _integers(*values: int) -> Node:
    return op.constant(np.array(values, np.int64))
