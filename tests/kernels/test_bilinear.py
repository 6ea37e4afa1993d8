"""Coarse neighbors of fine positions."""

from __future__ import annotations

import numpy as np
import pytest

from fassd.kernels.bilinear import coarse_neighbors


@pytest.mark.parametrize(("coarse", "fine"), [(5, 9), (5, 5), (7, 3), (4, 31), (1, 6), (6, 1), (1, 1)])
def test_interpolating_a_ramp_gives_a_ramp(coarse: int, fine: int) -> None:
    before, after, weight = coarse_neighbors(coarse, fine, 0, fine)
    ramp = before * (1 - weight) + after * weight
    expected = np.linspace(0, coarse - 1, fine) if fine > 1 else [0]
    np.testing.assert_allclose(ramp, expected, atol=1e-6)
    assert (before >= 0).all()
    assert (after < coarse).all()


def test_strips_are_parts_of_the_axis() -> None:
    complete = coarse_neighbors(8, 61, 0, 61)
    strips = [coarse_neighbors(8, 61, start, start + 20) for start in (0, 20)] + [coarse_neighbors(8, 61, 40, 61)]
    for one, parts in zip(complete, zip(*strips, strict=True), strict=True):
        np.testing.assert_array_equal(one, np.concatenate(parts))
