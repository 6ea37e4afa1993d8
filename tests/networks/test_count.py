from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fassd.networks.count import Convolution, Count, count
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import NETWORKS, network_by_name

FULL_SIZE = (1024, 2048)
LAYERS = json.loads((Path(__file__).parents[1] / "golden" / "layers.json").read_text())
NAMES = pytest.mark.parametrize("name", NETWORKS)

# Name, parameters, multiply-adds, thousands of millions of operations as the paper counts, elements of traffic,
# convolutions: 19 classes at 1024x2048.
FIGURES = [
    ("fassd-net", 2_845_351, 44_683_993_088, 45.112, 352_952_320, 75),
    ("fassd-net-l1", 2_845_351, 19_767_350_805, 19.958, 160_227_780, 75),
    ("fassd-net-l2", 2_289_454, 8_561_240_064, 8.677, 88_606_720, 62),
    ("fc-hardnet-70", 4_119_257, 35_217_426_432, 35.502, 272_300_032, 70),
    ("fc-hardnet-70-l1", 4_119_257, 15_542_669_148, 15.669, 124_355_454, 70),
    ("fc-hardnet-70-l2", 2_857_143, 6_524_514_816, 6.609, 70_662_144, 50),
    ("baseline", 1_896_365, 32_630_185_984, 32.909, 265_723_904, 52),
    ("baseline+aspp", 3_849_069, 36_505_780_224, 36.793, 272_736_736, 58),
    ("baseline+dapf", 2_362_509, 33_580_720_128, 33.866, 271_228_928, 60),
    ("baseline+mda", 2_379_207, 43_733_458_944, 44.156, 347_447_296, 67),
    ("baseline+aspp+mda", 4_331_911, 47_609_053_184, 48.039, 354_460_128, 73),
]


def _full(name: str, classes: int = 19, alpha: int = 2) -> Count:
    return count(network_by_name(name), classes, FULL_SIZE, alpha)


def _built(name: str, classes: int = 19, alpha: int = 2) -> SegmentationNetwork:
    """Shapes alone, without memory or arithmetic."""
    with torch.device("meta"):
        return SegmentationNetwork(network_by_name(name), classes, alpha)


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("name", "parameters", "macs", "operations", "traffic", "convolutions"), FIGURES)
def test_every_network_counts_as_in_the_paper(
    name: str, parameters: int, macs: int, operations: float, traffic: int, convolutions: int
) -> None:
    counted = _full(name)
    assert (counted.parameters, counted.macs, counted.traffic) == (parameters, macs, traffic)
    assert round(counted.operations_as_in_paper / 1e9, 3) == operations
    assert len(counted.convolutions) == convolutions


def test_no_network_is_left_out_of_the_figures() -> None:
    assert [row[0] for row in FIGURES] == list(NETWORKS)


@NAMES
def test_the_paper_s_own_figures_are_met_at_its_precision(name: str) -> None:
    counted, printed = _full(name), NETWORKS[name].paper
    assert abs(counted.operations_as_in_paper / 1e9 - printed.gflops) < (0.05 if not printed.note else 0.11)
    assert abs(counted.parameters / 1e6 - printed.parameters_m) < (0.02 if printed.parameters_m == 4.1 else 0.011)


@NAMES
def test_the_built_network_has_the_counted_parameters(name: str) -> None:
    assert _parameters(_built(name)) == _full(name).parameters


@pytest.mark.parametrize(
    ("classes", "alpha", "parameters"),
    [(19, 1, 3_536_839), (19, 4, 2_584_279), (19, 6, 2_508_526), (19, 8, 2_474_911), (11, 2, 2_844_959)],
)
def test_alpha_and_classes_change_the_parameters_as_published(classes: int, alpha: int, parameters: int) -> None:
    assert _full("fassd-net", classes, alpha).parameters == parameters
    assert _parameters(_built("fassd-net", classes, alpha)) == parameters


def _as_row(one: Convolution) -> list[Any]:
    front = [one.name, one.in_channels, one.out_channels, list(one.kernel), one.bias, one.after]
    return [*front, list(one.in_size), list(one.out_size), one.parameters, one.macs, one.traffic]


@NAMES
def test_every_convolution_is_where_and_what_the_authors_have(name: str) -> None:
    columns = ["name", "in", "out", "kernel", "bias", "after", "in_hw", "out_hw", "parameters", "macs", "cio"]
    places = [LAYERS["columns"].index(column) for column in columns]
    expected = [[row[place] for place in places] for row in LAYERS["networks"][name]["convolutions"]]
    assert [_as_row(one) for one in _full(name).convolutions] == expected


def _measured(network: SegmentationNetwork, size: tuple[int, int]) -> list[tuple[Any, ...]]:
    """What passes through each convolution of a forward pass without memory: shape, steps, sizes."""
    found: list[tuple[Any, ...]] = []

    def note(layer: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        steps = (layer.stride[0], *layer.padding, *layer.dilation, layer.bias is not None)
        shape = (layer.in_channels, layer.out_channels, *layer.kernel_size)
        found.append((*shape, *steps, *given[0].shape[2:], *output.shape[2:]))

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(note)
    network.eval()(torch.empty(1, 3, *size, device="meta"))
    return sorted(found)


@NAMES
def test_the_built_network_convolves_as_the_authors_do(name: str) -> None:
    expected = sorted(
        (channels, out, *kernel, stride, *padding, *dilation, bias, *in_size, *out_size)
        for _, channels, out, kernel, stride, padding, dilation, bias, _, in_size, out_size, *_ in LAYERS["networks"][
            name
        ]["convolutions"]
    )
    assert _measured(_built(name), FULL_SIZE) == expected


@NAMES
@pytest.mark.parametrize("size", [(131, 157), (259, 122)])
def test_at_ragged_sizes_the_built_network_does_what_was_counted(name: str, size: tuple[int, int]) -> None:
    counted = count(network_by_name(name), 7, size, alpha=3)
    rows = [
        (one.in_channels, one.out_channels, *one.kernel, one.bias, *one.in_size, *one.out_size)
        for one in counted.convolutions
    ]
    measured = [(*row[:4], *row[9:]) for row in _measured(_built(name, 7, 3), size)]
    assert sorted(rows) == sorted(measured)
    # Output elements times kernel positions times input channels.
    assert sum(row[7] * row[8] * math.prod(row[:4]) for row in measured) == counted.macs


@NAMES
def test_other_operations_scale_with_the_image_as_the_convolutions_do(name: str) -> None:
    spec = network_by_name(name)
    small, large = (count(spec, 19, (side, side)) for side in (768, 1536))
    assert large.other_operations == pytest.approx(4 * small.other_operations, rel=1e-4)
    assert large.macs == pytest.approx(4 * small.macs, rel=1e-4)


def test_a_convolution_counts_its_own_figures() -> None:
    one = Convolution("x", 3, 4, (3, 1), "prelu", True, (10, 20), (5, 10))
    assert (one.macs, one.traffic) == (5 * 10 * 4 * 3 * 3, 3 * 200 + 4 * 50)
    assert one.parameters == 4 * 3 * 3 + 4 + 3 * 4


def test_counting_needs_no_pytorch() -> None:
    program = """
import sys
from fassd.networks.count import count
from fassd.networks.specs import NETWORKS
print(count(NETWORKS["baseline"], 19, (64, 64)).parameters, "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1896365", "False"]
