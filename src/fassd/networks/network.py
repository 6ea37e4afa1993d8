"""The segmentation network: encoder, context, decoder, classifier, assembled from one row of the table (Fig. 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fassd.networks.aspp import ASPP
from fassd.networks.conv import ConvReLU
from fassd.networks.dapf import DAPF
from fassd.networks.hard_block import HarDBlock
from fassd.networks.mda import MDA
from fassd.networks.specs import LIGHT_DECODER_WIDTH, STEM_WIDTHS, NetworkSpec, Stage


class EncoderStage(nn.Module):
    """A HarDBlock, whose output is also the decoder's skip, then a 1x1 transition."""

    def __init__(self, in_channels: int, stage: Stage) -> None:
        super().__init__()
        self.block = HarDBlock(in_channels, stage.growth, stage.layers)
        self.transition = ConvReLU(self.block.out_channels, stage.width, (1, 1))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, in, H, W) -> the skip (N, block, H, W) and the next stage's input (N, width, H, W)."""
        skip = self.block(features)
        return skip, self.transition(skip)


class Encoder(nn.Module):
    """HarDNet's stem and stages, with 2x2 average pooling between stages."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        stem_inputs = (3, *STEM_WIDTHS[:-1])
        self.stem = nn.Sequential(
            *(
                ConvReLU(inputs, width, (3, 3), stride)
                for inputs, width, stride in zip(stem_inputs, STEM_WIDTHS, spec.stem_strides, strict=True)
            )
        )
        widths = (STEM_WIDTHS[-1], *(stage.width for stage in spec.stages))
        stages = [EncoderStage(width, stage) for width, stage in zip(widths, spec.stages, strict=False)]
        self.skip_channels = tuple(stage.block.out_channels for stage in stages)
        self.stages = nn.ModuleList(stages)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, H, W) normalized -> the coarsest map, and the skips of the finer stages from the finest."""
        features = self.stem(images)
        skips: list[Tensor] = []
        for position, stage in enumerate(self.stages):
            if position:
                features = F.avg_pool2d(features, 2)
            skip, features = stage(features)
            skips.append(skip)
        # The coarsest stage has no decoder stage, so its skip is not used.
        return features, skips[:-1]


class DecoderStage(nn.Module):
    """Upsample to the skip, concatenate, reduce to half the channels, refine (MDA), then a block."""

    def __init__(
        self, in_channels: int, skip_channels: int, stage: Stage, dilation: int | None, spec: NetworkSpec
    ) -> None:
        super().__init__()
        reduced = (in_channels + skip_channels) // 2
        self.reduce = ConvReLU(in_channels + skip_channels, reduced, (1, 1))
        self.refine: nn.Module = MDA(reduced, dilation) if dilation else nn.Identity()
        self.block: HarDBlock | ConvReLU
        if spec.decoder == "hard-block":
            self.block = HarDBlock(reduced, stage.growth, stage.layers)
            self.out_channels = self.block.out_channels
        else:
            self.block = ConvReLU(reduced, LIGHT_DECODER_WIDTH, (3, 3))
            self.out_channels = LIGHT_DECODER_WIDTH

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """(N, in, h, w) and (N, skip, H, W) -> (N, out, H, W)."""
        joined = torch.cat([upsample(features, (skip.shape[2], skip.shape[3])), skip], 1)
        decoded: Tensor = self.block(self.refine(self.reduce(joined)))
        return decoded


class SegmentationNetwork(nn.Module):
    """Any network of the table.

    Args:
        spec: the row.
        classes: number of outputs, 1 to 255.
        alpha: divides the channels of the DAPF's branches; the paper uses 2.
    """

    def __init__(self, spec: NetworkSpec, classes: int, alpha: int = 2) -> None:
        super().__init__()
        self.spec = spec
        self.classes = classes
        self.alpha = alpha
        self.encoder = Encoder(spec)
        self.context = _context(spec, alpha)
        self.decoder = nn.ModuleList()
        channels = spec.stages[-1].width
        finer = list(zip(spec.stages, self.encoder.skip_channels, strict=True))[-2::-1]
        dilations = spec.refine_dilations or (None,) * len(finer)
        for (stage, skip_channels), dilation in zip(finer, dilations, strict=True):
            decoder = DecoderStage(channels, skip_channels, stage, dilation, spec)
            channels = decoder.out_channels
            self.decoder.append(decoder)
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images to coarse logits.

        Args:
            images: (N, 3, H, W) floating point, normalized, sides at least `spec.minimum_side`.

        Returns:
            (N, classes, h, w): the logits at 1 / `spec.output_stride` of the size; see `upsample`.

        Raises:
            UsageError: a side is too short.
        """
        logits: Tensor = self.classifier(self.decoded(images)[-1])
        return logits

    def decoded(self, images: Tensor) -> list[Tensor]:
        """The maps after each decoder stage, from the coarsest to the one before the classifier.

        Args:
            images: as for `forward`.

        Raises:
            UsageError: a side is too short.
        """
        self.spec.check_size(images.shape[2], images.shape[3], "the image")
        features, skips = self.encoder(images)
        maps = [self.context(features)]
        for stage, skip in zip(self.decoder, reversed(skips), strict=True):
            maps.append(stage(maps[-1], skip))
        return maps[1:]


def _context(spec: NetworkSpec, alpha: int) -> nn.Module:
    channels = spec.stages[-1].width
    if spec.context == "dapf":
        return DAPF(channels, alpha)
    return ASPP(channels) if spec.context == "aspp" else nn.Identity()


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with corners aligned, the only upsampling in these networks.

    Args:
        maps: (N, channels, h, w) floating point.
        size: (H, W) of the result.
    """
    return F.interpolate(maps, size, mode="bilinear", align_corners=True)
