"""Weights for other classes: what is kept, what is new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fassd.core.checkpoint import RGB_NORMALIZATION, Checkpoint, Header
from fassd.core.errors import CheckpointError
from fassd.core.labels import LabelClass, LabelSpace
from fassd.networks.build import arrays_of, checkpoint_of, init_network
from fassd.networks.specs import network_by_name
from fassd.networks.transfer import load_pretrained

PATH = Path("trained.safetensors")


def _space(*names: str) -> LabelSpace:
    return LabelSpace("some", tuple(LabelClass(name, (place, 0, 0), place) for place, name in enumerate(names)))


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    """A `baseline` of the classes road, car and sky."""
    network = init_network(network_by_name("baseline"), 3, seed=1)
    header = Header(network="baseline", label_space=_space("road", "car", "sky"), normalization=RGB_NORMALIZATION)
    return checkpoint_of(network, header)


def test_classes_of_the_same_name_keep_their_rows_and_others_start_fresh(trained: Checkpoint) -> None:
    space = _space("Sky", "tree", "ROAD", "bus")
    network = init_network(network_by_name("baseline"), 4, seed=2)
    fresh = {name: array.copy() for name, array in arrays_of(network, np.float32).items()}
    loaded = load_pretrained(network, trained, PATH, space)
    assert (loaded.kept, loaded.new) == (("Sky", "ROAD"), ("tree", "bus"))
    for name, array in arrays_of(network, np.float32).items():
        before = trained.arrays[name].astype(np.float32)
        if name.startswith("classifier"):
            assert np.array_equal(array[[0, 2]], before[[2, 0]]), name
            assert np.array_equal(array[[1, 3]], fresh[name][[1, 3]]), name
        else:
            assert np.array_equal(array, before), name


def test_as_many_classes_of_other_names_are_not_taken_for_the_same(trained: Checkpoint) -> None:
    network = init_network(network_by_name("baseline"), 3, seed=2)
    fresh = arrays_of(network, np.float32)["classifier.weight"].copy()
    loaded = load_pretrained(network, trained, PATH, _space("a", "b", "car"))
    weights = arrays_of(network, np.float32)["classifier.weight"]
    assert (loaded.kept, loaded.new) == (("car",), ("a", "b"))
    assert np.array_equal(weights[:2], fresh[:2])
    assert np.array_equal(weights[2], trained.arrays["classifier.weight"][1].astype(np.float32))


def test_weights_of_another_network_are_refused(trained: Checkpoint) -> None:
    network = init_network(network_by_name("fassd-net-l2"), 3)
    with pytest.raises(CheckpointError, match=r"is baseline with alpha 2, but fassd-net-l2 .*--network baseline"):
        load_pretrained(network, trained, PATH, _space("road", "car", "sky"))
