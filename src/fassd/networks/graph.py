"""The deployable graph of a network, drawn from its row and its weights alone: no PyTorch.

Every runtime but PyTorch executes this one graph. It says what is computed, in ten operations; how, is the business of
the `Operations` that draw it, one implementation for each format. Norms are folded into the convolutions before them,
scale and channel order of the pixels into the first one. Two identities save work; both are exact but for rounding:

- conv1x1(cat(enlarge(a), b)) = enlarge(conv1x1(a)) + conv1x1(b): a decoder stage enlarges the narrow result, not the
  wide input, and concatenates nothing.
- conv3x3(cat(a, b)) = conv3x3(a) + conv3x3(b): the layers of a HarDBlock that read the block's input share one
  convolution of it where that wastes fewer of the processor's lanes (`_shares_input`).
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
"""What goes into a graph and comes out, by the names that exported files use."""

Maps = TypeVar("Maps")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Convolution:
    """One convolution, its norm folded in; padding keeps the size at stride 1.

    Attributes:
        name: that of its weights; graphs call their nodes so.
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
    """What a graph is drawn with; maps are (N, channels, height, width), floating point.

    Attributes:
        lanes: outputs that the runtime's convolutions compute at once; 1 where that does not matter.
    """

    lanes: int

    def center(self, images: Maps, mean: Array) -> Maps:
        """uint8 (N, H, W, 3) images to maps, a mean subtracted from each channel."""
        ...

    def convolve(self, maps: Maps, convolution: Convolution) -> Maps:
        """The convolution of maps."""
        ...

    def relu(self, maps: Maps) -> Maps:
        """At least 0."""
        ...

    def prelu(self, maps: Maps, slopes: Array) -> Maps:
        """Negative values times a slope for each channel."""
        ...

    def scale(self, maps: Maps, factors: Array, shifts: Array) -> Maps:
        """Channel by channel, times a factor plus a shift."""
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
        """The mean of each 2x2 pixels; an odd last row or column is dropped."""
        ...

    def enlarge(self, maps: Maps, like: Maps) -> Maps:
        """To the height and width of other maps, bilinear, corners aligned."""
        ...

    def mean(self, maps: Maps) -> Maps:
        """Each map's mean, as maps of one pixel."""
        ...


