"""The graph without PyTorch: how convolutions of split inputs are counted."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fassd.networks.graph import _vectors


@given(st.lists(st.integers(1, 70), min_size=1, max_size=6), st.sampled_from([4, 8, 16]))
def test_channels_fill_whole_vectors_input_by_input(widths: list[int], lanes: int) -> None:
    assert _vectors(widths, lanes) == sum(math.ceil(width / lanes) for width in widths)
