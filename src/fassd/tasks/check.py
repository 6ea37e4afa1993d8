"""Check: reads every pair of a data set and reports what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fassd.checks.check import CheckResult, check_dataset
from fassd.core.types import Watch, ignore_events


def check(
    spec: str, splits: Sequence[str] = (), processes: int | None = None, watch: Watch = ignore_events
) -> CheckResult:
    """Reads every pair of a data set and reports what is wrong with it.

    Args:
        spec: "kind:PATH".
        splits: their names; all by default.
        processes: number of reading processes; one for each processor by default.
        watch: gets the events of `check_dataset`.

    Raises:
        UsageError, FileError, DataError: there is no data set to check, or its description is wrong.
    """
    return check_dataset(spec, splits, processes or os.cpu_count() or 1, watch)
