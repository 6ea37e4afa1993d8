"""The deployable form of a network in PyTorch: the definition of pre- and post-processing that the others are held to.

uint8 images go in; logits or a class map come out. Training normalizes with the same `normalize`; what `graph.py` draws
for runtimes without PyTorch is compared with this.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fassd.core.checkpoint import Normalization
from fassd.core.errors import UsageError
from fassd.networks.conv import ConvPReLU, ConvReLU
from fassd.networks.network import SegmentationNetwork, upsample

# Rows of the answer that are enlarged at once: bounds the memory, whatever the picture's size.
_STRIP_ROWS = 256


def normalize(images: Tensor, pixels: Normalization) -> Tensor:
    """8-bit images to network input: (value / 255 - mean) / deviation.

    Args:
        images: (N, H, W, 3) uint8 RGB.
        pixels: channel order, mean and deviation.

    Returns:
        (N, 3, H, W) float32 in the network's channel order, laid out channels-last as the images are.
    """
    if pixels.channel_order == "bgr":
        images = images.flip(3)
    mean = torch.tensor(pixels.mean, device=images.device)
    std = torch.tensor(pixels.std, device=images.device)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


class InferenceNetwork(nn.Module):
    """A network ready to answer: norms folded into convolutions, normalization inside.

    Args:
        network: trained; it is copied and left as it is.
        pixels: what it expects as input.
    """

    def __init__(self, network: SegmentationNetwork, pixels: Normalization) -> None:
        super().__init__()
        self.network = _folded(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalization = pixels

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8 RGB -> (N, classes, h, w) coarse logits.

        Raises:
            UsageError: a side is below the network's minimum.
        """
        logits: Tensor = self.network(normalize(images, self.normalization))
        return logits


def _folded(network: SegmentationNetwork) -> SegmentationNetwork:
    folded = copy.deepcopy(network).eval()
    for module in folded.modules():
        if isinstance(module, ConvReLU | ConvPReLU) and isinstance(module.norm, nn.BatchNorm2d | nn.SyncBatchNorm):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    for parameter in folded.parameters():
        parameter.requires_grad_(False)
    return folded


def class_map(logits: Tensor, size: tuple[int, int], among: Sequence[int] | None = None) -> Tensor:
    """The best class at every pixel of the enlarged logits.

    Args:
        logits: (N, classes, h, w) coarse logits.
        size: (H, W) of the answer.
        among: only these classes may be the answer; None means all.

    Returns:
        (N, H, W) uint8; of equal logits the lowest class wins.

    Raises:
        UsageError: a side of the answer is below 1; `among` is empty or names a class that does not exist; a logit
            is infinite or NaN.
    """
    if min(size) < 1:
        raise UsageError(f"the answer's size is {size[0]}x{size[1]}; expected at least 1x1")
    if among is not None and (not len(among) or min(among) < 0 or max(among) >= logits.shape[1]):
        raise UsageError(f"the answer is to be among {list(among)}, but the classes are 0 to {logits.shape[1] - 1}")
    allowed = torch.arange(logits.shape[1]) if among is None else torch.tensor(sorted(among))
    allowed = allowed.to(logits.device)
    logits = logits.float() if among is None else logits.float()[:, allowed]
    if not logits.isfinite().all():
        raise UsageError(
            "a logit is infinite or no number at all: the weights are damaged, or the precision is too low for them; "
            "try float32"
        )
    tops = range(0, size[0], _STRIP_ROWS)
    # To 8 bits strip by strip: argmax answers with 64, eight times what the whole map needs.
    classes = allowed.to(torch.uint8)
    strips = [classes[_strip(logits, size, top, min(top + _STRIP_ROWS, size[0])).argmax(1)] for top in tops]
    return torch.cat(strips, 1)


def _strip(logits: Tensor, size: tuple[int, int], top: int, bottom: int) -> Tensor:
    """Rows `top` to `bottom` of the bilinearly enlarged logits, corners aligned."""
    height = logits.shape[2]
    scale = (height - 1) / (size[0] - 1) if size[0] > 1 else 0.0
    places = torch.arange(top, bottom, device=logits.device, dtype=torch.float64) * scale
    above = places.floor().long().clamp(max=height - 1)
    below = (above + 1).clamp(max=height - 1)
    share = (places - above).to(logits.dtype)[None, None, :, None]
    return upsample(torch.lerp(logits[:, :, above], logits[:, :, below], share), (bottom - top, size[1]))
