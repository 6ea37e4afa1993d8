"""The deployable graph of a network, built from its row and its weights, without PyTorch.

Every runtime but PyTorch executes this graph. It consists of ten operations, the `Operations` protocol, which each
file format implements. BatchNorm layers are folded into the convolutions before them, scale and channel order of the
pixels into the first convolution. Two identities save work; both are exact except for rounding:

- conv1x1(cat(upsample(a), b)) = upsample(conv1x1(a)) + conv1x1(b): a decoder stage upsamples the narrow result, not
  the wide input, and concatenates nothing.
- conv3x3(cat(a, b)) = conv3x3(a) + conv3x3(b): the layers of a HarDBlock that read the block's input share one
  convolution of it if that wastes fewer of the processor's lanes (`_shared_input`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from fassd.core.checkpoint import Arrays, Normalization
from fassd.networks.specs import (
    DAPF_DILATIONS,
    NORM_EPSILON,
    PRELU_NORM_EPSILON,
    HardBlockPlan,
    NetworkSpec,
    Stage,
    plan_hard_block,
)

IMAGES, LOGITS, CLASS_MAP = "images", "logits", "class_map"
"""Names of a graph's input and outputs, also in exported files."""

Maps = TypeVar("Maps")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Convolution:
    """One convolution with its BatchNorm layer folded in; padding keeps the size at stride 1.

    Attributes:
        name: of its weights, and of its node in a graph.
        kernel: (out, in, height, width) float64.
        bias: (out,) float64, or None.
    """

    name: str
    kernel: Array
    bias: Array | None
    stride: int = 1
    dilation: tuple[int, int] = (1, 1)

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros above and below, left and right."""
        height, width = self.kernel.shape[2:]
        return self.dilation[0] * (height // 2), self.dilation[1] * (width // 2)


class Operations(Protocol[Maps]):
    """The operations that a graph is built from; maps are (N, channels, height, width), floating point.

    Attributes:
        lanes: outputs that the runtime's convolutions compute at once; 1 if that does not matter.
    """

    lanes: int

    def center(self, images: Maps, mean: Array) -> Maps:
        """uint8 (N, H, W, 3) images to maps, with the mean of each channel subtracted."""
        ...

    def convolve(self, maps: Maps, convolution: Convolution) -> Maps:
        """A convolution."""
        ...

    def relu(self, maps: Maps) -> Maps:
        """max(maps, 0)."""
        ...

    def prelu(self, maps: Maps, weights: Array) -> Maps:
        """Negative values times the weight of their channel."""
        ...

    def scale(self, maps: Maps, factors: Array, shifts: Array) -> Maps:
        """Times a factor, plus a shift, for each channel."""
        ...

    def add(self, one: Maps, other: Maps) -> Maps:
        """The sum of maps of one shape."""
        ...

    def concatenate(self, maps: Sequence[Maps]) -> Maps:
        """Along the channels."""
        ...

    def split(self, maps: Maps, widths: Sequence[int]) -> Sequence[Maps]:
        """Into groups of channels."""
        ...

    def halve(self, maps: Maps) -> Maps:
        """Means of 2x2 pixels; an odd last row or column is dropped."""
        ...

    def upsample(self, maps: Maps, like: Maps) -> Maps:
        """Bilinear to the height and width of other maps, corners aligned."""
        ...

    def mean(self, maps: Maps) -> Maps:
        """The mean of each map, as a map of one pixel."""
        ...


class Graph(Generic[Maps]):
    """Builds the graph of one network.

    Args:
        operations: of a file format.
        spec: the row.
        arrays: the checkpoint's weights by name, complete and of the row's shapes.
        normalization: that the network expects of its input.
    """

    def __init__(
        self, operations: Operations[Maps], spec: NetworkSpec, arrays: Arrays, normalization: Normalization
    ) -> None:
        self._ops = operations
        self._spec = spec
        self._arrays = arrays
        self._normalization = normalization

    def build(self, images: Maps) -> Maps:
        """uint8 (N, H, W, 3) RGB images to (N, classes, h, w) coarse logits."""
        spec = self._spec
        features, skips = self._encoder(images)
        features = self._context(features)
        dilations = spec.refine_dilations or (None,) * len(skips)
        finer = zip(spec.stages[-2::-1], reversed(skips), dilations, strict=True)
        for number, (stage, skip, dilation) in enumerate(finer):
            place = f"decoder.{number}"
            features = self._reduce(features, skip, f"{place}.reduce")
            if dilation:
                features = self._refine(features, dilation, f"{place}.refine")
            if spec.decoder == "hard-block":
                features = self._hard_block(features, stage, f"{place}.block")
            else:
                features = self._unit(features, f"{place}.block")
        classifier = Convolution("classifier", self._array("classifier.weight"), self._array("classifier.bias"))
        return self._ops.convolve(features, classifier)

    def _encoder(self, images: Maps) -> tuple[Maps, list[Maps]]:
        spec, normalization = self._spec, self._normalization
        mean = np.array(normalization.mean) * 255
        # The mean is subtracted before the first convolution, so that zero padding means the mean color. Scale and
        # channel order are folded into its kernel.
        features = self._ops.center(images, mean[::-1] if normalization.channel_order == "bgr" else mean)
        for number, stride in enumerate(spec.stem_strides):
            unit = self._folded(f"encoder.stem.{number}", stride)
            if number == 0:
                unit = replace(unit, kernel=self._with_normalization(unit.kernel))
            features = self._ops.relu(self._ops.convolve(features, unit))
        skips = []
        for number, stage in enumerate(spec.stages):
            if number:
                features = self._ops.halve(features)
            place = f"encoder.stages.{number}"
            skips.append(self._hard_block(features, stage, f"{place}.block"))
            features = self._unit(skips[-1], f"{place}.transition")
        return features, skips[:-1]

    def _with_normalization(self, kernel: Array) -> Array:
        scaled: Array = kernel / (np.array(self._normalization.std) * 255)[None, :, None, None]
        return scaled[:, ::-1] if self._normalization.channel_order == "bgr" else scaled

    def _hard_block(self, features: Maps, stage: Stage, place: str) -> Maps:
        units = [self._folded(f"{place}.layers.{number}") for number in range(stage.layers)]
        plan = plan_hard_block(units[0].kernel.shape[1], stage.growth, stage.layers)
        shared = self._shared_input(features, units, plan, place)
        outputs = [features]
        for number, (unit, layer) in enumerate(zip(units, plan.layers, strict=True), 1):
            if number in shared:
                inputs = [outputs[link] for link in layer.links[:-1]]
                rest = replace(unit, kernel=unit.kernel[:, : -units[0].kernel.shape[1]])
                maps = self._ops.add(self._ops.convolve(self._joined(inputs), rest), shared[number])
            else:
                maps = self._ops.convolve(self._joined([outputs[link] for link in layer.links]), unit)
            outputs.append(self._ops.relu(maps))
        return self._joined([outputs[number] for number in plan.output_layers])

    def _shared_input(
        self, features: Maps, units: Sequence[Convolution], plan: HardBlockPlan, place: str
    ) -> dict[int, Maps]:
        """The share of the block's input in the later layers that read it, by layer; empty if sharing saves nothing."""
        readers = [number for number, layer in enumerate(plan.layers, 1) if layer.links[-1] == 0 and number > 1]
        widths = [plan.layers[number - 1].out_channels for number in readers]
        if _vectors([sum(widths)], self._ops.lanes) == _vectors(widths, self._ops.lanes):
            return {}
        width = units[0].kernel.shape[1]
        kernel = np.concatenate([units[number - 1].kernel[:, -width:] for number in readers])
        maps = self._ops.convolve(features, Convolution(f"{place}.input", kernel, None))
        return dict(zip(readers, self._ops.split(maps, widths), strict=True))

    def _context(self, features: Maps) -> Maps:
        if self._spec.context == "none":
            return features
        branches = [self._unit(features, "context.near")]
        for number, dilation in enumerate(DAPF_DILATIONS):
            place = f"context.far.{number}"
            if self._spec.context == "dapf":
                tall = self._unit(features, f"{place}.0", dilation=(dilation, 1))
                branches.append(self._unit(tall, f"{place}.1", dilation=(1, dilation)))
            else:
                branches.append(self._unit(features, place, dilation=(dilation, dilation)))
        if self._spec.context == "aspp":
            whole = self._ops.relu(self._ops.convolve(self._ops.mean(features), self._folded("context.whole")))
            branches.append(self._ops.upsample(whole, features))
        return self._unit(self._joined(branches), "context.fuse")

    def _reduce(self, features: Maps, skip: Maps, place: str) -> Maps:
        """The 1x1 convolution of the upsampled features and the skip, computed in two halves."""
        unit = self._folded(place)
        width = self._width_of_skip(place)
        coarse = Convolution(f"{place}.coarse", unit.kernel[:, :-width], None)
        fine = replace(unit, kernel=unit.kernel[:, -width:])
        upsampled = self._ops.upsample(self._ops.convolve(features, coarse), skip)
        return self._ops.relu(self._ops.add(self._ops.convolve(skip, fine), upsampled))

    def _width_of_skip(self, place: str) -> int:
        number = len(self._spec.stages) - 2 - int(place.split(".")[1])
        return int(self._array(f"encoder.stages.{number}.transition.conv.weight").shape[1])

    def _refine(self, features: Maps, dilation: int, place: str) -> Maps:
        opened = self._norm_prelu(features, f"{place}.enter")
        shrunk = self._unit(opened, f"{place}.shrink", prelu=True)
        detail = self._unit(shrunk, f"{place}.detail", prelu=True)
        tall = self._unit(shrunk, f"{place}.context.0", dilation=(dilation, 1), prelu=True)
        wide = self._unit(tall, f"{place}.context.1", dilation=(1, dilation), prelu=True)
        joined = self._norm_prelu(self._ops.add(detail, wide), f"{place}.join")
        expand = Convolution(f"{place}.expand", self._array(f"{place}.expand.weight"), None)
        return self._ops.add(features, self._ops.convolve(joined, expand))

    def _unit(self, maps: Maps, place: str, dilation: tuple[int, int] = (1, 1), prelu: bool = False) -> Maps:
        maps = self._ops.convolve(maps, self._folded(place, 1, dilation, PRELU_NORM_EPSILON if prelu else NORM_EPSILON))
        return self._ops.prelu(maps, self._array(f"{place}.activation.weight")) if prelu else self._ops.relu(maps)

    def _folded(
        self, place: str, stride: int = 1, dilation: tuple[int, int] = (1, 1), epsilon: float = NORM_EPSILON
    ) -> Convolution:
        factors, shifts = self._norm(f"{place}.norm", epsilon)
        kernel = self._array(f"{place}.conv.weight") * factors[:, None, None, None]
        return Convolution(place, kernel, shifts, stride, dilation)

    def _norm_prelu(self, maps: Maps, place: str) -> Maps:
        scaled = self._ops.scale(maps, *self._norm(f"{place}.norm", PRELU_NORM_EPSILON))
        return self._ops.prelu(scaled, self._array(f"{place}.activation.weight"))

    def _norm(self, place: str, epsilon: float) -> tuple[Array, Array]:
        factors = self._array(f"{place}.weight") / np.sqrt(self._array(f"{place}.running_var") + epsilon)
        return factors, self._array(f"{place}.bias") - self._array(f"{place}.running_mean") * factors

    def _joined(self, maps: Sequence[Maps]) -> Maps:
        return maps[0] if len(maps) == 1 else self._ops.concatenate(maps)

    def _array(self, name: str) -> Array:
        return self._arrays[name].astype(np.float64)


def _vectors(widths: Sequence[int], lanes: int) -> int:
    return sum(-(-width // lanes) for width in widths)
