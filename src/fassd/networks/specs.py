"""The paper's networks (Rosas-Arias et al., ICPR 2020), one row each, and the arithmetic of the HarDBlock.

Without PyTorch: counting, printing and checking need only the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from fassd.core.errors import UnknownName, UsageError

STEM_WIDTHS = (16, 24, 32, 48)
LIGHT_DECODER_WIDTH = 64
DAPF_DILATIONS = (12, 24, 36)
ASPP_WIDTH = 256
HARD_BLOCK_MULTIPLIER = 1.7
NORM_EPSILON = 1e-5
PRELU_NORM_EPSILON = 1e-3
"""Of BatchNorm layers before a PReLU; measured on the published networks."""


@dataclass(frozen=True)
class Stage:
    """An encoder stage: HarDBlock(growth, layers), then a 1x1 transition to `width` channels."""

    growth: int
    layers: int
    width: int


@dataclass(frozen=True)
class PaperFigures:
    """The figures for a network in the paper's Tables I and IV, and why ours may differ."""

    parameters_m: float
    gflops: float
    note: str = ""


@dataclass(frozen=True)
class NetworkSpec:
    """One network; the fields are everything in which the paper's networks differ.

    Attributes:
        name: what users type.
        stem_strides: strides of the stem's four 3x3 convolutions (Section IV-C for L1 and L2).
        stages: encoder stages from the finest to the coarsest.
        context: the module on the coarsest map (Fig. 3), or none.
        refine_dilations: dilation of the MDA (Fig. 4) in each decoder stage from the deepest; empty without MDA.
        decoder: what follows in each decoder stage, a HarDBlock or one 3x3 convolution (L2).
        paper: the paper's figures.
    """

    name: str
    stem_strides: tuple[int, int, int, int]
    stages: tuple[Stage, ...]
    context: Literal["none", "aspp", "dapf"]
    refine_dilations: tuple[int, ...]
    decoder: Literal["hard-block", "conv"]
    paper: PaperFigures

    @property
    def output_stride(self) -> int:
        """Input pixels per pixel of the logits, along one side."""
        first, second, third, fourth = self.stem_strides
        return first * second * third * fourth

    @property
    def minimum_side(self) -> int:
        """The shortest image side, pixels, for which no map becomes empty.

        A convolution of stride s gives ceil(side / s), pooling floor(side / 2); the coarsest map needs one pixel.
        """
        side: int = 2 ** (len(self.stages) - 1)
        for stride in reversed(self.stem_strides):
            side = (side - 1) * stride + 1
        return side

    def check_size(self, height: int, width: int, what: str) -> None:
        """Refuses images for which a map would become empty.

        Args:
            height: of the image, pixels.
            width: of the image, pixels.
            what: names the image in the message.

        Raises:
            UsageError: a side is below `minimum_side`.
        """
        if min(height, width) < self.minimum_side:
            raise UsageError(
                f"{what} is {width}x{height} pixels; {self.name} needs at least "
                f"{self.minimum_side} on each side: resize it, or choose a network with a smaller minimum"
            )


_FOUR_STAGES = (Stage(10, 4, 64), Stage(16, 4, 96), Stage(18, 8, 160), Stage(24, 8, 224))
_FIVE_STAGES = (*_FOUR_STAGES, Stage(32, 8, 320))
_MDA = (8, 4, 2)

_FASSD_NET = NetworkSpec("fassd-net", (2, 1, 2, 1), _FOUR_STAGES, "dapf", _MDA, "hard-block", PaperFigures(2.85, 45.1))
_FC_HARDNET = NetworkSpec(
    "fc-hardnet-70",
    (2, 1, 2, 1),
    _FIVE_STAGES,
    "none",
    (),
    "hard-block",
    PaperFigures(
        4.1,
        35.4,
        "Table I prints 4.10; exactly 4.12. 35.4 is the FCHarDNet repository's own count, without activations.",
    ),
)


