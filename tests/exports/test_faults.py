"""Whatever can go wrong in an exported graph is planted, and the comparison must see it.

Real weights and real images: the maps of random weights hide most faults.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest
from onnx import TensorProto

from fassd.core.arrays import ClassMaps, Images
from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import Arrays, Checkpoint, Header, Normalization, read_checkpoint
from fassd.exports.agreement import TOLERANCES, Agreement, compare
from fassd.exports.images import Cases, comparison_cases
from fassd.exports.layer_drift import find_layer_drift
from fassd.networks import graph
from fassd.networks.graph import CLASS_MAP, Array, Convolution
from fassd.runtimes import onnx_graph
from fassd.runtimes.onnx_export import ONNXFile
from fassd.runtimes.open import open_runtime
from fassd.runtimes.runtime import Runtime

WEIGHTS = locate_weights(DEFAULT_WEIGHTS)


class Sound(onnx_graph.ONNXOperations):
    """Draws as it should, with what planting faults needs."""

    def pixels(self, images: str) -> str:
        return self._node("Cast", [images], to=TensorProto.FLOAT)

    def resized(self, maps: str, size: str, **attributes: Any) -> str:
        sizes = self._node("Concat", [self._node("Shape", [maps], start=0, end=2), size], axis=0)
        return self._node("Resize", [maps, "", "", sizes], **attributes)

    def bare(self, maps: str, convolution: Convolution, **changes: Any) -> str:
        kernel, bias = self._floats(convolution.kernel), convolution.bias
        inputs = [maps, kernel] if bias is None else [maps, kernel, self._floats(bias)]
        attributes = {
            "strides": [convolution.stride] * 2,
            "pads": [*convolution.padding, *convolution.padding],
            "dilations": list(convolution.dilation),
        }
        return self._node("Conv", inputs, convolution.name, **{**attributes, **changes})


def _last(**attributes: Any) -> type[Sound]:
    """A wrong upsampling to the image's size."""

    class Faulty(Sound):
        def resize(self, maps: str, size: str) -> str:
            if maps != graph.LOGITS:
                return super().resize(maps, size)
            return self.resized(maps, size, **attributes)

    return Faulty


def _inner(**attributes: Any) -> type[Sound]:
    """A wrong upsampling inside the decoder."""

    class Faulty(Sound):
        def resize(self, maps: str, size: str) -> str:
            return super().resize(maps, size) if maps == graph.LOGITS else self.resized(maps, size, **attributes)

    return Faulty


def _layer(name: str, change: Callable[[Sound, str, Convolution], str]) -> type[Sound]:
    """One wrong convolution."""

    class Faulty(Sound):
        def convolve(self, maps: str, convolution: Convolution) -> str:
            if convolution.name != name:
                return super().convolve(maps, convolution)
            return change(self, maps, convolution)

    return Faulty


class Smoothed(Sound):
    """What an antialiasing filter does to the logits."""

    def resize(self, maps: str, size: str) -> str:
        if maps == graph.LOGITS:
            maps = self._node("AveragePool", [maps], kernel_shape=[3, 3], pads=[1] * 4)
        return super().resize(maps, size)


class BlueFirst(Sound):
    def center(self, images: str, mean: Array) -> str:
        return self._node("Gather", [super().center(images, mean), self._integers(2, 1, 0)], axis=1)


class WithoutMean(Sound):
    def center(self, images: str, mean: Array) -> str:
        return super().center(images, 0 * mean)


class WrappedAround(Sound):
    def center(self, images: str, mean: Array) -> str:
        whole = self._constant(mean.round().astype(np.uint8), None)
        below = self._node("Sub", [images, whole])
        return self._node("Transpose", [self.pixels(below)], perm=[0, 3, 1, 2])


class BlackBorder(Sound):
    """Images padded with black, where the mean color is meant."""

    def center(self, images: str, mean: Array) -> str:
        pads = self._integers(0, 1, 1, 0, 0, 1, 1, 0)
        return super().center(self._node("Pad", [images, pads]), mean)

    def convolve(self, maps: str, convolution: Convolution) -> str:
        first = convolution.name == "encoder.stem.0"
        return self.bare(maps, convolution, pads=[0] * 4) if first else super().convolve(maps, convolution)


