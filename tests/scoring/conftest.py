"""What the tests of scoring share."""

from __future__ import annotations

from pathlib import Path

import pytest

from fassd.data.dataset import Dataset
from fassd.data.open_dataset import open_dataset


@pytest.fixture
def dataset(camvid_root: Path) -> Dataset:
    return open_dataset(f"camvid:{camvid_root}", "val")
