from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import nn

from fassd.core.checkpoint import RGB_NORMALIZATION, Header
from fassd.core.errors import CheckpointError, UsageError
from fassd.core.labels import CAMVID
from fassd.networks.build import (
    arrays_of,
    checkpoint_of,
    init_network,
    load_arrays,
    load_encoder,
    network_from_checkpoint,
)
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import network_by_name

HEADER = Header(network="baseline", label_space=CAMVID, normalization=RGB_NORMALIZATION)
FILE = Path("some.safetensors")


def _fresh(name: str = "baseline", seed: int = 0, classes: int = 11) -> SegmentationNetwork:
    return init_network(network_by_name(name), classes, seed=seed)


def _equal(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_seed_alone_decides_a_fresh_network() -> None:
    torch.manual_seed(1)
    first = _fresh(seed=3)
    torch.manual_seed(2)
    assert _equal(first, _fresh(seed=3))
    assert not _equal(first, _fresh(seed=4))


def test_convolutions_start_as_xavier_normal_and_the_rest_neutral() -> None:
    network = _fresh("fassd-net")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 10_000:
            area = math.prod(layer.kernel_size)
            std = math.sqrt(2 / (area * (layer.in_channels + layer.out_channels)))
            assert float(layer.weight.detach().std()) == pytest.approx(std, rel=0.05)
            # A uniform draw of this deviation would end at 1.73.
            assert float(layer.weight.detach().abs().max()) > 3 * std
        elif isinstance(layer, nn.BatchNorm2d):
            assert bool((layer.weight == 1).all() and (layer.bias == 0).all())
        elif isinstance(layer, nn.PReLU):
            assert bool((layer.weight == 0.25).all())
    assert network.classifier.bias is not None
    assert bool((network.classifier.bias == 0).all())


def test_an_impossible_alpha_is_refused() -> None:
    with pytest.raises(UsageError, match="alpha is 225"):
        init_network(network_by_name("fassd-net"), 11, alpha=225)


def test_a_network_comes_back_from_its_checkpoint() -> None:
    network = _fresh()
    back = network_from_checkpoint(checkpoint_of(network, HEADER), FILE)
    assert _equal(network, back)
    assert (back.spec, back.classes, back.alpha) == (network.spec, 11, 2)


def test_a_half_precision_checkpoint_gives_a_float32_network() -> None:
    network = _fresh()
    checkpoint = checkpoint_of(network, HEADER, np.float16)
    assert {array.dtype for array in checkpoint.arrays.values()} == {np.dtype(np.float16)}
    back = network_from_checkpoint(checkpoint, FILE)
    assert {parameter.dtype for parameter in back.parameters()} == {torch.float32}
    assert torch.equal(back.classifier.weight, network.classifier.weight.half().float())


def test_alpha_comes_from_the_header() -> None:
    network = init_network(network_by_name("fassd-net"), 11, alpha=6)
    header = msgspec.structs.replace(HEADER, network="fassd-net", alpha=6)
    assert network_from_checkpoint(checkpoint_of(network, header), FILE).alpha == 6


def test_weights_are_stored_without_step_counters_and_load_with_or_without() -> None:
    network = _fresh()
    arrays = arrays_of(network, np.float32)
    assert not [name for name in arrays if name.endswith("num_batches_tracked")]
    counters = {"encoder.stem.0.norm.num_batches_tracked": np.zeros((), np.int64)}
    for given in (arrays, {**arrays, **counters}):
        target = _fresh(seed=1)
        load_arrays(target, given, FILE, "baseline")
        assert _equal(target, network)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda arrays: arrays.pop("classifier.bias"),
            "1 weights are missing and 0 do not belong.*lacks classifier.bias",
        ),
        (lambda arrays: arrays.update(more=np.zeros(1)), "0 weights are missing and 1 do not belong.*has more besides"),
        (
            lambda arrays: arrays.update({"classifier.bias": np.zeros(19, np.float32)}),
            r"classifier.bias is \[19\] in the file and \[11\] in the network",
        ),
    ],
)
def test_weights_of_another_network_are_refused_by_file(
    change: Callable[[dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]]], None], complaint: str
) -> None:
    network, arrays = _fresh(), arrays_of(_fresh(seed=1), np.float32)
    change(arrays)
    with pytest.raises(CheckpointError, match=complaint) as refusal:
        load_arrays(network, arrays, FILE, "baseline with 11 classes")
    assert str(refusal.value).startswith(f"{FILE}: does not hold baseline with 11 classes")
    assert _equal(network, _fresh())


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"content": "encoder"}, "encoder only"),
        ({"label_space": None}, "encoder only"),
        ({"network": "fassd-net"}, "does not hold fassd-net"),
    ],
)
def test_a_header_that_does_not_fit_its_weights_is_refused(changes: dict[str, str | None], complaint: str) -> None:
    checkpoint = checkpoint_of(_fresh(), msgspec.structs.replace(HEADER, **changes))
    with pytest.raises(CheckpointError, match=complaint):
        network_from_checkpoint(checkpoint, FILE)


@pytest.mark.parametrize("changes", [{"alpha": 0}, {"alpha": -1}, {"network": "fasd-net"}])
def test_a_damaged_header_is_a_checkpoint_error(changes: dict[str, str | int]) -> None:
    network = _fresh("fassd-net")
    header = msgspec.structs.replace(HEADER, network="fassd-net")
    checkpoint = checkpoint_of(network, msgspec.structs.replace(header, **changes))
    with pytest.raises(CheckpointError, match=FILE.name):
        network_from_checkpoint(checkpoint, FILE)


def test_the_deepest_network_s_encoder_fits_all_and_what_has_no_place_is_left() -> None:
    arrays = arrays_of(_fresh("fc-hardnet-70"), np.float32)
    network = _fresh("fassd-net-l2", seed=1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    encoder = load_encoder(network, arrays, FILE)
    assert encoder.loaded == len([name for name in network.encoder.state_dict() if not name.endswith("tracked")])
    assert len(encoder.unused) == 45
    assert all(name.startswith("stages.4.") for name in encoder.unused)
    for name, value in network.state_dict().items():
        if not name.endswith("tracked"):
            expected = torch.from_numpy(arrays[name]) if name.startswith("encoder.") else before[name]
            assert torch.equal(value, expected), name


def test_an_encoder_with_too_few_stages_is_refused() -> None:
    arrays = arrays_of(_fresh("fassd-net"), np.float32)
    with pytest.raises(CheckpointError, match="the encoder of fc-hardnet-70: 45 weights are missing"):
        load_encoder(_fresh("fc-hardnet-70"), arrays, FILE)
