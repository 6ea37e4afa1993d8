"""One thread for small networks; networks whose BatchNorm layers have an effect."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from fassd.core.checkpoint import Checkpoint, Header, Normalization
from fassd.core.labels import CAMVID
from fassd.networks.build import checkpoint_of, init_network
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import network_by_name

# On busy cores a second thread costs more waiting than it saves work.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def lively() -> Callable[[str, Normalization], tuple[SegmentationNetwork, Checkpoint]]:
    """A network with random weights, BatchNorm layers and PReLU weights, and its checkpoint."""

    def make(name: str, pixels: Normalization) -> tuple[SegmentationNetwork, Checkpoint]:
        network = init_network(network_by_name(name), len(CAMVID)).eval()
        random = torch.Generator().manual_seed(1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.2, generator=random)
                module.running_var.uniform_(0.5, 2, generator=random)
                module.weight.data.uniform_(0.5, 1.5, generator=random)
                module.bias.data.normal_(0, 0.2, generator=random)
            if isinstance(module, nn.PReLU):
                module.weight.data.uniform_(-0.3, 0.6, generator=random)
        header = Header(network=name, label_space=CAMVID, normalization=pixels)
        return network, checkpoint_of(network, header, np.float32)

    return make
