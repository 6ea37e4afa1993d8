"""Where findings begin: the judging functions at both sides of their thresholds, and the sentences that they form."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from fassd.checks.alignment import FLIPS, Alignment
from fassd.checks.channel_order import _red_skies
from fassd.checks.check import SplitSummary
from fassd.checks.layout import _promised_by_camvid
from fassd.checks.leaks import _drive
from fassd.checks.mask_values import _chance, _stretches
from fassd.checks.page import _sizes
from fassd.checks.repair import _folder_written_whole
from fassd.checks.smoothed_masks import RunStats, _blockiness
from fassd.checks.value_causes import _unexplained
from fassd.core.errors import FileError
from fassd.core.labels import CITYSCAPES
from fassd.data.mask_encoding import by_value

FAR = -math.inf


@pytest.mark.parametrize(
    ("here", "flipped", "clear"),
    [(0.0, 6.5, True), (0.0, 6.4, False), (5.0, 7.0, True), (5.0, 6.9, False), (10.0, 13.0, True), (10.0, 12.9, False)],
)
def test_a_flip_must_fit_well_and_clearly_better(here: float, flipped: float, clear: bool) -> None:
    found = Alignment(here, (FAR, flipped, FAR, FAR, FAR), 0.0, (0.0, 0.0)).flip
    assert found == (FLIPS[1] if clear else None)


@pytest.mark.parametrize(
    ("here", "best", "shift", "shifted"),
    [
        (0.0, 7.5, 0.01, True),
        (0.0, 7.4, 0.01, False),
        (6.0, 9.0, 0.01, True),
        (6.0, 8.9, 0.01, False),
        (10.0, 14.0, 0.01, True),
        (10.0, 13.9, 0.01, False),
        (0.0, 20.0, 0.4, False),
    ],
)
def test_a_shift_must_fit_well_clearly_better_and_be_near(
    here: float, best: float, shift: float, shifted: bool
) -> None:
    flips = (FAR,) * len(FLIPS)
    for pair in ((shift, 0.0), (0.0, -shift)):
        assert Alignment(here, flips, best, pair).is_shifted is shifted


def _skies(*redness: float) -> tuple[np.ndarray, np.ndarray]:
    """(pairs, 2) redness of the sky and of all, and the fit of each mask."""
    return np.array([[sky, 0.0] for sky in redness]), np.full(len(redness), 100.0)


@pytest.mark.parametrize(
    ("skies", "swapped"),
    [
        ([90.0] * 2 + [0.0] * 8, [True] * 10),  # a fifth red, the rest gray, none blue: all of them
        ([90.0] + [0.0] * 9, [True] + [False] * 9),  # a tenth: these alone
        ([90.0] * 5 + [-90.0] * 5, [True] * 5 + [False] * 5),  # some skies are blue
        ([-90.0] * 10, [False] * 10),
    ],
)
def test_red_skies_tell_of_swapped_channels(skies: list[float], swapped: list[bool]) -> None:
    assert _red_skies(*_skies(*skies), ("Sky", "all")).tolist() == swapped


@pytest.mark.parametrize(
    ("name", "drive"),
    [
        ("train/berlin_000003.png", ("berlin_", "000003")),
        ("a7b12", ("a7b", "12")),
        ("12", ("", "")),  # a number alone names no drive
        ("street", ("", "")),
    ],
)
def test_the_drive_of_a_frame_is_its_name_before_the_last_number(name: str, drive: tuple[str, str]) -> None:
    assert _drive(name) == drive


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({(480, 640): 5}, "640 x 480"),
        ({(480, 640): 5, (360, 480): 1200}, "480 x 360 (1,200), 640 x 480 (5)"),
        ({(side, 7): 20 - side for side in range(1, 12)}, r"7 x 1 (19), 7 x 2 (18).*, others \([\d,]+\)"),
    ],
)
def test_the_sizes_of_a_split_are_listed_the_commonest_first(sizes: dict[tuple[int, int], int], text: str) -> None:
    shown = _sizes(SplitSummary("train", sum(sizes.values()), sizes, {}, 0.0))
    if "others" in text:
        listed = [int(count.replace(",", "")) for count in re.findall(r"\(([\d,]+)\)", shown)]
        assert sum(listed) == sum(sizes.values())
        assert shown.startswith("7 x 1 (19), 7 x 2 (18)")
        assert re.search(r", others \(\d+\)$", shown)
    else:
        assert shown == text


@pytest.mark.parametrize(
    ("unknown", "text"),
    [
        (range(200, 201), "the value 200"),
        (range(200, 206), "the values 200, 201, 202, 203, 204, 205"),
        (range(200, 207), "the values 200, 201, 202, 203, 204, 205 and 1 more"),
        (range(200, 216), "the values 200, 201, 202, 203, 204, 205 and 10 more"),
    ],
)
def test_at_most_six_unknown_values_are_named(unknown: range, text: str) -> None:
    assert _unexplained(frozenset(unknown) | {0}, by_value(CITYSCAPES), 19).found == text


def test_values_stretched_to_255_are_told_by_their_factor() -> None:
    small = list(range(11))
    values = frozenset(value * 255 // 10 for value in small)
    tables = dict(_stretches(values, small))
    assert {value * 255 // 10: value for value in small}.items() <= tables[25.5].items()
    multiplied = dict(_stretches(frozenset({0, 20, 40, 60}), small))
    assert {0: 0, 20: 1, 40: 2, 60: 3}.items() <= multiplied[20].items()


def test_the_chance_that_random_values_are_all_in_a_table() -> None:
    table = {0: 0, 10: 1, 20: 2, 200: 3}
    assert _chance(frozenset({0, 255}), table) == 1.0
    assert _chance(frozenset({10, 20}), table) == pytest.approx((3 / 21) ** 2)


@pytest.mark.parametrize("masks", ["{}annot", "{}_labels"])
def test_camvid_promises_the_splits_whose_folders_are_there(tmp_path: Path, masks: str) -> None:
    (tmp_path / masks.format("val")).mkdir()
    assert list(dict.fromkeys(_promised_by_camvid(tmp_path))) == [("val", "no image in val")]


def test_a_copy_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = r"cannot be written \(Not a directory\); choose another folder"
    with pytest.raises(FileError, match=said), _folder_written_whole(tmp_path / "file" / "copy"):
        pass
    said = r"cannot be written \(odd\); choose another folder"
    with pytest.raises(FileError, match=said), _folder_written_whole(tmp_path / "copy"):
        raise OSError("odd")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_mask_is_noise_if_it_changes_everywhere_and_by_much() -> None:
    assert not RunStats().is_noise
    assert RunStats(changing=1.0, step=1.0).is_noise
    assert not RunStats(changing=1.0, step=0.0).is_noise
    assert not RunStats(changing=0.0, step=1.0).is_noise
    assert (RunStats().changing, RunStats().step, RunStats().narrow, RunStats().between) == (0.0, 0.0, 0.0, 0.0)


def test_blocks_of_16_are_looked_for_in_colors_only() -> None:
    """Chroma at half the resolution: every block of 16 that a border crosses is altered, no other."""
    size = 256
    changed = np.zeros((size, size), bool)
    for row, column in ((0, 0), (5, 9), (12, 3), (8, 8)):
        changed[16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = True
    noise = np.random.default_rng(0).integers(1, 9, (size, size))
    values = np.where(changed, noise, 0)
    assert _blockiness(values.astype(np.uint32)) > 1.5
