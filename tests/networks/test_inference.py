from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from fassd.core.checkpoint import BGR_NORMALIZATION, RGB_NORMALIZATION, Normalization
from fassd.core.errors import UsageError
from fassd.core.labels import CITYSCAPES
from fassd.networks.conv import ConvPReLU, ConvReLU
from fassd.networks.inference import InferenceNetwork, class_map, normalize
from fassd.networks.network import SegmentationNetwork

PREPROCESS = json.loads((Path(__file__).parents[1] / "golden" / "preprocess.json").read_text())
ORDERS = pytest.mark.parametrize("pixels", [RGB_NORMALIZATION, BGR_NORMALIZATION], ids=["rgb", "bgr"])


def _pictures(count: int, height: int, width: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8))


def test_pixels_become_the_authors_input() -> None:
    images = torch.tensor(PREPROCESS["rgb"], dtype=torch.uint8)[None]
    torch.testing.assert_close(
        normalize(images, BGR_NORMALIZATION)[0], torch.tensor(PREPROCESS["tensor"]), rtol=0, atol=2e-6
    )


def test_label_ids_become_the_authors_train_ids() -> None:
    table = CITYSCAPES.label_id_table()
    found = [250 if table[value] == 255 else int(table[value]) for value in PREPROCESS["label_ids"]]
    assert found == PREPROCESS["train_ids"]


@ORDERS
def test_normalized_pixels_lead_back_to_the_image(pixels: Normalization) -> None:
    images = _pictures(2, 5, 7)
    planes = normalize(images, pixels)
    assert (planes.dtype, planes.shape) == (torch.float32, (2, 3, 5, 7))
    assert planes.is_contiguous(memory_format=torch.channels_last)
    back = (planes.permute(0, 2, 3, 1) * torch.tensor(pixels.std) + torch.tensor(pixels.mean)) * 255
    ordered = images.flip(3) if pixels.channel_order == "bgr" else images
    assert torch.equal(back.round().to(torch.uint8), ordered)


def test_both_orders_hold_the_same_planes() -> None:
    images = _pictures(1, 4, 4)
    assert torch.equal(normalize(images, RGB_NORMALIZATION).flip(1), normalize(images, BGR_NORMALIZATION))


@ORDERS
@pytest.mark.parametrize("name", ["fassd-net", "fassd-net-l2", "fc-hardnet-70"])
def test_folding_norms_changes_nothing(
    name: str, pixels: Normalization, golden_network: Callable[[str], SegmentationNetwork]
) -> None:
    network, images = golden_network(name), _pictures(2, 97, 131)
    with torch.inference_mode():
        expected = network(normalize(images, pixels))
        found = InferenceNetwork(network, pixels)(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * float(expected.abs().max()))


def test_folding_leaves_norms_only_where_no_convolution_precedes(
    golden_network: Callable[[str], SegmentationNetwork],
) -> None:
    folded = InferenceNetwork(golden_network("fassd-net"), RGB_NORMALIZATION)
    units = [unit for unit in folded.modules() if isinstance(unit, ConvReLU | ConvPReLU)]
    assert len(units) > 60
    assert not any(isinstance(unit.norm, nn.BatchNorm2d) for unit in units)
    # The two of each of the three MDAs that open a branch.
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules()) == 6


def test_the_network_that_is_folded_stays_as_it_is(golden_network: Callable[[str], SegmentationNetwork]) -> None:
    network = golden_network("fassd-net-l2").train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    InferenceNetwork(network, RGB_NORMALIZATION)(_pictures(1, 64, 64))
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_image_below_the_minimum_is_refused(golden_network: Callable[[str], SegmentationNetwork]) -> None:
    with pytest.raises(UsageError, match="at least 57 on each side"):
        InferenceNetwork(golden_network("fassd-net-l2"), RGB_NORMALIZATION)(_pictures(1, 56, 80))


def _against_plain(logits: Tensor, size: tuple[int, int], found: Tensor) -> tuple[float, float]:
    """How much the chosen class lacks of the best at most, and the share of pixels that another class was chosen at,
    when everything is enlarged in float64; where two classes are all but equal either may win.
    """
    enlarged = F.interpolate(logits.double(), size, mode="bilinear", align_corners=True)
    chosen = enlarged.gather(1, found[:, None].long())[:, 0]
    return float((enlarged.amax(1) - chosen).max()), float((found != enlarged.argmax(1)).double().mean())


