"""Checking a data set, and what the report of it says."""

from __future__ import annotations

import os
from collections.abc import Sequence

from fassd.checks.check import Checked, check_dataset
from fassd.core.types import Watch, ignore_events


def check(spec: str, splits: Sequence[str] = (), processes: int | None = None, watch: Watch = ignore_events) -> Checked:
    """Reads every pair of a data set and tells what is wrong with it.

    Args:
        spec: "kind:PATH".
        splits: which; all there are by default.
        processes: that read; one for each processor by default.
        watch: gets "pair" as pairs are read.

    Raises:
        UsageError, FileError, DataError: there is no data set to check, or its description is wrong.
    """
    return check_dataset(spec, splits, processes or os.cpu_count() or 1, watch)
