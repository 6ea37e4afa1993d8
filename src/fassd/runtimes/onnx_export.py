"""Exports to ONNX: a network written as a file, and executed by ONNX Runtime alone."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from fassd.core.arrays import Images
from fassd.networks.graph import IMAGES
from fassd.runtimes.exported import Array, ExportSpec, Facts, LayerMaps
from fassd.runtimes.onnx import write_model
from fassd.runtimes.onnx_graph import build_model
from fassd.runtimes.onnx_quantize import by_arithmetic, quantize
from fassd.runtimes.onnxruntime_without_telemetry import onnxruntime

_SUMMANDS = ("Conv", "Resize", "Slice")
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")


def write(spec: ExportSpec, path: Path) -> Facts:
    """Writes a network as ONNX and runs ONNX's checker; see `ExportKind.write`."""
    model = build_model(spec.checkpoint.header, spec.checkpoint.arrays, spec.ending)
    facts: Facts = {"opset": model.opset_import[0].version}
    if spec.precision == "int8":
        model = quantize(model, spec.calibration)
        inside, outside = by_arithmetic(model)
        facts |= {"calibrated_on": len(spec.calibration), "int8_layers": inside, "floating_layers": outside}
    onnx.checker.check_model(model, full_check=True)
    write_model(model, path)
    return facts


def open_alone(path: Path, precision: str) -> ONNXFile:
    """See `ExportKind.open_alone`."""
    return ONNXFile(onnx.load(path))


class ONNXFile:
    """An ONNX model executed as it is."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._session = _session(model)

    def run(self, images: Images) -> Array:
        """See `ExportedFile`."""
        output: Array = self._session.run(None, {IMAGES: images})[0]
        return output

    def layers(self, images: Images) -> LayerMaps:
        """See `ExportedFile`."""
        values = _layer_values(self._model.graph)
        tapped = onnx.ModelProto()
        tapped.CopyFrom(self._model)
        del tapped.graph.output[:]
        for value in dict.fromkeys(values.values()):
            tapped.graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, None))
        names = list(dict.fromkeys(values.values()))
        found = dict(zip(names, _session(tapped).run(names, {IMAGES: images}), strict=True))
        return {layer: found[value] for layer, value in values.items()}


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _layer_values(graph: onnx.GraphProto) -> dict[str, str]:
    """The value in which each convolution is complete: after the addition of its other half."""
    makers = {value: node for node in graph.node for value in node.output}
    readers = defaultdict(list)
    for node in graph.node:
        for value in node.input:
            readers[value].append(node)

    def unrounded(value: str) -> str:
        while value in makers and makers[value].op_type in _ROUNDING:
            value = makers[value].input[0]
        return value

    def completed(value: str) -> str:
        read = value
        while len(readers[read]) == 1 and readers[read][0].op_type in _ROUNDING:
            read = readers[read][0].output[0]
        if len(readers[read]) == 1 and (reader := readers[read][0]).op_type == "Add":
            (other,) = [one for one in reader.input if one != read] or [read]
            if (source := unrounded(other)) in makers and makers[source].op_type in _SUMMANDS:
                return completed(reader.output[0])
        return value

    return {node.name: completed(node.output[0]) for node in graph.node if node.op_type == "Conv"}