@pytest.mark.parametrize(
    ("coarse", "size"),
    [
        ((8, 10), (64, 80)),
        ((8, 10), (61, 83)),
        ((40, 6), (256, 20)),
        ((40, 6), (257, 20)),
        ((70, 5), (553, 31)),
        ((70, 5), (1030, 9)),
        ((9, 9), (9, 9)),
        ((30, 40), (7, 11)),
        ((30, 40), (1, 50)),
        ((30, 40), (50, 1)),
        ((30, 40), (1, 1)),
        ((1, 1), (300, 5)),
        ((1, 7), (290, 40)),
    ],
)
def test_the_class_map_is_the_argmax_of_the_upsampled_logits(coarse: tuple[int, int], size: tuple[int, int]) -> None:
    logits = torch.randn(2, 11, *coarse, generator=torch.Generator().manual_seed(0))
    found = class_map(logits, size)
    assert (found.dtype, found.shape) == (torch.uint8, (2, *size))
    lacking, differing = _against_plain(logits, size, found)
    assert lacking <= 1e-4
    assert differing < 0.002


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 300), st.integers(1, 40), st.integers(0, 999))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_class_map_is_right_at_any_size(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    logits = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    enlarged = F.interpolate(logits.double(), (rows, columns), mode="bilinear", align_corners=True)
    found = class_map(logits, (rows, columns))
    chosen = enlarged.gather(1, found[:, None].long())[:, 0]
    assert float((enlarged.amax(1) - chosen).max()) <= 1e-4


@pytest.mark.parametrize("among", [[0], [3], [1, 3], [3, 1], [0, 2, 4], (4,), [0, 1, 2, 3, 4]])
@pytest.mark.parametrize("size", [(5, 6), (40, 33), (300, 7), (3, 3)])
def test_only_the_given_classes_are_predicted(among: list[int], size: tuple[int, int]) -> None:
    logits = torch.randn(2, 5, 5, 6, generator=torch.Generator().manual_seed(0))
    logits[:, 2] += 10
    found = class_map(logits, size, among)
    ordered = sorted(among)
    assert set(found.flatten().tolist()) <= set(among)
    assert torch.equal(found, torch.tensor(ordered, dtype=torch.uint8)[class_map(logits[:, ordered], size).long()])


@pytest.mark.parametrize(("best", "among", "winner"), [((0, 1), None, 0), ((4, 2), None, 2), ((4, 2), [4, 3, 2], 2)])
def test_of_equal_logits_the_lowest_class_wins(best: tuple[int, ...], among: list[int] | None, winner: int) -> None:
    logits = torch.zeros(1, 5, 4, 4)
    logits[:, list(best)] = 1
    assert bool((class_map(logits, (31, 31), among) == winner).all())


def test_a_batch_is_predicted_like_its_images_one_by_one() -> None:
    logits = torch.randn(4, 6, 9, 12)
    together = class_map(logits, (270, 50))
    assert torch.equal(together, torch.cat([class_map(one[None], (270, 50)) for one in logits]))


def test_reduced_logits_are_upsampled_in_float32() -> None:
    logits = torch.randn(1, 6, 9, 12).bfloat16()
    assert torch.equal(class_map(logits, (64, 64)), class_map(logits.float(), (64, 64)))


def test_the_memory_format_of_the_logits_does_not_matter() -> None:
    logits = torch.randn(1, 6, 9, 12)
    turned = logits.contiguous(memory_format=torch.channels_last)
    lacking, differing = _against_plain(logits, (270, 50), class_map(turned, (270, 50)))
    assert lacking <= 1e-4
    assert differing < 0.002


def test_the_highest_of_255_classes_fits() -> None:
    logits = torch.zeros(1, 255, 2, 2)
    logits[:, 254] = 1
    assert bool((class_map(logits, (4, 4)) == 254).all())


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-3, 7)])
def test_a_class_map_without_pixels_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"size is {size[0]}x{size[1]}; expected at least 1x1"):
        class_map(torch.zeros(1, 3, 2, 2), size)
