"""The cheap check before training and evaluation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.checks.quick_check import quick_check
from fassd.core.errors import DataError, FileError
from fassd.core.labels import CAMVID
from fassd.data.open_dataset import open_dataset
from fassd.media.formats import ImageHeader, opened


@pytest.fixture
def camvid(camvid_root: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(camvid_root, tmp_path / "camvid"))


def _mask(root: Path) -> Path:
    return sorted((root / "trainannot").iterdir())[1]


def test_a_sound_set_passes_once_every_header_was_read(camvid_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def noted(path: Path) -> AbstractContextManager[ImageHeader]:
        read.append(path)
        return opened(path)

    monkeypatch.setattr("fassd.checks.quick_check.opened", noted)
    dataset = open_dataset(f"camvid:{camvid_root}", "train")
    quick_check(dataset)
    assert sorted(read) == sorted(path for pair in dataset.pairs for path in (pair.image, pair.mask))


def _renumbered(mask: Path) -> None:
    """A palette that begins with the last class."""
    values = np.array(Pillow.open(mask))
    count = len(CAMVID)
    picture = Pillow.fromarray(np.where(values < count, count - 1 - values, values).astype(np.uint8))
    picture.putpalette([channel for one in reversed(CAMVID.classes) for channel in one.color])
    picture.save(mask)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "size": (lambda mask: Pillow.open(mask).resize((64, 48)).save(mask), "is 64x48 but its image"),
    "values": (lambda mask: Pillow.fromarray(np.full((96, 128), 77, np.uint8)).save(mask), "holds the value 77"),
    "colors": (lambda mask: Pillow.open(mask).convert("RGB").save(mask), "holds colors"),
    "palette": (_renumbered, "palette with the colors of 'camvid', whose indices are no classes"),
    "JPEG": (lambda mask: Pillow.open(mask).save(mask, "JPEG"), "JPEG-compressed"),
    "empty": (lambda mask: mask.write_bytes(b""), "is empty"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_would_fail_later_is_refused_and_named(camvid: Path, name: str) -> None:
    damage, sentence = DAMAGE[name]
    damage(_mask(camvid))
    with pytest.raises(FileError, match=sentence) as caught:
        quick_check(open_dataset(f"camvid:{camvid}", "train"))
    assert caught.value.path == _mask(camvid)
    assert f"fassd data check camvid:{camvid}" in str(caught.value)


def test_the_number_of_broken_pairs_is_told(camvid: Path) -> None:
    for mask in sorted((camvid / "trainannot").iterdir())[:3]:
        Pillow.open(mask).resize((64, 48)).save(mask)
    with pytest.raises(DataError, match="2 more of 4 pairs"):
        quick_check(open_dataset(f"camvid:{camvid}", "train"))
