from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fassd.core.errors import CheckpointError
from fassd.networks.network import SegmentationNetwork
from fassd.networks.specs import NETWORKS
from fassd.networks.weights import COUNTER, check_arrays, shapes_of


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("classes", "alpha"), [(19, 2), (1, 3)])
def test_rows_alone_tell_the_shape_of_every_weight(name: str, classes: int, alpha: int) -> None:
    network = SegmentationNetwork(NETWORKS[name], classes, alpha)
    held = {key: tuple(value.shape) for key, value in network.state_dict().items() if not key.endswith(COUNTER)}
    assert shapes_of(NETWORKS[name], classes, alpha) == held


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"a": (2,)}, r"1 weights are missing and 0 do not belong \(lacks b\)"),
        ({"a": (2,), "b": (3, 1), "c": (1,)}, r"0 weights are missing and 1 do not belong \(has c besides\)"),
        ({"a": (2,), "b": (1, 3)}, r"b is \[1, 3\] in the file and \[3, 1\] in the network"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(given: dict[str, tuple[int, ...]], complaint: str) -> None:
    arrays = {name: np.zeros(shape) for name, shape in given.items()}
    with pytest.raises(CheckpointError, match=complaint):
        check_arrays({"a": (2,), "b": (3, 1)}, arrays, Path("x.safetensors"), "a network")


@pytest.mark.parametrize("counter", [f"norm.{COUNTER}", f"a.b.{COUNTER}"])
def test_step_counters_may_be_there_or_not_and_nothing_else_may(counter: str) -> None:
    def verdict(name: str) -> str | None:
        try:
            check_arrays({"a": (2,)}, {"a": np.zeros(2), name: np.zeros(())}, Path("x.safetensors"), "a network")
        except CheckpointError as error:
            return error.problem
        return None

    assert verdict(counter) is None
    assert "1 do not belong" in (verdict(f"{counter}x") or "")
