"""Interleaved rounds, and Ctrl-C in them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import msgspec
import pytest

from fassd.runtimes.runtime import Stages
from fassd.speed.protocol import OpenVariant, Request, run_rounds
from fassd.speed.report import Variant

SIZE = (64, 96)


def _counted(names: str, calls: list[str]) -> list[OpenVariant]:
    variant = Variant(network="n", runtime="r", precision="p", device="cpu", size=SIZE, batch=1)

    def counted(name: str) -> OpenVariant:
        request = Request(msgspec.structs.replace(variant, network=name), "user", None)
        return OpenVariant(request, lambda number, stages: calls.append(name), lambda: None)

    return [counted(name) for name in names]


def test_each_round_measures_each_variant_once_in_an_order_of_its_own() -> None:
    calls: list[str] = []
    found = run_rounds(_counted("abc", calls), rounds=60)
    rounds = ["".join(calls[start : start + 3]) for start in range(0, 180, 3)]
    assert {"".join(sorted(one)) for one in rounds} == {"abc"}
    assert found.times.shape == (60, 3)
    # Six orders, ten times each on average; each comes after each other one.
    assert min(Counter(rounds).values()) >= 3 and len(set(rounds)) == 6
    assert all(Counter(one[place] for one in rounds)[name] >= 10 for place in range(3) for name in "abc")


@pytest.mark.parametrize(("stop", "rounds"), [(7, 2), (8, 2), (9, 3)])
def test_ctrl_c_keeps_the_completed_rounds(stop: int, rounds: int) -> None:
    calls: list[str] = []

    def stopping(number: int, stages: Stages | None) -> None:
        calls.append("x")
        if len(calls) > stop:
            raise KeyboardInterrupt

    variants = [replace(one, predict=stopping) for one in _counted("abc", [])]
    found = run_rounds(variants, rounds=100)
    assert found.interrupted
    assert found.times.shape == (rounds, 3)
    assert (found.times > 0).all()


def test_ctrl_c_in_the_first_round_ends_everything() -> None:
    def stopping(number: int, stages: Stages | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_rounds([replace(one, predict=stopping) for one in _counted("a", [])], rounds=3)
