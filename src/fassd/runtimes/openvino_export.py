"""Exports to OpenVINO: a network written as a pair NAME.xml and NAME.bin, and opened as others will run it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fassd.networks.graph import CLASS_MAP
from fassd.runtimes.exported import ExportSpec, Facts
from fassd.runtimes.openvino_core import best_precision, has_bfloat16
from fassd.runtimes.openvino_file import OpenVINOFile, write_model
from fassd.runtimes.openvino_graph import build_logits, with_class_map
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.runtimes.quantize import quantize

op = openvino.opset13


def write(spec: ExportSpec, path: Path) -> Facts:
    """Writes a network as the pair .xml and .bin; see `ExportKind.write`."""
    model, facts = build_logits(spec.checkpoint.header, spec.checkpoint.arrays), {}
    if spec.precision == "int8":
        model, report = quantize(model, spec.calibration, bound=spec.bound)
        facts = {
            "calibrated_on": report.images,
            "int8_layers": list(report.quantized),
            "floating_layers": list(report.floating),
        }
    if spec.precision == "bfloat16":
        _store_in_bfloat16(model)
    write_model(with_class_map(model) if spec.ending == CLASS_MAP else model, path)
    return facts


def open_alone(path: Path, precision: str) -> OpenVINOFile:
    """See `ExportKind.open_alone`. On processors without bfloat16, bfloat16 files compute in float32."""
    computed = best_precision() if precision == "int8" else precision
    if computed == "bfloat16" and not has_bfloat16():
        computed = "float32"
    return OpenVINOFile(openvino.Core().read_model(path), computed)


def _store_in_bfloat16(model: openvino.Model) -> None:
    """Stores kernels in half the bytes. The processor would round them in the same way."""
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Convolution":
            continue
        kernel = node.input_value(1).get_node()
        # Round to nearest, ties to even. OpenVINO itself would truncate.
        bits = kernel.data.view(np.uint32)
        half = (bits >> 16 & 1) + np.uint32(0x7FFF)
        rounded = ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)
        stored = op.constant(rounded, openvino.Type.bf16, name=kernel.get_friendly_name())
        node.input(1).replace_source_output(op.convert(stored, "f32").output(0))