class Graph(Generic[Maps]):
    """Draws one network.

    Args:
        operations: that it is drawn with.
        spec: the row.
        arrays: the checkpoint's weights by name, complete and of the row's shapes.
        pixels: what the network expects as input.
    """

    def __init__(self, operations: Operations[Maps], spec: NetworkSpec, arrays: Arrays, pixels: Normalization) -> None:
        self._do = operations
        self._spec = spec
        self._arrays = arrays
        self._pixels = pixels

    def draw(self, images: Maps) -> Maps:
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
        return self._do.convolve(features, classifier)

    def _encoder(self, images: Maps) -> tuple[Maps, list[Maps]]:
        spec, pixels = self._spec, self._pixels
        mean = np.array(pixels.mean) * 255
        # Zero padding must mean the mean color, so the mean is subtracted before the first convolution; scale and
        # channel order go into its kernel.
        features = self._do.center(images, mean[::-1] if pixels.channel_order == "bgr" else mean)
        for number, stride in enumerate(spec.stem_strides):
            unit = self._folded(f"encoder.stem.{number}", stride)
            if number == 0:
                unit = replace(unit, kernel=self._for_pixels(unit.kernel))
            features = self._do.relu(self._do.convolve(features, unit))
        skips = []
        for number, stage in enumerate(spec.stages):
            if number:
                features = self._do.halve(features)
            place = f"encoder.stages.{number}"
            skips.append(self._hard_block(features, stage, f"{place}.block"))
            features = self._unit(skips[-1], f"{place}.transition")
        return features, skips[:-1]

    def _for_pixels(self, kernel: Array) -> Array:
        scaled: Array = kernel / (np.array(self._pixels.std) * 255)[None, :, None, None]
        return scaled[:, ::-1] if self._pixels.channel_order == "bgr" else scaled

    def _hard_block(self, features: Maps, stage: Stage, place: str) -> Maps:
        units = [self._folded(f"{place}.layers.{number}") for number in range(stage.layers)]
        plan = plan_hard_block(units[0].kernel.shape[1], stage.growth, stage.layers)
        shared = self._shared_input(features, units, plan, place)
        outputs = [features]
        for number, (unit, layer) in enumerate(zip(units, plan.layers, strict=True), 1):
            if number in shared:
                inputs = [outputs[link] for link in layer.links[:-1]]
                rest = replace(unit, kernel=unit.kernel[:, : -units[0].kernel.shape[1]])
                maps = self._do.add(self._do.convolve(self._joined(inputs), rest), shared[number])
            else:
                maps = self._do.convolve(self._joined([outputs[link] for link in layer.links]), unit)
            outputs.append(self._do.relu(maps))
        return self._joined([outputs[number] for number in plan.output_layers])

    def _shared_input(
        self, features: Maps, units: Sequence[Convolution], plan: HardBlockPlan, place: str
    ) -> dict[int, Maps]:
        """What the block's input adds to the later layers that read it, where one convolution for all pays."""
        readers = [number for number, layer in enumerate(plan.layers, 1) if layer.links[-1] == 0 and number > 1]
        widths = [plan.layers[number - 1].out_channels for number in readers]
        if _vectors([sum(widths)], self._do.lanes) == _vectors(widths, self._do.lanes):
            return {}
        width = units[0].kernel.shape[1]
        kernel = np.concatenate([units[number - 1].kernel[:, -width:] for number in readers])
        maps = self._do.convolve(features, Convolution(f"{place}.input", kernel, None))
        return dict(zip(readers, self._do.split(maps, widths), strict=True))

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
            whole = self._do.relu(self._do.convolve(self._do.mean(features), self._folded("context.whole")))
            branches.append(self._do.enlarge(whole, features))
        return self._unit(self._joined(branches), "context.fuse")

    def _reduce(self, features: Maps, skip: Maps, place: str) -> Maps:
        """The 1x1 convolution of the enlarged features beside the skip, its two halves apart."""
        unit = self._folded(place)
        width = self._width_of_skip(place)
        coarse = Convolution(f"{place}.coarse", unit.kernel[:, :-width], None)
        fine = replace(unit, kernel=unit.kernel[:, -width:])
        enlarged = self._do.enlarge(self._do.convolve(features, coarse), skip)
        return self._do.relu(self._do.add(self._do.convolve(skip, fine), enlarged))

    def _width_of_skip(self, place: str) -> int:
        number = len(self._spec.stages) - 2 - int(place.split(".")[1])
        return int(self._array(f"encoder.stages.{number}.transition.conv.weight").shape[1])

    def _refine(self, features: Maps, dilation: int, place: str) -> Maps:
        opened = self._norm_prelu(features, f"{place}.enter")
        shrunk = self._unit(opened, f"{place}.shrink", prelu=True)
        detail = self._unit(shrunk, f"{place}.detail", prelu=True)
        tall = self._unit(shrunk, f"{place}.context.0", dilation=(dilation, 1), prelu=True)
        wide = self._unit(tall, f"{place}.context.1", dilation=(1, dilation), prelu=True)
        joined = self._norm_prelu(self._do.add(detail, wide), f"{place}.join")
        expand = Convolution(f"{place}.expand", self._array(f"{place}.expand.weight"), None)
        return self._do.add(features, self._do.convolve(joined, expand))

    def _unit(self, maps: Maps, place: str, dilation: tuple[int, int] = (1, 1), prelu: bool = False) -> Maps:
        maps = self._do.convolve(maps, self._folded(place, 1, dilation, PRELU_NORM_EPSILON if prelu else NORM_EPSILON))
        return self._do.prelu(maps, self._array(f"{place}.activation.weight")) if prelu else self._do.relu(maps)

    def _folded(
        self, place: str, stride: int = 1, dilation: tuple[int, int] = (1, 1), epsilon: float = NORM_EPSILON
    ) -> Convolution:
        factors, shifts = self._norm(f"{place}.norm", epsilon)
        kernel = self._array(f"{place}.conv.weight") * factors[:, None, None, None]
        return Convolution(place, kernel, shifts, stride, dilation)

    def _norm_prelu(self, maps: Maps, place: str) -> Maps:
        scaled = self._do.scale(maps, *self._norm(f"{place}.norm", PRELU_NORM_EPSILON))
        return self._do.prelu(scaled, self._array(f"{place}.activation.weight"))

    def _norm(self, place: str, epsilon: float) -> tuple[Array, Array]:
        factors = self._array(f"{place}.weight") / np.sqrt(self._array(f"{place}.running_var") + epsilon)
        return factors, self._array(f"{place}.bias") - self._array(f"{place}.running_mean") * factors

    def _joined(self, maps: Sequence[Maps]) -> Maps:
        return maps[0] if len(maps) == 1 else self._do.concatenate(maps)

    def _array(self, name: str) -> Array:
        return self._arrays[name].astype(np.float64)


def _vectors(widths: Sequence[int], lanes: int) -> int:
    return sum(-(-width // lanes) for width in widths)
