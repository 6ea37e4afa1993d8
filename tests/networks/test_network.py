from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fassd.core.errors import UsageError
from fassd.networks.aspp import ASPP
from fassd.networks.build import init_network
from fassd.networks.conv import Conv
from fassd.networks.dapf import DAPF
from fassd.networks.hard_block import HarDBlock
from fassd.networks.mda import MDA
from fassd.networks.network import SegmentationNetwork, upsample
from fassd.networks.specs import NETWORKS, network_by_name

NAMES = pytest.mark.parametrize("name", NETWORKS)


def _network(name: str, classes: int = 4) -> SegmentationNetwork:
    return init_network(network_by_name(name), classes).eval()


@NAMES
def test_a_network_works_at_its_minimum_and_refuses_one_pixel_less(name: str) -> None:
    network = _network(name)
    side = network.spec.minimum_side
    with torch.inference_mode():
        assert network(torch.randn(1, 3, side, side)).isfinite().all()
        for size in ((side - 1, side), (side, side - 1)):
            with pytest.raises(UsageError, match=f"needs at least {side} on each side"):
                network(torch.randn(1, 3, *size))


SIZED = {name: _network(name) for name in ("fassd-net", "fassd-net-l1", "fassd-net-l2", "baseline+aspp+mda")}


@pytest.mark.parametrize("name", SIZED)
@given(data=st.data())
@settings(max_examples=6, deadline=None, derandomize=True)
def test_any_size_gives_finite_logits_of_the_strided_size(name: str, data: st.DataObject) -> None:
    network = SIZED[name]
    sides = st.integers(network.spec.minimum_side, network.spec.minimum_side + 70)
    size = (data.draw(sides), data.draw(sides))
    with torch.inference_mode():
        logits = network(torch.randn(1, 3, *size))
        full = upsample(logits, size)
    coarse = list(size)
    for stride in network.spec.stem_strides:
        coarse = [-(-side // stride) for side in coarse]
    assert list(logits.shape) == [1, 4, *coarse]
    assert (tuple(full.shape), bool(full.isfinite().all())) == ((1, 4, *size), True)


def test_each_image_of_a_batch_is_answered_for_itself() -> None:
    network, images = _network("fassd-net"), torch.randn(3, 3, 64, 70)
    with torch.inference_mode():
        together = network(images)
        alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4 * float(alone.abs().max()))


def test_l1_has_the_full_network_s_weights_by_name_and_shape() -> None:
    for name in ("fassd-net", "fc-hardnet-70"):
        full, light = (_network(row).state_dict() for row in (name, f"{name}-l1"))
        assert [(key, value.shape) for key, value in full.items()] == [
            (key, value.shape) for key, value in light.items()
        ]


@pytest.mark.parametrize(
    ("name", "entries", "parameters"),
    [
        ("fassd-net", 479, 248),
        ("fassd-net-l1", 479, 248),
        ("fassd-net-l2", 401, 209),
        ("fc-hardnet-70", 416, 209),
    ],
)
def test_the_state_has_the_published_number_of_entries(name: str, entries: int, parameters: int) -> None:
    network = _network(name)
    assert (len(network.state_dict()), len(list(network.parameters()))) == (entries, parameters)


def test_every_convolution_but_the_classifier_is_without_bias() -> None:
    network = _network("baseline+aspp+mda")
    with_bias = [
        name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d) and layer.bias is not None
    ]
    assert with_bias == ["classifier"]


def test_norms_beside_prelu_have_the_larger_epsilon() -> None:
    network = _network("fassd-net")
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.eps == (1e-3 if ".refine." in name else 1e-5), name
            assert layer.momentum == 0.1


@pytest.mark.parametrize(
    ("block", "out"),
    [
        (DAPF(20, 3), 20),
        (ASPP(20), 20),
        (MDA(21, 4), 21),
        (HarDBlock(20, 10, 4), 48),
        (Conv(20, 5, (3, 1), dilation=(7, 1)), 5),
        (Conv(20, 5, (1, 3), dilation=(1, 7)), 5),
    ],
)
def test_blocks_keep_height_and_width(block: nn.Module, out: int) -> None:
    channels = 21 if isinstance(block, MDA) else 20
    assert block.eval()(torch.randn(2, channels, 9, 13)).shape == (2, out, 9, 13)


def test_the_mda_adds_to_its_input() -> None:
    block, features = MDA(8, 2).eval(), torch.randn(1, 8, 5, 5)
    nn.init.zeros_(block.expand.weight)
    assert torch.equal(block(features), features)


def _reach(block: nn.Module, channels: int, side: int) -> tuple[set[int], set[int]]:
    """Rows and columns, relative to the center, from which the center of the output is influenced."""
    features = torch.randn(1, channels, side, side, dtype=torch.float64, requires_grad=True)
    center = side // 2
    block.double().eval()(features)[0, :, center, center].sum().backward()
    assert features.grad is not None
    rows, columns = torch.nonzero(features.grad[0].abs().sum(0), as_tuple=True)
    return {int(row) - center for row in rows}, {int(column) - center for column in columns}


def test_the_dapf_looks_at_its_three_dilations_in_both_directions() -> None:
    torch.manual_seed(0)
    expected = {-36, -24, -12, 0, 12, 24, 36}
    assert _reach(DAPF(6, 1), 6, 101) == (expected, expected)


def test_the_aspp_looks_at_the_whole_map() -> None:
    everywhere = set(range(-20, 21))
    assert _reach(ASPP(6), 6, 41) == (everywhere, everywhere)


@pytest.mark.parametrize("dilation", [2, 4, 8])
def test_the_mda_looks_as_far_as_its_dilation(dilation: int) -> None:
    rows, columns = _reach(MDA(8, dilation), 8, 41)
    assert (max(rows), min(rows)) == (max(columns), min(columns)) == (dilation + 1, -dilation - 1)


def test_enlarging_keeps_the_corners() -> None:
    maps = torch.randn(2, 3, 4, 5)
    enlarged = upsample(maps, (13, 17))
    assert torch.allclose(enlarged[..., ::4, ::4], maps, atol=1e-6)


def test_a_convolution_in_full_precision_ignores_autocast() -> None:
    layer, features = Conv(3, 4, (3, 3)), torch.randn(1, 3, 8, 8)
    exact = layer(features)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = layer(features)
        layer.full_precision = True
        kept = layer(features.bfloat16()), layer(features)
    assert reduced.dtype == torch.bfloat16
    assert (kept[0].dtype, kept[1].dtype) == (torch.float32, torch.float32)
    assert torch.equal(kept[1], exact)
