"""The logits of the authors' code. Tolerance: 1e-4 of the largest logit (see golden/README.md); float32 gives 1e-5."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import parameters  # type: ignore[import-not-found]
import pytest
import torch

from fassd.networks.network import SegmentationNetwork, upsample

GOLDEN = Path(__file__).parents[1] / "golden"
TOLERANCE = 1e-4
NETWORKS = ("fassd-net", "fassd-net-l1", "fassd-net-l2", "fc-hardnet-70", "fassd-net-11classes")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels-last"])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_the_authors(
    name: str,
    layout: torch.memory_format,
    golden: Callable[[str], dict[str, Any]],
    golden_network: Callable[[str], SegmentationNetwork],
) -> None:
    network = golden_network(name).to(memory_format=layout)  # type: ignore[call-overload]
    stored, deviations = np.load(GOLDEN / f"net-{name}.npz"), {}
    for case in golden(name)["cases"]:
        image = torch.from_numpy(parameters.image(case["id"], 1, *case["size"])).contiguous(memory_format=layout)
        with torch.inference_mode():
            low = network(image)
            full = upsample(low, case["size"])
        for kind, found in (("low", low), ("full", full)):
            expected = stored[f"{case['id']}.{kind}"]
            assert list(found.shape) == case[f"{kind}_shape"]
            sampled = parameters.sample(found.numpy(), expected.shape[-2:])
            deviations[case["id"], kind] = float(np.abs(sampled - expected).max()) / case["max_abs_logit"]
    assert len(deviations) == len(stored.files) > 0
    assert {where: found for where, found in deviations.items() if not found < TOLERANCE} == {}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_answer_s_classes_are_the_authors(
    name: str,
    golden: Callable[[str], dict[str, Any]],
    golden_network: Callable[[str], SegmentationNetwork],
) -> None:
    described, network = golden(name), golden_network(name)
    case = described["cases"][0]
    with torch.inference_mode():
        full = upsample(network(torch.from_numpy(parameters.image(case["id"], 1, *case["size"]))), case["size"])
    histogram = torch.bincount(full.argmax(1).flatten(), minlength=described["classes"])
    # A pixel between two classes may fall to either.
    assert (histogram - torch.tensor(case["argmax_histogram"])).abs().sum() <= 4
