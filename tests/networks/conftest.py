"""Networks filled with the golden parameters, as the authors' code had them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import parameters  # type: ignore[import-not-found]
import pytest
import torch

from fassd.networks.build import load_arrays
from fassd.networks.network import SegmentationNetwork
from fassd.networks.published import our_name
from fassd.networks.specs import network_by_name

GOLDEN = Path(__file__).parents[1] / "golden"

# On busy cores a second thread costs more waiting than it saves work.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Any]]:
    """What `net-NAME.json` says."""

    def read(name: str) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((GOLDEN / f"net-{name}.json").read_text())
        return described

    return read


@pytest.fixture(scope="session")
def golden_network(golden: Callable[[str], dict[str, Any]]) -> Callable[[str], SegmentationNetwork]:
    """The network of `net-NAME.json` in float32, evaluation mode."""

    def build(name: str) -> SegmentationNetwork:
        described = golden(name)
        network = SegmentationNetwork(network_by_name(described["network"]), described["classes"])
        arrays = {our_name(key): array for key, array in parameters.state(described["state"]).items()}
        load_arrays(network, arrays, GOLDEN / f"net-{name}.json", name)
        return network.eval()

    return build
