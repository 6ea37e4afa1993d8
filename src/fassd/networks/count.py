"""Parameters, multiply-adds and memory traffic of a network, from its row alone, without PyTorch.

Multiply-adds of a convolution: output elements x kernel positions x input channels. The paper calls them FLOPs and
prints the result of a per-module counter, which adds 2 for each BatchNorm output, and 1 for each activation, pooled
input and output of the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fassd.networks.specs import (
    ASPP_WIDTH,
    DAPF_DILATIONS,
    LIGHT_DECODER_WIDTH,
    STEM_WIDTHS,
    NetworkSpec,
    plan_hard_block,
)

Size = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """One convolution at one input size.

    Attributes:
        name: its place, for example "dec1.mda.ctx3x1".
        in_channels, out_channels, kernel: its shape.
        after: what follows it: "relu" or "prelu", each after a BatchNorm layer, or "none".
        bias: whether it has one.
        in_size, out_size: (height, width) of its maps.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: Size
    after: str
    bias: bool
    in_size: Size
    out_size: Size

    @property
    def macs(self) -> int:
        """Multiply-adds."""
        return _area(self.out_size) * self.out_channels * _area(self.kernel) * self.in_channels

    @property
    def parameters(self) -> int:
        """Of kernel, bias, and the BatchNorm layer and PReLU weights after it."""
        after = {"none": 0, "relu": 2, "prelu": 3}[self.after] + self.bias
        return self.out_channels * (self.in_channels * _area(self.kernel) + after)

    @property
    def traffic(self) -> int:
        """Elements read and written (CIO in Chao et al., HarDNet, 2019)."""
        return self.in_channels * _area(self.in_size) + self.out_channels * _area(self.out_size)


