"""Networks in int8: post-training quantization of an OpenVINO model, calibrated on the user's own images.

NNCF measures ranges and puts the roundings in. Ours is the rest:

- Kernels keep half of int8's range in every layer. A processor without VNNI adds two products of 8 bits in 16
  (VPMADDUBSW): 2 * 255 * 127 does not fit and is cut off silently, 2 * 255 * 64 = 32640 does. A file is thus right on
  every processor, whichever made it, and nothing needs to be known of the one that will run it.
- The images' bytes go straight into the first convolution, the mean color being its zero point; see `_reading_bytes`.
- Where accuracy is bounded, layers that cost too much are put back into floating point; see `_within`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace

import numpy as np

from fassd.core.arrays import Images
from fassd.core.errors import MissingExtra, UsageError
from fassd.networks.graph import IMAGES, Array
from fassd.runtimes.openvino import core
from fassd.runtimes.openvino_without_telemetry import openvino

op = openvino.opset13

_RANKED_IMAGES = 4
_NCHW = np.array([0, 3, 1, 2], np.int64)


@dataclass(frozen=True)
class AccuracyControl:
    """How much int8 may cost; layers that cost more stay in floating point.

    Attributes:
        score: of a model, higher is better, for example its mean IoU (0 to 1) on labeled images.
        largest_drop: of that score, below the model in floating point.
    """

    score: Callable[[openvino.Model], float]
    largest_drop: float = 0.003


@dataclass(frozen=True)
class QuantizationReport:
    """What became of a model.

    Attributes:
        images: that it was calibrated on.
        quantized: names of the convolutions that compute in int8.
        floating: names of the others; they compute in bfloat16 where the processor does, else in float32.
        reference_score: of the model in floating point; None without accuracy control.
        score: of the quantized model; None without accuracy control.
    """

    images: int
    quantized: tuple[str, ...]
    floating: tuple[str, ...]
    reference_score: float | None = None
    score: float | None = None


def quantize(
    model: openvino.Model, images: Sequence[Images], *, control: AccuracyControl | None = None
) -> tuple[openvino.Model, QuantizationReport]:
    """Makes an int8 form of a model.

    Args:
        model: up to its logits, in floating point, of `openvino_graph.build_logits`; it is left as it is.
        images: to calibrate on, each (1, H, W, 3) uint8, of any sizes; each is read more than once.
        control: bounds the loss of accuracy; None takes whatever it is.

    Returns:
        The quantized model, which takes and gives what `model` does, and what became of it.

    Raises:
        UsageError: there are no images, or the bound is broken whatever stays in floating point.
        MissingExtra: NNCF is not installed.
    """
    if not images:
        raise UsageError("there are no images to calibrate on; name a data set or a folder of pictures")
    centered = centered_on_whole_numbers(model)
    quantized = _reading_bytes(_quantized(centered, images))
    report = QuantizationReport(len(images), *_told_apart(quantized))
    return (quantized, report) if control is None else _within(control, centered, quantized, images, report)


def _quantized(model: openvino.Model, images: Sequence[Images]) -> openvino.Model:
    # NNCF draws its progress on standard output, which belongs to whoever called us.
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
            # Corrected biases cost more pixels than they won, on both networks that were looked at (docs/int8.md).
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE, disable_bias_correction=True
            ),
        )


def centered_on_whole_numbers(model: openvino.Model) -> openvino.Model:
    """The model with its mean color rounded and the rest moved into the first bias.

    Nothing changes but the zeros around the image, by half a gray level: they stand for the mean color.
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
    """The quantized model with the images' bytes as they are before its first convolution.

    NNCF subtracts the mean, then measures a range and rounds to it: a pass over the image that takes a sixth of the
    network's time, and loses what lies between its steps. Bytes are quantized already: range 0 to 255, step 1, the
    whole numbers of the mean color as zero points.
    """
    convolution = _first_convolution(model)
    mean = _constant(_center(convolution), 1).reshape(1, -1, 1, 1)
    planes = op.transpose(op.convert(model.input(IMAGES), "f32"), op.constant(_NCHW))
    low, high = op.constant(np.float32(0)), op.constant(np.float32(255))
    centered = op.subtract(op.fake_quantize(planes, low, high, low, high, 256), op.constant(mean))
    convolution.input(0).replace_source_output(centered.output(0))
    return model


