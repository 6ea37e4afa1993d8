"""One update as the authors' code makes it: loss, gradients, running statistics, and the loss after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from fassd.networks.network import SegmentationNetwork
from fassd.networks.published import our_name
from fassd.training.loss import bootstrapped_cross_entropy

NETWORKS = ("fassd-net", "fassd-net-l1", "fassd-net-l2", "fc-hardnet-70")
Start = Callable[[str], tuple[SegmentationNetwork, dict[str, Any]]]


@dataclass(frozen=True)
class SegmentationTrainStep:
    """What one update did, beside what the authors' code did."""

    expected: dict[str, Any]
    statistics: dict[str, Tensor]
    gradient_norms: dict[str, float]
    loss: float
    loss_if_threshold_100: float
    loss_after: float


def _update(
    network: SegmentationNetwork, expected: dict[str, Any], images: Tensor, labels: Tensor
) -> SegmentationTrainStep:
    min_kept, threshold = expected["min_K"], expected["loss_th"]
    optimiser = torch.optim.SGD(network.parameters(), 0.02, 0.9, weight_decay=5e-4)
    logits = network(images)
    statistics = {name: value.clone() for name, value in network.named_buffers()}
    loss = bootstrapped_cross_entropy(logits, labels, min_kept=min_kept, threshold=threshold)
    by_worst = bootstrapped_cross_entropy(logits.detach(), labels, min_kept=min_kept, threshold=100)
    loss.backward()  # type: ignore[no-untyped-call]
    norms = {name: float(one.grad.norm()) for name, one in network.named_parameters() if one.grad is not None}
    optimiser.step()
    with torch.no_grad():
        after = bootstrapped_cross_entropy(network(images), labels, min_kept=min_kept, threshold=threshold)
    return SegmentationTrainStep(expected, statistics, norms, float(loss.detach()), float(by_worst), float(after))


@pytest.fixture(scope="module", params=NETWORKS)
def exact(
    request: pytest.FixtureRequest, golden_start: Start, golden_batch: tuple[Tensor, Tensor]
) -> SegmentationTrainStep:
    """The update in float64."""
    network, expected = golden_start(request.param)
    return _update(network.double(), expected, *golden_batch)


def test_the_losses_are_the_authors(exact: SegmentationTrainStep) -> None:
    assert exact.loss == pytest.approx(exact.expected["loss"], rel=1e-9)
    assert exact.loss_if_threshold_100 == pytest.approx(exact.expected["loss_if_threshold_100"], rel=1e-9)


def test_the_gradients_are_as_long_as_the_authors(exact: SegmentationTrainStep) -> None:
    named = {our_name(key): norm for key, norm in exact.expected["gradient_norms"].items()}
    assert {name: exact.gradient_norms[name] for name in named} == pytest.approx(named, rel=1e-9)
    total = sum(norm**2 for norm in exact.gradient_norms.values()) ** 0.5
    assert total == pytest.approx(exact.expected["total_gradient_norm"], rel=1e-9)


def test_the_running_statistics_are_the_authors(exact: SegmentationTrainStep) -> None:
    for key, expected in exact.expected["running_statistics_after_one_forward"].items():
        for statistic, values in expected.items():
            found = exact.statistics[our_name(f"{key}.{statistic}")]
            torch.testing.assert_close(found.double(), torch.tensor(values, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_the_loss_after_one_update_is_the_authors(exact: SegmentationTrainStep) -> None:
    assert exact.loss_after == pytest.approx(exact.expected["loss_after_one_sgd_step"], rel=1e-9)
    assert exact.loss_after != pytest.approx(exact.loss, rel=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels-last"])
def test_float32_deviates_no_more_than_it_did_for_the_authors(
    layout: torch.memory_format, golden_start: Start, golden_batch: tuple[Tensor, Tensor]
) -> None:
    network, expected = golden_start("fassd-net-l2")
    network.to(memory_format=layout)  # type: ignore[call-overload]
    images, labels = golden_batch
    update = _update(network, expected, images.float().contiguous(memory_format=layout), labels)
    assert update.loss == pytest.approx(expected["loss"], rel=1e-5)
    assert update.loss_after == pytest.approx(expected["loss_after_one_sgd_step"], rel=2e-3)
    named = {our_name(key): norm for key, norm in expected["gradient_norms"].items()}
    assert {name: update.gradient_norms[name] for name in named} == pytest.approx(named, rel=0.01)