@dataclass
class Count:
    """The counts of one network at one size."""

    convolutions: list[Convolution] = field(default_factory=list)
    lone_parameters: int = 0
    other_operations: int = 0

    @property
    def parameters(self) -> int:
        """All trainable values."""
        return self.lone_parameters + sum(one.parameters for one in self.convolutions)

    @property
    def macs(self) -> int:
        """Multiply-adds of the convolutions."""
        return sum(one.macs for one in self.convolutions)

    @property
    def operations_as_in_paper(self) -> int:
        """The paper's FLOPs: multiply-adds, BatchNorm layers, activations, pooling, the classifier's bias."""
        return self.macs + self.other_operations

    @property
    def traffic(self) -> int:
        """Elements in and out of all convolutions."""
        return sum(one.traffic for one in self.convolutions)

    def convolve(
        self, name: str, channels: Size, kernel: Size, size: Size, stride: int = 1, after: str = "relu"
    ) -> Size:
        """Adds a convolution and what follows it; returns the size of its output."""
        out = (-(-size[0] // stride), -(-size[1] // stride))
        bias = name == "head"
        self.convolutions.append(Convolution(name, channels[0], channels[1], kernel, after, bias, size, out))
        elements = channels[1] * _area(out)
        # BatchNorm counts 2, an activation 1, the classifier's bias 1.
        self.other_operations += elements * (int(bias) if after == "none" else 3)
        return out

    def normalize(self, channels: int, size: Size) -> None:
        """Adds a BatchNorm layer and a PReLU that do not follow a convolution."""
        self.lone_parameters += 3 * channels
        self.other_operations += 3 * channels * _area(size)

    def pool(self, channels: int, size: Size) -> Size:
        """Adds a 2x2 average pooling; returns the size of its output."""
        self.other_operations += channels * _area(size)
        return size[0] // 2, size[1] // 2


def count(spec: NetworkSpec, classes: int, size: Size, alpha: int = 2) -> Count:
    """Counts one network.

    Args:
        spec: its row.
        classes: number of outputs.
        size: (height, width) of the image; sides at least `spec.minimum_side`.
        alpha: the DAPF's divisor.
    """
    total = Count()
    skips, channels, here = _encoder(total, spec, size)
    if spec.context == "dapf":
        _dapf(total, channels, here, alpha)
    elif spec.context == "aspp":
        _aspp(total, channels, here)
    dilations = spec.refine_dilations or (0,) * len(skips)
    stages = spec.stages[-2::-1]
    for number, ((skip, here), stage, dilation) in enumerate(zip(reversed(skips), stages, dilations, strict=True), 1):
        name, joined = f"dec{number}", channels + skip
        total.convolve(f"{name}.reduce", (joined, joined // 2), (1, 1), here)
        if dilation:
            _mda(total, name, joined // 2, here)
        if spec.decoder == "hard-block":
            channels = _hard_block(total, name, joined // 2, stage.growth, stage.layers, here)
        else:
            channels = LIGHT_DECODER_WIDTH
            total.convolve(f"{name}.conv", (joined // 2, channels), (3, 3), here)
    total.convolve("head", (channels, classes), (1, 1), here, after="none")
    return total


def _encoder(total: Count, spec: NetworkSpec, size: Size) -> tuple[list[tuple[int, Size]], int, Size]:
    """Stem and stages; returns (channels, size) of the skips, then channels and size of the coarsest map."""
    channels = 3
    for number, (width, stride) in enumerate(zip(STEM_WIDTHS, spec.stem_strides, strict=True)):
        size = total.convolve(f"stem.{number}", (channels, width), (3, 3), size, stride)
        channels = width
    skips = []
    for number, stage in enumerate(spec.stages, 1):
        if number > 1:
            size = total.pool(channels, size)
        skip = _hard_block(total, f"enc{number}", channels, stage.growth, stage.layers, size)
        skips.append((skip, size))
        channels = stage.width
        total.convolve(f"enc{number}.trans", (skip, channels), (1, 1), size)
    return skips[:-1], channels, size


def _hard_block(total: Count, name: str, channels: int, growth: int, layers: int, size: Size) -> int:
    plan = plan_hard_block(channels, growth, layers)
    for number, layer in enumerate(plan.layers, 1):
        total.convolve(f"{name}.L{number}", (layer.in_channels, layer.out_channels), (3, 3), size)
    return plan.out_channels


def _dapf(total: Count, channels: int, size: Size, alpha: int) -> None:
    inner = channels // alpha
    total.convolve("DAPF.1x1", (channels, inner), (1, 1), size)
    for dilation in DAPF_DILATIONS:
        total.convolve(f"DAPF.d{dilation}.3x1", (channels, inner), (3, 1), size)
        total.convolve(f"DAPF.d{dilation}.1x3", (inner, inner), (1, 3), size)
    total.convolve("DAPF.fuse", (inner * (1 + len(DAPF_DILATIONS)), channels), (1, 1), size)


def _aspp(total: Count, channels: int, size: Size) -> None:
    total.convolve("ASPP.1x1", (channels, ASPP_WIDTH), (1, 1), size)
    for dilation in DAPF_DILATIONS:
        total.convolve(f"ASPP.d{dilation}", (channels, ASPP_WIDTH), (3, 3), size)
    total.other_operations += channels * _area(size)
    total.convolve("ASPP.pool", (channels, ASPP_WIDTH), (1, 1), (1, 1))
    total.convolve("ASPP.fuse", (ASPP_WIDTH * (2 + len(DAPF_DILATIONS)), channels), (1, 1), size)


def _mda(total: Count, name: str, channels: int, size: Size) -> None:
    inner = channels // 2
    total.normalize(channels, size)
    total.convolve(f"{name}.mda.3x3", (channels, inner), (3, 3), size, after="prelu")
    total.convolve(f"{name}.mda.detail3x3", (inner, inner), (3, 3), size, after="prelu")
    total.convolve(f"{name}.mda.ctx3x1", (inner, inner), (3, 1), size, after="prelu")
    total.convolve(f"{name}.mda.ctx1x3", (inner, inner), (1, 3), size, after="prelu")
    total.normalize(inner, size)
    total.convolve(f"{name}.mda.1x1", (inner, channels), (1, 1), size, after="none")


def _area(size: Size) -> int:
    return size[0] * size[1]
