"""Exported OpenVINO files: written, and executed by OpenVINO alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fassd.core.arrays import Images
from fassd.networks.graph import CLASS_MAP
from fassd.runtimes.exported import Array, Bound, ExportSpec, Facts, LayerMaps
from fassd.runtimes.openvino import best_precision, core, has_bfloat16
from fassd.runtimes.openvino_file import is_quantized, write_model
from fassd.runtimes.openvino_graph import build_logits, with_class_map
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.runtimes.quantize import AccuracyControl, quantize

op = openvino.opset13
_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_SUMMANDS = ("Constant", "Convolution", "Interpolate", "VariadicSplit")


def write(draft: ExportSpec, path: Path) -> Facts:
    """Writes a network as the pair .xml and .bin."""
    model, facts = build_logits(draft.checkpoint.header, draft.checkpoint.arrays), {}
    if draft.precision == "int8":
        model, report = quantize(model, draft.calibration, control=_control(draft.bound))
        facts = {
            "calibrated_on": report.images,
            "int8_layers": list(report.quantized),
            "floating_layers": list(report.floating),
        }
    if draft.precision == "bfloat16":
        _store_in_bfloat16(model)
    write_model(with_class_map(model) if draft.ending == CLASS_MAP else model, path)
    return facts


def _control(bound: Bound | None) -> AccuracyControl | None:
    def score(model: openvino.Model) -> float:
        assert bound is not None
        return bound.score(OpenVINOFile(model, best_precision() if is_quantized(model) else "float32"))

    return None if bound is None else AccuracyControl(score, bound.largest_drop)


def _store_in_bfloat16(model: openvino.Model) -> None:
    """Kernels in half the bytes; rounded as the processor would round them anyway."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        kernel = node.input_value(1).get_node()
        stored = op.constant(_rounded(kernel.data), openvino.Type.bf16, name=kernel.get_friendly_name())
        node.input(1).replace_source_output(op.convert(stored, "f32").output(0))


def _rounded(values: Array) -> Array:
    """The nearest float32 values that bfloat16 holds; OpenVINO itself would cut the digits off."""
    bits = values.view(np.uint32)
    halves = (bits >> 16 & 1) + np.uint32(0x7FFF)  # to the even one of two that are as near
    nearest: Array = ((bits + halves) & np.uint32(0xFFFF0000)).view(np.float32)
    return nearest


def open_alone(path: Path, precision: str) -> OpenVINOFile:
    """See `ExportKind.open_alone`. On processors without bfloat16 such files run in float32."""
    computed = best_precision() if precision == "int8" else precision
    if computed == "bfloat16" and not has_bfloat16():
        computed = "float32"
    return OpenVINOFile(openvino.Core().read_model(path), computed)


class OpenVINOFile:
    """An OpenVINO model, executed as it is: one compiled graph for every size.

    Args:
        model: what was read.
        precision: of what is not quantized, "float32" or "bfloat16".
    """

    def __init__(self, model: openvino.Model, precision: str) -> None:
        self._model = model
        self._settings = {"INFERENCE_PRECISION_HINT": _HINTS[precision]}
        self._compiled = core().compile_model(model, "CPU", self._settings)

    def answer(self, images: Images) -> Array:
        """See `ExportedFile`."""
        answer: Array = self._compiled(images)[0]
        return answer

    def layers(self, images: Images) -> LayerMaps:
        """See `ExportedFile`."""
        model = self._model.clone()
        layers = {
            node.get_friendly_name(): _completed(node.output(0))
            for node in model.get_ordered_ops()
            if node.get_type_name() == "Convolution"
        }
        tapped = openvino.Model([op.result(value) for value in layers.values()], model.get_parameters(), "layers")
        # Where int8 is computed as such, maps inside the graph are left in units of their own.
        settings = {**self._settings, "LP_TRANSFORMS_MODE": "NO"}
        found = core().compile_model(tapped, "CPU", settings)(images)
        return {layer: np.array(found[place]) for place, layer in enumerate(layers)}


def _completed(value: openvino.Output) -> openvino.Output:
    """Where a convolution is complete: behind the additions of its bias and of what else belongs to it."""
    reader = _only_reader(value)
    if reader is not None and reader.get_type_name() == "FakeQuantize":
        # Rounded before it is added: the sum is what counts.
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
