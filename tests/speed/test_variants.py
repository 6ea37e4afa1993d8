"""The variants that follow from a configuration."""

from __future__ import annotations

from pathlib import Path

from fassd.speed.variants import PROPOSED, BenchmarkConfig, requests_of

SIZE = (64, 96)


def test_without_a_name_the_papers_networks_are_measured(tmp_path: Path) -> None:
    requests = requests_of(BenchmarkConfig(sizes=[SIZE]), tmp_path)
    assert tuple(dict.fromkeys(request.variant.network for request in requests)) == PROPOSED
    assert [request.variant.runtime for request in requests] == ["eager", "auto"] * 3
    assert {
        request.variant.runtime for request in requests_of(BenchmarkConfig(protocol="paper", sizes=[SIZE]), tmp_path)
    } == {"eager"}
    assert (
        BenchmarkConfig().rounds_wanted,
        BenchmarkConfig(protocol="paper").rounds_wanted,
        BenchmarkConfig(rounds=3).rounds_wanted,
    ) == (
        50,
        10_000,
        3,
    )
