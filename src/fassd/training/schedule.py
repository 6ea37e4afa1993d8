"""The learning rate over a run: "poly" as the published code has it, after a warm-up where one is wanted."""

from __future__ import annotations

from fassd.core.recipe import Optimiser


def poly_rate(initial: float, update: int, total: int, power: float = 0.9) -> float:
    """The rate of one update: initial * (1 - update / total) ** power.

    The paper prints (iter / total) ** 0.9, which would rise from 0: a misprint. The published code steps its
    scheduler before each update, so update number n, counted from 1, uses this value at n.

    Args:
        initial: rate at the start.
        update: number of the update, 0 to `total`.
        total: updates of the whole run.
        power: 0.9 in the paper (Section IV-A).
    """
    return float(initial * (1 - update / total) ** power)


def scheduled_rate(optimiser: Optimiser, update: int, total: int) -> float:
    """The rate of one update by a recipe: poly, risen to linearly over the first `warmup` updates.

    Args:
        optimiser: the recipe's.
        update: from 0. The published loop starts with 1; with ours its last update would not be lost to a rate of 0.
        total: updates of the whole run.
    """
    rise = min(1.0, (update + 1) / (optimiser.warmup + 1))
    return rise * poly_rate(optimiser.rate, update, total, optimiser.power)
