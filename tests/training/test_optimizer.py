from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fassd.training.optimizer import poly_lr

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "schedule.json").read_text())


@pytest.mark.parametrize(
    ("run", "update", "rate"),
    [(run, int(update), rate) for run in ("main", "finetune") for update, rate in GOLDEN[run]["values"].items()],
)
def test_the_lr_is_the_authors(run: str, update: int, rate: float) -> None:
    values = GOLDEN[run]
    found = poly_lr(values["initial"], update, values["total"], values["power"])
    assert found == pytest.approx(rate, rel=1e-9)


def test_the_power_is_the_paper_s_unless_told() -> None:
    assert poly_lr(0.02, 45_000, 90_000) == pytest.approx(0.02 * 0.5**0.9, rel=1e-12)
    assert poly_lr(0.02, 45_000, 90_000, 2.0) == pytest.approx(0.005, rel=1e-12)


@given(st.integers(2, 100_000), st.floats(0.1, 3), st.data())
def test_the_lr_falls_from_its_start_to_zero(total: int, power: float, data: st.DataObject) -> None:
    update = data.draw(st.integers(0, total - 1))
    assert poly_lr(0.1, 0, total, power) == 0.1
    assert poly_lr(0.1, update, total, power) > poly_lr(0.1, update + 1, total, power) >= 0
    assert poly_lr(0.1, total, total, power) == 0
