"""The deployable form of a network in PyTorch, and the reference for pre- and post-processing.

uint8 images go in; logits or a class map come out. Training uses the same `normalize`. The graphs of `graph.py`, for
runtimes without PyTorch, are compared with this.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from fassd.core.checkpoint import Normalization
from fassd.core.errors import UsageError
from fassd.kernels.bilinear import coarse_neighbors
from fassd.networks.conv import ConvPReLU, ConvReLU
from fassd.networks.network import SegmentationNetwork, upsample

# Rows of the class map that are upsampled at once; this bounds the memory for every image size.
_STRIP_ROWS = 256


def normalize(images: Tensor, normalization: Normalization) -> Tensor:
    """8-bit images to network input: (value / 255 - mean) / std.

    Args:
        images: (N, H, W, 3) uint8 RGB.
        normalization: channel order, mean and standard deviation.

    Returns:
        (N, 3, H, W) float32 in the network's channel order, laid out channels-last as the images are.
    """
    if normalization.channel_order == "bgr":
        images = images.flip(3)
    mean = torch.tensor(normalization.mean, device=images.device)
    std = torch.tensor(normalization.std, device=images.device)
    return ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)


class InferenceNetwork(nn.Module):
    """A network for inference: BatchNorm layers folded into convolutions, normalization inside.

    Args:
        network: trained; it is copied, not changed.
        normalization: that it expects of its input.
    """

    def __init__(self, network: SegmentationNetwork, normalization: Normalization) -> None:
        super().__init__()
        self.network = _folded(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.normalization = normalization

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


def class_map(logits: Tensor, size: tuple[int, int], classes: Sequence[int] | None = None) -> Tensor:
    """The argmax class at every pixel of the upsampled logits.

    Args:
        logits: (N, classes, h, w) coarse logits.
        size: (H, W) of the class map.
        classes: that may be predicted; None means all.

    Returns:
        (N, H, W) uint8; of equal logits the lowest class wins.

    Raises:
        UsageError: a side is below 1; `classes` is empty or names one that does not exist; a logit is infinite or NaN.
    """
    if min(size) < 1:
        raise UsageError(f"the class map's size is {size[0]}x{size[1]}; expected at least 1x1")
    if classes is not None and (not len(classes) or min(classes) < 0 or max(classes) >= logits.shape[1]):
        raise UsageError(f"classes is {list(classes)}, but the classes are 0 to {logits.shape[1] - 1}")
    allowed = torch.arange(logits.shape[1]) if classes is None else torch.tensor(sorted(classes))
    allowed = allowed.to(logits.device)
    logits = logits.float() if classes is None else logits.float()[:, allowed]
    if not logits.isfinite().all():
        raise UsageError(
            "a logit is infinite or no number at all: the weights are damaged, or the precision is too low for them; "
            "try float32"
        )
    tops = range(0, size[0], _STRIP_ROWS)
    # argmax gives 64-bit numbers. They become 8-bit strip by strip, which saves seven eighths of the memory.
    numbers = allowed.to(torch.uint8)
    strips = [numbers[_strip(logits, size, top, min(top + _STRIP_ROWS, size[0])).argmax(1)] for top in tops]
    return torch.cat(strips, 1)


def _strip(logits: Tensor, size: tuple[int, int], top: int, bottom: int) -> Tensor:
    """Rows `top` to `bottom` of the logits upsampled to `size`."""
    neighbors = coarse_neighbors(logits.shape[2], size[0], top, bottom)
    above, below, weight = (torch.from_numpy(one).to(logits.device) for one in neighbors)
    rows = torch.lerp(logits[:, :, above], logits[:, :, below], weight[None, None, :, None])
    return upsample(rows, (bottom - top, size[1]))