def _light1(spec: NetworkSpec, parameters_m: float, gflops: float) -> NetworkSpec:
    """L1 of a network: the first convolution has stride 3 (Section IV-C)."""
    return replace(spec, name=f"{spec.name}-l1", stem_strides=(3, 1, 2, 1), paper=PaperFigures(parameters_m, gflops))


def _light2(spec: NetworkSpec, parameters_m: float, gflops: float) -> NetworkSpec:
    """L2 of a network: the second convolution has stride 2, and decoder stages are 3x3 convolutions (Section IV-C)."""
    return replace(
        spec,
        name=f"{spec.name}-l2",
        stem_strides=(2, 2, 2, 1),
        decoder="conv",
        paper=PaperFigures(parameters_m, gflops),
    )


_ROWS = (
    _FASSD_NET,
    _light1(_FASSD_NET, 2.85, 20.0),
    _light2(_FASSD_NET, 2.3, 8.7),
    _FC_HARDNET,
    _light1(_FC_HARDNET, 4.1, 15.7),
    _light2(_FC_HARDNET, 2.86, 6.6),
    replace(_FASSD_NET, name="baseline", context="none", refine_dilations=(), paper=PaperFigures(1.9, 32.9)),
    replace(_FASSD_NET, name="baseline+aspp", context="aspp", refine_dilations=(), paper=PaperFigures(3.85, 36.8)),
    replace(_FASSD_NET, name="baseline+dapf", refine_dilations=(), paper=PaperFigures(2.36, 33.9)),
    replace(_FASSD_NET, name="baseline+mda", context="none", paper=PaperFigures(2.38, 44.2)),
    replace(_FASSD_NET, name="baseline+aspp+mda", context="aspp", paper=PaperFigures(4.33, 48.0)),
)

NETWORKS = {row.name: row for row in _ROWS}


def network_by_name(name: str) -> NetworkSpec:
    """The row of a network.

    Raises:
        UnknownName: no row has this name; the nearest are offered.
    """
    if name not in NETWORKS:
        raise UnknownName("network", name, NETWORKS)
    return NETWORKS[name]


@dataclass(frozen=True)
class HardBlockLayer:
    """A layer of a HarDBlock: the earlier layers that it reads (0 is the block's input), and its widths."""

    links: tuple[int, ...]
    in_channels: int
    out_channels: int


@dataclass(frozen=True)
class HardBlockPlan:
    """A HarDBlock (Chao et al., ICCV 2019): its layers, and those that are concatenated as its output."""

    layers: tuple[HardBlockLayer, ...]
    output_layers: tuple[int, ...]
    out_channels: int


def plan_hard_block(in_channels: int, growth: int, layers: int) -> HardBlockPlan:
    """Links and widths of a HarDBlock.

    Layer l reads the layers l - 2^i for every i where 2^i divides l, nearest first. Its width is growth * 1.7^n, made
    even, where n is how often 2 divides l. The odd layers and the last one are the output.
    """
    widths = [in_channels]
    planned = []
    for layer in range(1, layers + 1):
        skips = [2**i for i in range(layer.bit_length()) if layer % 2**i == 0]
        links = tuple(layer - skip for skip in skips)
        width = growth * HARD_BLOCK_MULTIPLIER ** (len(skips) - 1)
        widths.append(int(int(width + 1) / 2) * 2)
        planned.append(HardBlockLayer(links, sum(widths[link] for link in links), widths[-1]))
    output_layers = tuple(layer for layer in range(1, layers + 1) if layer % 2 == 1 or layer == layers)
    return HardBlockPlan(tuple(planned), output_layers, sum(widths[layer] for layer in output_layers))


def check_alpha(spec: NetworkSpec, alpha: int) -> None:
    """Refuses an alpha for which the DAPF's branches have no channels.

    Raises:
        UsageError: alpha is below 1 or above the width of the coarsest map.
    """
    widest = spec.stages[-1].width
    if not 1 <= alpha <= widest:
        raise UsageError(f"alpha is {alpha}; it divides the DAPF's {widest} channels, so 1 to {widest} is possible")