class FirstImageForAll(Sound):
    def center(self, images: str, mean: Array) -> str:
        first = self._node("Slice", [images, self._integers(0), self._integers(1), self._integers(0)])
        return super().center(self._node("Expand", [first, self._node("Shape", [images])]), mean)


class CutToMultiplesOf32(Sound):
    def center(self, images: str, mean: Array) -> str:
        size, step = self.size_of(images), self._integers(32, 32)
        whole = self._node("Mul", [self._node("Div", [size, step]), step])
        return super().center(self._node("Slice", [images, self._integers(0, 0), whole, self._integers(1, 2)]), mean)


class Clipped(Sound):
    """A range of int8 that is too narrow."""

    def relu(self, maps: str) -> str:
        return self._node("Clip", [maps, self._floats(np.array(0.0)), self._floats(np.array(2.0))])


class InEightBits(Sound):
    """Activations in steps of 8 bits, saturating at 1."""

    def relu(self, maps: str) -> str:
        scale, zero = self._floats(np.array(1 / 255)), self._constant(np.array(0, np.uint8), None)
        small = self._node("QuantizeLinear", [super().relu(maps), scale, zero])
        return self._node("DequantizeLinear", [small, scale, zero])


class SkippedReLU(Sound):
    skipped: ClassVar = 12

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def relu(self, maps: str) -> str:
        self.seen += 1
        return maps if self.seen == self.skipped else super().relu(maps)


class ReLUForPReLU(Sound):
    def prelu(self, maps: str, weights: Array) -> str:
        return self.relu(maps)


class WeightsOfNeighbors(Sound):
    def prelu(self, maps: str, weights: Array) -> str:
        return super().prelu(maps, np.roll(weights, 1))


class MaximumPooled(Sound):
    def halve(self, maps: str) -> str:
        return self._node("MaxPool", [maps], kernel_shape=[2, 2], strides=[2, 2])


class RoundedUp(Sound):
    """Odd last rows and columns kept."""

    def halve(self, maps: str) -> str:
        return self._node("AveragePool", [maps], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)


class JoinedBackwards(Sound):
    def concatenate(self, maps: Sequence[str]) -> str:
        return super().concatenate(maps[::-1])


class Shifted(Sound):
    def resize(self, maps: str, size: str) -> str:
        large = super().resize(maps, size)
        pads = self._integers(0, 0, 0, 1, 0, 0, 0, -1)
        return self._node("Pad", [large, pads], mode="edge") if maps == graph.LOGITS else large


class NextClass(Sound):
    def argmax_class(self, maps: str) -> str:
        return self._node("Add", [super().argmax_class(maps), self._constant(np.array(1, np.uint8), None)])


class AlongRows(Sound):
    def argmax_class(self, maps: str) -> str:
        return self._node("Cast", [self._node("ArgMax", [maps], axis=2, keepdims=0)], to=TensorProto.UINT8)


class SidesExchanged(Sound):
    def size_of(self, images: str) -> str:
        return self._node("Gather", [super().size_of(images), self._integers(1, 0)])


class InHalves(Sound):
    """A map in float16 that holds more than 65504."""

    def convolve(self, maps: str, convolution: Convolution) -> str:
        made = super().convolve(maps, convolution)
        if convolution.name != "context.fuse":
            return made
        factor = self._floats(np.array(1e6))
        small = self._node("Cast", [self._node("Mul", [made, factor])], to=TensorProto.FLOAT16)
        return self._node("Div", [self._node("Cast", [small], to=TensorProto.FLOAT), factor])


def _more_dilated(operations: Sound, maps: str, one: Convolution) -> str:
    dilations = [one.dilation[0] + 1, one.dilation[1]]
    return operations.bare(maps, one, dilations=dilations, pads=[dilations[0], 0] * 2)


