"""A layer drifts above the limit of its precision."""

from __future__ import annotations

import numpy as np
import pytest

from fassd.exports.layer_drift import compare_layers


@pytest.mark.parametrize(
    ("precision", "error", "said"),
    [
        (
            "float32",
            5e-5,
            "every layer is within the limit of float32 (largest relative error 5e-05, in b, limit 0.0001)",
        ),
        ("int8", 0.18, "every layer is within the limit of int8 (largest relative error 0.18, in b, limit 0.2)"),
        ("int8", 0.25, "the first layer that drifts is b (relative error 0.25, limit 0.2)"),
        ("bfloat16", 0.18, "the first layer that drifts is b (relative error 0.18, limit 0.04)"),
    ],
)
def test_a_layer_is_judged_by_what_its_precision_may_cost(precision: str, error: float, said: str) -> None:
    source = {name: np.ones((1, 2, 3, 4), np.float32) for name in "abc"}
    found = compare_layers(source, {**source, "b": source["b"] * np.float32(1 + error)}, precision)
    assert said in found.sentence
    assert "agree" not in found.sentence
