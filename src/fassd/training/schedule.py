"""The learning rate over a run: "poly" as the published code has it."""

from __future__ import annotations


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
