from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fassd.networks.build import init_network
from fassd.networks.conv import Conv, ConvReLU
from fassd.networks.specs import network_by_name
from fassd.training.precision import find_unsafe_bf16_convs, has_bfloat16

INPUTS = torch.zeros(2, 3, 16, 16)


class _Spoil(torch.autograd.Function):
    """The identity, whose gradient is multiplied."""

    @staticmethod
    def forward(context: Any, values: Tensor, factor: float) -> Tensor:
        context.factor = factor
        return values.clone()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * context.factor, None


class FaultyConv(Conv):
    """A convolution with a wrong kernel: in bfloat16 one of its results is multiplied by `factor`."""

    def __init__(self, what: str, factor: float) -> None:
        super().__init__(4, 4, (3, 1), dilation=(2, 1))
        self.what, self.factor = what, factor

    def forward(self, features: Tensor) -> Tensor:
        """As `Conv`, but for the fault."""
        if self.full_precision or not torch.is_autocast_enabled(features.device.type):
            return super().forward(features)
        weight = _Spoil.apply(self.weight, self.factor) if self.what == "weight" else self.weight  # type: ignore[no-untyped-call]
        given = _Spoil.apply(features, self.factor) if self.what == "input" else features  # type: ignore[no-untyped-call]
        output = F.conv2d(given, weight, None, self.stride, self.padding, self.dilation)
        return output * self.factor if self.what == "output" else output


def _network(faulty: Conv) -> nn.Sequential:
    return nn.Sequential(ConvReLU(3, 4, (1, 1)), faulty, ConvReLU(4, 4, (1, 1)))


@pytest.mark.parametrize("what", ["weight", "input", "output"])
@pytest.mark.parametrize("factor", [float("nan"), 0.0, 1.9])
def test_a_convolution_with_a_wrong_kernel_is_found_and_no_other(what: str, factor: float) -> None:
    network = _network(FaultyConv(what, factor))
    assert find_unsafe_bf16_convs(network, INPUTS) == ["1"]
    marked = [name for name, layer in network.named_modules() if isinstance(layer, Conv) and layer.full_precision]
    assert marked == ["1"]


def test_a_convolution_that_merely_rounds_is_trusted() -> None:
    network = _network(FaultyConv("weight", 1.01))
    assert find_unsafe_bf16_convs(network, INPUTS) == []


def test_after_marking_the_gradients_are_right() -> None:
    network, images = _network(FaultyConv("weight", float("nan"))), torch.randn(2, 3, 16, 16)
    find_unsafe_bf16_convs(network, images)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images)
    output.float().square().mean().backward()
    assert all(one.grad is not None and bool(one.grad.isfinite().all()) for one in network.parameters())


def test_the_network_is_unchanged_afterwards() -> None:
    network = _network(Conv(4, 4, (3, 1))).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    find_unsafe_bf16_convs(network, torch.randn(2, 3, 16, 16))
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="this processor has no bfloat16 in hardware")
def test_a_plain_convolution_is_trusted_where_there_is_bfloat16() -> None:
    network = nn.Sequential(ConvReLU(3, 16, (3, 3), 2), ConvReLU(16, 16, (1, 1)))
    assert find_unsafe_bf16_convs(network, torch.zeros(2, 3, 32, 32)) == []


def test_every_convolution_of_a_network_is_tested() -> None:
    network = init_network(network_by_name("baseline"), 3)
    for layer in network.modules():
        if isinstance(layer, Conv):
            layer.weight.data[0] = float("nan")
    found = find_unsafe_bf16_convs(network, torch.zeros(1, 3, 32, 32))
    assert found == [name for name, layer in network.named_modules() if isinstance(layer, Conv)]


def test_a_device_that_is_neither_processor_nor_gpu_has_no_bfloat16() -> None:
    assert not has_bfloat16(torch.device("meta"))
