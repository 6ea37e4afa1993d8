"""Networks in int8: post-training quantization of an OpenVINO model, calibrated on the user's images.

NNCF measures ranges and inserts the rounding. The rest is done here:

- Kernels use half of int8's range in every layer. A processor without VNNI adds two 8-bit products in 16 bits
  (VPMADDUBSW): 2 * 255 * 127 overflows and saturates silently, 2 * 255 * 64 = 32640 fits. A file is thus correct on
  every processor, whichever one it was made on.
- The first convolution reads the images' bytes, with the mean color as its zero point; see `_reading_bytes`.
- With a bound on the loss of accuracy, costly layers are restored to floating point; see `_within`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace

import numpy as np

from fassd.core.arrays import Images
from fassd.core.errors import MissingExtra, UsageError
from fassd.core.numbers import evenly_spaced
from fassd.networks.graph import IMAGES, Array
from fassd.runtimes.exported import AccuracyBound
from fassd.runtimes.openvino_core import best_precision, compile_model
from fassd.runtimes.openvino_file import OpenVINOFile, is_quantized
from fassd.runtimes.openvino_without_telemetry import openvino

op = openvino.opset13

_RANKED_IMAGES = 4
_NCHW = np.array([0, 3, 1, 2], np.int64)


@dataclass(frozen=True)
class QuantizationReport:
    """The result of a quantization.

    Attributes:
        images: number that it was calibrated on.
        quantized: names of the convolutions that compute in int8.
        floating: names of the others; they compute in bfloat16 where the processor does, else in float32.
        reference_score: of the model in floating point; None without a bound.
        score: of the quantized model; None without a bound.
    """

    images: int
    quantized: tuple[str, ...]
    floating: tuple[str, ...]
    reference_score: float | None = None
    score: float | None = None


def quantize(
    model: openvino.Model, images: Sequence[Images], *, bound: AccuracyBound | None = None
) -> tuple[openvino.Model, QuantizationReport]:
    """Quantizes a model to int8.

    Args:
        model: of `openvino_graph.build_logits`, in floating point; it is not changed.
        images: to calibrate on, (1, H, W, 3) uint8 each, of any sizes; each is read several times.
        bound: on the loss of accuracy; None: no bound.

    Returns:
        The quantized model, with the inputs and outputs of `model`, and a report.

    Raises:
        UsageError: there are no images, or the bound cannot be kept.
        MissingExtra: NNCF is not installed.
    """
    if not images:
        raise UsageError("there are no images to calibrate on; name a data set or a folder of images")
    centered = centered_on_whole_numbers(model)
    quantized = _reading_bytes(_quantized(centered, images))
    report = QuantizationReport(len(images), *_by_arithmetic(quantized))
    return (quantized, report) if bound is None else _within(bound, centered, quantized, images, report)


def _quantized(model: openvino.Model, images: Sequence[Images]) -> openvino.Model:
    # NNCF prints its progress on standard output, which belongs to the caller.
    with redirect_stdout(io.StringIO()):
        try:
            import nncf
        except ModuleNotFoundError as error:
            if error.name != "nncf":
                raise
            raise MissingExtra("nncf", "quantize", "quantization") from None
        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model.clone(),
            nncf.Dataset(images),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(images),
            # Bias correction lost accuracy on both networks that were measured (docs/int8.md).
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE, disable_bias_correction=True
            ),
        )


def centered_on_whole_numbers(model: openvino.Model) -> openvino.Model:
    """The model with its mean color rounded to whole gray levels and the remainder moved into the first bias.

    Only the zero padding around the image changes, by half a gray level at most: it stands for the mean color.
    """
    model = model.clone()
    convolution = _first_convolution(model)
    center = _center(convolution)
    mean = _constant(center, 1)
    whole = np.round(mean)
    (bias,) = (reader.get_node() for reader in convolution.output(0).get_target_inputs())
    shift = (_constant(convolution, 1).sum((2, 3)) @ (whole - mean).ravel()).reshape(1, -1, 1, 1)
    center.input(1).replace_source_output(op.constant(whole).output(0))
    bias.input(1).replace_source_output(op.constant((_constant(bias, 1) + shift).astype(np.float32)).output(0))
    return model


def _reading_bytes(model: openvino.Model) -> openvino.Model:
    """The quantized model, its first convolution reading the images' bytes.

    NNCF subtracts the mean, measures a range and rounds to it. This takes a sixth of the network's time and loses
    precision. Bytes are quantized already: range 0 to 255, step 1, the rounded mean color as zero points.
    """
    convolution = _first_convolution(model)
    mean = _constant(_center(convolution), 1).reshape(1, -1, 1, 1)
    planes = op.transpose(op.convert(model.input(IMAGES), "f32"), op.constant(_NCHW))
    low, high = op.constant(np.float32(0)), op.constant(np.float32(255))
    centered = op.subtract(op.fake_quantize(planes, low, high, low, high, 256), op.constant(mean))
    convolution.input(0).replace_source_output(centered.output(0))
    return model


def _within(
    bound: AccuracyBound,
    model: openvino.Model,
    quantized: openvino.Model,
    images: Sequence[Images],
    report: QuantizationReport,
) -> tuple[openvino.Model, QuantizationReport]:
    """Restores as few layers to floating point as the bound needs, those first that bring the logits nearest.

    Their number is found by doubling, then by bisection.
    """

    def score(one: openvino.Model) -> float:
        return bound.score(OpenVINOFile(one, best_precision() if is_quantized(one) else "float32"))

    reference = score(model)
    tried: dict[int, tuple[openvino.Model, float]] = {}

    def holds(count: int) -> bool:
        """Whether the bound holds with the first `count` ranked layers in floating point."""
        if count not in tried:
            candidate = _restored(quantized, model, ranked[:count]) if count else quantized
            tried[count] = candidate, score(candidate)
        return tried[count][1] >= reference - bound.largest_drop

    ranked: list[str] = []
    count = 0
    if not holds(0):
        ranked = _ranked(model, quantized, report.quantized, images)
        few, count = 0, 1
        while not holds(count):
            if count == len(ranked):
                raise UsageError(
                    f"no int8 network stays within {bound.largest_drop:g} of the score in floating point, "
                    f"{reference:.4f}; calibrate on more images, or on images more like those it is scored on"
                )
            few, count = count, min(2 * count, len(ranked))
        while count - few > 1:
            middle = (few + count) // 2
            few, count = (few, middle) if holds(middle) else (middle, count)
    kept, kept_score = tried[count]
    inside, outside = _by_arithmetic(kept)
    return kept, replace(report, quantized=inside, floating=outside, reference_score=reference, score=kept_score)


def _ranked(
    model: openvino.Model, quantized: openvino.Model, layers: Iterable[str], images: Sequence[Images]
) -> list[str]:
    """The layers in the order of the logits' mean squared error with that layer alone restored, the smallest first."""
    sampled = [images[place] for place in evenly_spaced(len(images), _RANKED_IMAGES)]
    expected = _logits(model, sampled)

    def error(layer: str) -> float:
        found = _logits(_restored(quantized, model, [layer]), sampled)
        return sum(float(np.square(a - b).mean()) for a, b in zip(found, expected, strict=True))

    return sorted(layers, key=error)


