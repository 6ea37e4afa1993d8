"""ONNX operations one by one, and a model cut at its logits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fassd.networks.graph import IMAGES, LOGITS
from fassd.runtimes.onnx import is_quantized
from fassd.runtimes.onnx_export import _layer_values
from fassd.runtimes.onnx_graph import ONNXOperations, up_to_logits
from fassd.runtimes.onnx_quantize import by_arithmetic
from fassd.runtimes.onnxruntime_without_telemetry import onnxruntime

Array = np.ndarray[Any, Any]


def _executed(operations: ONNXOperations, given: Array, *outputs: str) -> list[Array]:
    """The values of the graph for the input "x"."""
    kind = helper.np_dtype_to_tensor_dtype(given.dtype)
    graph = helper.make_graph(
        operations.nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, given.shape)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        operations.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[Array] = session.run(list(outputs), {"x": given})
    return found


@pytest.mark.parametrize("widths", [[10], [3, 7], [7, 3], [1, 2, 7], [6, 3, 1]])
def test_maps_are_split_by_their_widths(widths: list[int]) -> None:
    maps = np.random.default_rng(0).random((2, 10, 3, 4), np.float32)
    operations = ONNXOperations()
    parts = _executed(operations, maps, *operations.split("x", widths))
    for part, expected in zip(parts, np.split(maps, np.cumsum(widths)[:-1], axis=1), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_operations_compute_what_their_names_say() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 6, 5)).astype(np.float32)
    weights, shifts = np.array([0.5, 2, -1], np.float32), np.array([1, 0, 3], np.float32)
    operations = ONNXOperations()
    values = {
        operations.relu("x"): np.maximum(maps, 0),
        operations.prelu("x", weights): np.where(maps < 0, maps * weights[:, None, None], maps),
        operations.scale("x", weights, shifts): maps * weights[:, None, None] + shifts[:, None, None],
        operations.add("x", "x"): 2 * maps,
        operations.concatenate(["x", "x"]): np.concatenate([maps, maps], 1),
        operations.halve("x"): maps[:, :, :6, :4].reshape(2, 3, 3, 2, 2, 2).mean((3, 5)),
        operations.mean("x"): maps.mean((2, 3), keepdims=True),
        operations.argmax_class("x"): maps.argmax(1).astype(np.uint8),
        operations.upsample(operations.halve("x"), "x"): None,
    }
    for found, expected in zip(_executed(operations, maps, *values), values.values(), strict=True):
        if expected is None:
            assert found.shape == maps.shape
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
            assert found.dtype == expected.dtype


@pytest.mark.parametrize("kind", ["QuantizeLinear", "QLinearConv", "Conv"])
def test_a_model_is_quantized_if_an_operation_is(kind: str) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node(kind, ["a"], ["b"])]
    assert is_quantized(helper.make_model(helper.make_graph(nodes, "g", [], []))) == (kind != "Conv")


def test_what_follows_the_logits_is_cut_off_with_its_constants() -> None:
    nodes = [
        helper.make_node("Relu", [IMAGES], ["unused"]),
        helper.make_node("Add", [IMAGES, "one"], ["sum"]),
        helper.make_node("Mul", ["sum", "two"], [LOGITS]),
        helper.make_node("Add", [LOGITS, "three"], ["end"]),
    ]
    constants = [numpy_helper.from_array(np.ones(1, np.float32), name) for name in ("one", "two", "three")]
    images = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, [1])
    end = helper.make_tensor_value_info("end", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph(nodes, "g", [images], [end], constants))
    cut = up_to_logits(model).graph
    assert [node.output[0] for node in cut.node] == ["sum", LOGITS]
    assert [constant.name for constant in cut.initializer] == ["one", "two"]
    assert [output.name for output in cut.output] == [LOGITS]
    assert len(model.graph.node) == 4


def _conv(name: str, source: str, kernel: str = "kernel") -> onnx.NodeProto:
    return helper.make_node("Conv", [source, kernel], [f"{name}.out"], name)


def _add(one: str, other: str, out: str) -> onnx.NodeProto:
    return helper.make_node("Add", [one, other], [out])


def _rounded(source: str, out: str) -> list[onnx.NodeProto]:
    quantized = helper.make_node("QuantizeLinear", [source], [f"{out}.q"])
    return [quantized, helper.make_node("DequantizeLinear", [f"{out}.q"], [out])]


A, B = _conv("a", "x"), _conv("b", "x")
LAYERS: list[tuple[list[onnx.NodeProto], dict[str, str]]] = [
    ([A], {"a": "a.out"}),
    ([A, helper.make_node("Relu", ["a.out"], ["r"])], {"a": "a.out"}),
    ([A, B, _add("a.out", "b.out", "sum")], {"a": "sum", "b": "sum"}),
    ([A, B, _add("b.out", "a.out", "sum")], {"a": "sum", "b": "sum"}),
    ([A, helper.make_node("Resize", ["x"], ["r"]), _add("a.out", "r", "sum")], {"a": "sum"}),
    ([A, helper.make_node("Relu", ["x"], ["r"]), _add("a.out", "r", "sum")], {"a": "a.out"}),
    ([A, _add("a.out", "x", "sum")], {"a": "a.out"}),
    ([A, B, _add("a.out", "b.out", "sum"), helper.make_node("Relu", ["a.out"], ["r"])], {"a": "a.out", "b": "sum"}),
    ([A, B, *_rounded("a.out", "c"), *_rounded("b.out", "d"), _add("c", "d", "sum")], {"a": "sum", "b": "sum"}),
    ([A, *_rounded("a.out", "c"), helper.make_node("Relu", ["c"], ["r"])], {"a": "a.out"}),
    ([A, B, _conv("e", "x"), _add("a.out", "b.out", "s"), _add("s", "e.out", "t")], {"a": "t", "b": "t", "e": "e.out"}),
]


@pytest.mark.parametrize(("nodes", "complete"), LAYERS)
def test_a_layer_is_complete_after_the_addition_of_its_other_half(
    nodes: list[onnx.NodeProto], complete: dict[str, str]
) -> None:
    assert _layer_values(helper.make_graph(nodes, "g", [], [])) == complete


def test_convolutions_are_sorted_by_their_arithmetic() -> None:
    nodes = [*_rounded("w", "whole"), _conv("a", "x"), _conv("b", "x", "whole"), _conv("c", "whole", "x")]
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    assert by_arithmetic(model) == (["b"], ["a", "c"])
