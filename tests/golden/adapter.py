"""Our networks for check.py: `python check.py adapter:build`, in this folder."""

from pathlib import Path

import torch

from fassd.networks.build import load_arrays
from fassd.networks.network import SegmentationNetwork, upsample
from fassd.networks.published import our_name
from fassd.networks.table import network_by_name


def build(network, classes, state):
    """f(image) -> (coarse logits, full-size logits) of a network filled with the given state."""
    net = SegmentationNetwork(network_by_name(network), classes)
    load_arrays(net, {our_name(key): value for key, value in state.items()}, Path("golden state"), network)
    net.eval()

    def run(image):
        with torch.inference_mode():
            coarse = net(torch.from_numpy(image))
            return coarse.numpy(), upsample(coarse, image.shape[2:]).numpy()

    return run
