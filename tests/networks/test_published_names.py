from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fassd.networks.network import SegmentationNetwork
from fassd.networks.published import our_name
from fassd.networks.specs import network_by_name

NAMES = pytest.mark.parametrize("name", ["fassd-net", "fassd-net-l1", "fassd-net-l2", "fc-hardnet-70"])


@NAMES
def test_the_authors_keys_lead_one_to_one_to_ours_with_equal_shapes(
    name: str, golden: Callable[[str], dict[str, Any]]
) -> None:
    theirs = golden(name)["state"]
    ours = SegmentationNetwork(network_by_name(name), 19).state_dict()
    renamed = [(our_name(key), tuple(shape)) for key, shape in theirs]
    assert len({key for key, _ in renamed}) == len(theirs)
    assert set(renamed) == {(key, tuple(value.shape)) for key, value in ours.items()}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("base.0.conv.weight", "encoder.stem.0.conv.weight"),
        ("base.3.norm.running_var", "encoder.stem.3.norm.running_var"),
        ("base.4.layers.2.conv.weight", "encoder.stages.0.block.layers.2.conv.weight"),
        ("base.17.norm.bias", "encoder.stages.4.transition.norm.bias"),
        ("DAPF.conv1x1.weight", "context.near.conv.weight"),
        ("DAPF.bn1x1.bias", "context.near.norm.bias"),
        ("DAPF.pyBranch2.atrous_conv3x1.weight", "context.far.0.0.conv.weight"),
        ("DAPF.pyBranch4.bn1x3.running_mean", "context.far.2.1.norm.running_mean"),
        ("DAPF.conv1.weight", "context.fuse.conv.weight"),
        ("conv1x1_up.1.conv.weight", "decoder.1.reduce.conv.weight"),
        ("mda.0.bn_relu_1.acti.weight", "decoder.0.refine.enter.activation.weight"),
        ("mda.2.parallel_conv3x3.bn_prelu.bn.weight", "decoder.2.refine.detail.norm.weight"),
        ("mda.1.parallel_ddconv1x3.bn_prelu.acti.weight", "decoder.1.refine.context.1.activation.weight"),
        ("mda.1.conv1x1.conv.weight", "decoder.1.refine.expand.weight"),
        ("denseBlocksUp.2.layers.3.norm.weight", "decoder.2.block.layers.3.norm.weight"),
        ("denseBlocksUp.2.conv.weight", "decoder.2.block.conv.weight"),
        ("finalConv.bias", "classifier.bias"),
    ],
)
def test_each_part_gets_its_name(theirs: str, ours: str) -> None:
    assert our_name(theirs) == ours


def test_an_unknown_key_stays_as_it_is() -> None:
    assert our_name("backbone.0.conv.weight") == "backbone.0.conv.weight"