def _undilated(operations: Sound, maps: str, one: Convolution) -> str:
    return operations.bare(maps, one, dilations=[1, 1], pads=[one.kernel.shape[2] // 2, one.kernel.shape[3] // 2] * 2)


def _unbiased(operations: Sound, maps: str, one: Convolution) -> str:
    return operations.bare(maps, Convolution(one.name, one.kernel, None, one.stride, one.dilation))


def _turned(operations: Sound, maps: str, one: Convolution) -> str:
    return operations.bare(maps, Convolution(one.name, one.kernel.swapaxes(2, 3), one.bias, one.stride))


def _lopsided(operations: Sound, maps: str, one: Convolution) -> str:
    return operations.bare(maps, one, pads=[0, 0, 2, 2])


def _dropped(operations: Sound, maps: str, one: Convolution) -> str:
    return operations._node("Identity", [maps], one.name)


def _exchanged(arrays: Arrays) -> Arrays:
    order = [1, 0, *range(2, 11)]
    return {name: array[order] if name.startswith("classifier.") else array for name, array in arrays.items()}


def _unscaled(pixels: Normalization) -> Normalization:
    return Normalization(pixels.channel_order, pixels.mean, (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Fault:
    """A fault, and the first layer that shows it; None where all layers are right."""

    operations: type[Sound] = Sound
    layer: str | None = None
    arrays: Callable[[Arrays], Arrays] = lambda arrays: arrays
    pixels: Callable[[Normalization], Normalization] = lambda pixels: pixels
    epsilon: float | None = None


LINEAR = {"mode": "linear"}
ALIGNED = {"coordinate_transformation_mode": "align_corners"}
FIRST = "encoder.stem.0"
FAULTS = {
    "corners not aligned": Fault(_last(**LINEAR, coordinate_transformation_mode="half_pixel")),
    "corners not aligned in the decoder": Fault(_inner(**LINEAR), "decoder.1.reduce"),
    "corners at the upper left": Fault(_last(**LINEAR, coordinate_transformation_mode="asymmetric")),
    "nearest for bilinear": Fault(_last(**ALIGNED, mode="nearest")),
    "nearest for bilinear in the decoder": Fault(_inner(**ALIGNED, mode="nearest"), "decoder.1.reduce"),
    "cubic for bilinear": Fault(_last(**ALIGNED, mode="cubic")),
    "antialiased": Fault(Smoothed),
    "blue first": Fault(BlueFirst, FIRST),
    "mean not subtracted": Fault(WithoutMean, FIRST),
    "not divided by std": Fault(layer=FIRST, pixels=_unscaled),
    "pixels wrapped around": Fault(WrappedAround, FIRST),
    "black around the image": Fault(BlackBorder, FIRST),
    "one dilation too large": Fault(_layer("context.far.1.0", _more_dilated), "context.far.1.0"),
    "one dilation forgotten": Fault(_layer("decoder.2.refine.context.0", _undilated), "decoder.2.refine.context.0"),
    "activations clipped": Fault(Clipped, "encoder.stem.1"),
    "activations saturating in 8 bits": Fault(InEightBits, "encoder.stem.1"),
    "float16 overflows": Fault(InHalves, "decoder.0.reduce"),
    "classes exchanged": Fault(layer="classifier", arrays=_exchanged),
    "class numbers from 1": Fault(NextClass),
    "argmax over rows, not classes": Fault(AlongRows),
    "a pixel to the right": Fault(Shifted),
    "height and width exchanged": Fault(SidesExchanged),
    "another epsilon": Fault(layer="decoder.0.refine.shrink", epsilon=0.1),
    "a bias forgotten": Fault(_layer("encoder.stages.1.transition", _unbiased), "encoder.stages.1.transition"),
    "a kernel turned": Fault(_layer("encoder.stages.0.block.layers.0", _turned), "encoder.stages.0.block.layers.0"),
    "padding on one side": Fault(_layer(FIRST, _lopsided), FIRST),
    "a layer omitted": Fault(_layer("decoder.1.refine.detail", _dropped), "decoder.1.refine.expand"),
    "a ReLU omitted": Fault(SkippedReLU, "encoder.stages.1.block.layers.3"),
    "ReLU for PReLU": Fault(ReLUForPReLU, "decoder.0.refine.shrink"),
    "PReLU weights of the neighbors": Fault(WeightsOfNeighbors, "decoder.0.refine.shrink"),
    "maximum for mean": Fault(MaximumPooled, "encoder.stages.1.block.layers.0"),
    "odd rows kept": Fault(RoundedUp, "encoder.stages.1.block.layers.0"),
    "joined backwards": Fault(JoinedBackwards, "encoder.stages.0.block.layers.1"),
    "the first image's prediction for all": Fault(FirstImageForAll, FIRST),
    "cut to multiples of 32": Fault(CutToMultiplesOf32, FIRST),
}

QUICK = ("corners not aligned", "blue first", "a bias forgotten", "a pixel to the right", "cut to multiples of 32")


class Remembering:
    """The source, which predicts the same images once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: dict[bytes, ClassMaps] = {}

    def segment(self, images: Images) -> ClassMaps:
        key = bytes(str(images.shape), "ascii") + images.tobytes()
        if key not in self._known:
            self._known[key] = self._runtime.segment(images)
        return self._known[key]


@dataclass(frozen=True)
class Bench:
    """What every fault is tried on."""

    checkpoint: Checkpoint
    source: Remembering
    cases: Cases

    def judge(self, export: ONNXFile) -> Agreement:
        return compare(self.source, export, CLASS_MAP, 11, self.cases, TOLERANCES["float32"])


@pytest.fixture(scope="module")
def bench() -> Any:
    checkpoint = read_checkpoint(WEIGHTS)
    # Quick: images smaller than the weights advise.
    cases = comparison_cases(_small(checkpoint.header), None, "val", ())
    with open_runtime(WEIGHTS, runtime="pytorch", precision="float32", device="cpu") as runtime:
        yield Bench(checkpoint, Remembering(runtime), cases)


def _small(header: Header) -> Header:
    return msgspec.structs.replace(header, input_side=320)


def _planted(bench: Bench, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> ONNXFile:
    monkeypatch.setattr(onnx_graph, "ONNXOperations", fault.operations)
    if fault.epsilon is not None:
        monkeypatch.setattr(graph, "PRELU_NORM_EPSILON", fault.epsilon)
    header = msgspec.structs.replace(
        bench.checkpoint.header, normalization=fault.pixels(bench.checkpoint.header.normalization)
    )
    return ONNXFile(onnx_graph.build_model(header, fault.arrays(bench.checkpoint.arrays)))


def test_a_correct_graph_is_within_the_tolerance(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    export = _planted(bench, Fault(), monkeypatch)
    assert not bench.judge(export).violations
    drift = find_layer_drift(bench.checkpoint, WEIGHTS, export, bench.cases.small, "float32")
    assert (drift.first, len(drift.layers)) == (None, 62)
    assert max(one.error for one in drift.layers) < drift.limit / 3


def _names() -> list[Any]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FAULTS]


@pytest.mark.parametrize("name", _names())
def test_a_planted_fault_is_caught_and_its_layer_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    fault = FAULTS[name]
    export = _planted(bench, fault, monkeypatch)
    agreement = bench.judge(export)
    assert agreement.violations, f"{agreement.equal:.6%} equal"
    images = bench.cases.small if agreement.worst_small is None else agreement.worst_small
    drift = find_layer_drift(bench.checkpoint, WEIGHTS, export, images, "float32")
    assert drift.first == fault.layer, drift.sentence


def test_the_images_show_every_class_border(bench: Bench) -> None:
    """Faults show only on images with class borders."""
    agreement = bench.judge(ONNXFile(onnx_graph.build_model(bench.checkpoint.header, bench.checkpoint.arrays)))
    assert all(one.inner < one.pixels for one in agreement.cases)
