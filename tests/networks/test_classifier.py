from __future__ import annotations

import pytest
import torch

from fassd.core.errors import UsageError
from fassd.networks.build import init_network
from fassd.networks.classifier import HEAD_DROPOUT, Classifier, init_classifier
from fassd.networks.specs import NETWORKS, network_by_name


def _classifier(name: str = "baseline", classes: int = 7) -> Classifier:
    return init_classifier(network_by_name(name), classes, seed=3)


@pytest.mark.parametrize("name", NETWORKS)
def test_its_encoder_has_the_names_and_shapes_of_the_segmentation_networks(name: str) -> None:
    spec = network_by_name(name)
    own, theirs = Classifier(spec, 3).encoder.state_dict(), init_network(spec, 3).encoder.state_dict()
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in theirs.items()}


def test_the_answer_is_a_linear_function_of_the_mean_over_the_coarsest_map() -> None:
    network, images = _classifier().eval(), torch.randn(2, 3, 64, 96)
    features, _ = network.encoder(images)
    mean = features.flatten(2).sum(2) / (features.shape[2] * features.shape[3])
    expected = mean @ network.head.weight.T + network.head.bias
    assert torch.allclose(network(images), expected, atol=1e-5)


def test_the_head_drops_a_tenth_of_the_features_while_training_alone() -> None:
    network = _classifier()
    kept = network.train().dropout(torch.ones(100_000))
    assert HEAD_DROPOUT == 0.1
    assert float((kept == 0).float().mean()) == pytest.approx(0.1, abs=0.01)
    assert torch.equal(network.eval().dropout(torch.ones(9)), torch.ones(9))


def test_the_seed_decides_the_beginning() -> None:
    one, same, other = (init_classifier(network_by_name("baseline"), 3, seed) for seed in (1, 1, 2))
    weight = "encoder.stem.0.conv.weight"
    assert torch.equal(one.state_dict()[weight], same.state_dict()[weight])
    assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])


def test_a_picture_below_the_networks_minimum_is_refused() -> None:
    with pytest.raises(UsageError, match="needs at least 29"):
        _classifier()(torch.zeros(1, 3, 28, 64))