def _within(
    control: AccuracyControl,
    model: openvino.Model,
    quantized: openvino.Model,
    images: Sequence[Images],
    report: QuantizationReport,
) -> tuple[openvino.Model, QuantizationReport]:
    """Puts as few layers back into floating point as the bound asks for, those first that bring the logits nearest.

    Which bring how much is measured one by one; how many are needed, by doubling their number, then by halving steps.
    """
    reference = control.score(model)
    layers = report.quantized
    tried = {0: (quantized, control.score(quantized))}

    def good(count: int) -> bool:
        if count not in tried:
            candidate = _restored(quantized, model, ranked[:count])
            tried[count] = candidate, control.score(candidate)
        return tried[count][1] >= reference - control.largest_drop

    count = 0
    if not good(0):
        ranked = _ranked(model, quantized, layers, images)
        few, count = 0, 1
        while not good(count):
            if count == len(layers):
                raise UsageError(
                    f"no int8 network stays within {control.largest_drop:g} of the score in floating point, "
                    f"{reference:.4f}; calibrate on more images, or on images more like those it is scored on"
                )
            few, count = count, min(2 * count, len(layers))
        while count - few > 1:
            middle = (few + count) // 2
            few, count = (few, middle) if good(middle) else (middle, count)
    kept, score = tried[count]
    told = replace(report, reference_score=reference, score=score)
    inside, outside = _told_apart(kept)
    return kept, replace(told, quantized=inside, floating=outside)


def _ranked(
    model: openvino.Model, quantized: openvino.Model, layers: Iterable[str], images: Sequence[Images]
) -> list[str]:
    """The layers by the logits' mean squared error once a layer is back in floating point, the smallest first."""
    places = np.linspace(0, len(images) - 1, min(_RANKED_IMAGES, len(images))).round().astype(int)
    looked_at = [images[place] for place in places]
    expected = _logits(model, looked_at)

    def error(layer: str) -> float:
        found = _logits(_restored(quantized, model, [layer]), looked_at)
        return sum(float(np.square(a - b).mean()) for a, b in zip(found, expected, strict=True))

    return sorted(layers, key=error)


def _logits(model: openvino.Model, images: Sequence[Images]) -> list[Array]:
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [compiled(image)[0].copy() for image in images]


def _restored(quantized: openvino.Model, model: openvino.Model, layers: Iterable[str]) -> openvino.Model:
    """The quantized model with some convolutions as they were: their kernels, and what they read not rounded."""
    result = quantized.clone()
    ours, theirs = _convolutions(result), _convolutions(model)
    for layer in layers:
        convolution, original = ours[layer], theirs[layer]
        convolution.input(0).replace_source_output(_unrounded(convolution.input_value(0)))
        convolution.input(1).replace_source_output(op.constant(_constant(original, 1)).output(0))
    result.validate_nodes_and_infer_types()
    return result


def _unrounded(maps: openvino.Output) -> openvino.Output:
    """Maps without the rounding that was put behind what they are joined from."""
    node = maps.get_node()
    if node.get_type_name() == "FakeQuantize":
        return node.input_value(0)
    if node.get_type_name() == "Concat":
        return op.concat([_unrounded(part) for part in node.input_values()], node.get_axis()).output(0)
    return maps


def _told_apart(model: openvino.Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the convolutions in int8 and of those that are not, in the order of computation."""
    found = _convolutions(model)
    floating = {name for name, node in found.items() if node.input_value(1).get_node().get_type_name() == "Constant"}
    return tuple(name for name in found if name not in floating), tuple(name for name in found if name in floating)


def _convolutions(model: openvino.Model) -> dict[str, openvino.Node]:
    nodes = model.get_ordered_ops()
    return {node.get_friendly_name(): node for node in nodes if node.get_type_name() == "Convolution"}


def _first_convolution(model: openvino.Model) -> openvino.Node:
    return next(iter(_convolutions(model).values()))


def _center(first: openvino.Node) -> openvino.Node:
    """Where the mean color is subtracted, above the first convolution."""
    node = first
    while node.get_type_name() != "Subtract":
        node = node.input_value(0).get_node()
    return node


def _constant(node: openvino.Node, place: int) -> Array:
    values: Array = node.input_value(place).get_node().data
    return values.copy()
