"""Table IV against its own arithmetic and the table of networks."""

from __future__ import annotations

import pytest

from fassd.networks.specs import NETWORKS
from fassd.speed.table_iv import PAPER_SIZE, PUBLISHED_MEAN_IOU, TABLE_IV, machine_factor


def test_table_iv_is_normalized_as_its_caption_says() -> None:
    factors = {"1080 Ti": 1.0, "Titan X (M)": 0.61, "Titan X (P)": 1.03, "Titan XP": 1.12}
    assert len(TABLE_IV) == 19
    for row in TABLE_IV:
        if row.fps > 1:  # the first two are printed as "about 1" and "below 1"
            expected = row.fps / factors[row.gpu] / (1.65 if row.tensorrt else 1)
            assert row.fps_normalized == pytest.approx(expected, abs=0.1), row.method


def test_table_iv_agrees_with_the_table_of_networks() -> None:
    ours = {row.network: row for row in TABLE_IV if row.network}
    assert list(ours) == [
        *("fc-hardnet-70-l2", "fassd-net-l2", "fc-hardnet-70-l1", "fassd-net-l1", "fc-hardnet-70", "fassd-net")
    ]
    for name, row in ours.items():
        paper = NETWORKS[name].paper
        assert (row.gflops, row.parameters_m) == (paper.gflops, paper.parameters_m)
        assert (row.size, row.gpu) == (PAPER_SIZE, "1080 Ti")
    assert PUBLISHED_MEAN_IOU.keys() == NETWORKS.keys()
    assert [PUBLISHED_MEAN_IOU[name] for name in ("fassd-net", "fassd-net-l1", "fassd-net-l2")] == [78.8, 76.3, 74.1]


def test_the_machines_factor_is_the_geometric_mean_over_published_networks() -> None:
    assert machine_factor({}) is None
    assert machine_factor({"peers:mine": 5.0}) is None
    assert machine_factor({"fassd-net": 41.1, "peers:mine": 5.0}) == pytest.approx(1)
    assert machine_factor({"fassd-net": 41.1 * 4, "fassd-net-l1": 78.0}) == pytest.approx(2)