def _logits(model: openvino.Model, images: Sequence[Images]) -> list[Array]:
    compiled = compile_model(model, "float32")
    return [compiled(image)[0].copy() for image in images]


def _restored(quantized: openvino.Model, model: openvino.Model, layers: Iterable[str]) -> openvino.Model:
    """The quantized model with some convolutions restored: their kernels, and their inputs without rounding."""
    result = quantized.clone()
    ours, theirs = _convolutions(result), _convolutions(model)
    for layer in layers:
        convolution, original = ours[layer], theirs[layer]
        convolution.input(0).replace_source_output(_unrounded(convolution.input_value(0)))
        convolution.input(1).replace_source_output(op.constant(_constant(original, 1)).output(0))
    result.validate_nodes_and_infer_types()
    return result


def _unrounded(maps: openvino.Output) -> openvino.Output:
    """Maps without the rounding of the maps that they are concatenated from."""
    node = maps.get_node()
    if node.get_type_name() == "FakeQuantize":
        return node.input_value(0)
    if node.get_type_name() == "Concat":
        return op.concat([_unrounded(part) for part in node.input_values()], node.get_axis()).output(0)
    return maps


def _by_arithmetic(model: openvino.Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the convolutions in int8, and of the others, in the order of computation."""
    found = _convolutions(model)
    floating = {name for name, node in found.items() if node.input_value(1).get_node().get_type_name() == "Constant"}
    return tuple(name for name in found if name not in floating), tuple(name for name in found if name in floating)


def _convolutions(model: openvino.Model) -> dict[str, openvino.Node]:
    nodes = model.get_ordered_ops()
    return {node.get_friendly_name(): node for node in nodes if node.get_type_name() == "Convolution"}


def _first_convolution(model: openvino.Model) -> openvino.Node:
    return next(iter(_convolutions(model).values()))


def _center(first: openvino.Node) -> openvino.Node:
    """The subtraction of the mean color before the first convolution."""
    node = first
    while node.get_type_name() != "Subtract":
        node = node.input_value(0).get_node()
    return node


def _constant(node: openvino.Node, place: int) -> Array:
    values: Array = node.input_value(place).get_node().data
    return values.copy()
