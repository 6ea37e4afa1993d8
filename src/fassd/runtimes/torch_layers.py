"""What every layer of a checkpoint gives, by PyTorch: what the layers of exported files are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fassd.core.arrays import Images
from fassd.core.checkpoint import Checkpoint
from fassd.networks.build import network_from_checkpoint
from fassd.networks.inference import InferenceNetwork
from fassd.runtimes.exported import LayerMaps


def layer_maps(checkpoint: Checkpoint, path: Path, images: Images) -> LayerMaps:
    """The maps behind each convolution and its norm, in float32.

    Args:
        checkpoint: a whole network.
        path: names it in messages.
        images: (N, H, W, 3) uint8 RGB.

    Returns:
        By the name of the convolution's weights.
    """
    deployed = InferenceNetwork(network_from_checkpoint(checkpoint, path), checkpoint.header.normalization).eval()
    maps: LayerMaps = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            maps[name] = output.clone().numpy()  # activations overwrite what they are given

        return hook

    for name, module in deployed.network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep(name.removesuffix(".conv")))
    with torch.inference_mode():
        deployed(torch.from_numpy(images.copy()))
    return maps
