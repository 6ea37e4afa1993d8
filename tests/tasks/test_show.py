"""Contact sheets of data sets: which frames, what is said, and what may be overwritten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import IGNORE
from fassd.core.errors import DataError, FileError, UsageError
from fassd.core.types import Event
from fassd.data.open_dataset import open_dataset
from fassd.data.pair_preview import preview
from fassd.media.legend import Entry
from fassd.media.sheet import Grid, Tile, contact_sheet
from fassd.tasks import show as module
from fassd.tasks.show import show

THREE = "".join(f'[[classes]]\nname = "{name}"\ncolor = [{place}, 200, 9]\n' for place, name in enumerate("abc"))
Make = Callable[..., Path]


@pytest.fixture
def three(tmp_path: Path, make_folder: Make) -> Path:
    """Three frames and two, of three classes each."""
    return make_folder(tmp_path / "three", THREE, {"train": ["f0", "f1", "f2"], "val": ["g0", "g1"]})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[Tile], list[Entry]]]:
    """Subtitle, tiles and legend of each sheet."""
    calls: list[tuple[str, list[Tile], list[Entry]]] = []

    def record(title: str, subtitle: str, tiles: list[Tile], grid: Grid, entries: list[Entry]) -> Pillow.Image:
        calls.append((subtitle, tiles, entries))
        return contact_sheet(title, subtitle, tiles, grid, entries)

    monkeypatch.setattr(module, "contact_sheet", record)
    return calls


Drawn = list[tuple[str, list[Tile], list[Entry]]]


def test_a_sheet_is_written_in_the_format_of_its_name(three: Path, tmp_path: Path) -> None:
    for name, kind in (("a.png", "PNG"), ("b.JPG", "JPEG"), ("deep/c.jpeg", "JPEG")):
        shown = show(f"folder:{three}", "val", tmp_path / name)
        assert (shown.split, shown.frames, shown.pairs, shown.problems) == ("val", 2, 2, ())
        with Pillow.open(tmp_path / name) as picture:
            assert picture.format == kind


def test_the_seed_decides_which_frames(three: Path, tmp_path: Path, drawn: Drawn) -> None:
    for seed in (0, 0, 1, 2, 3, 4):
        show(f"folder:{three}", "train", tmp_path / "a.png", images=1, seed=seed)
    names = [tiles[0].name for _, tiles, _ in drawn]
    assert names[0] == names[1]
    assert len(set(names)) > 1
    assert "1 of 3 labeled images" in drawn[0][0]


def test_the_first_split_is_shown_where_none_is_named(three: Path, tmp_path: Path) -> None:
    assert show(f"folder:{three}", out=tmp_path / "a.png").split == "train"


def test_the_legend_states_the_shares_of_what_is_shown(three: Path, tmp_path: Path, drawn: Drawn) -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[:48], mask[48:60], mask[60:72] = 2, IGNORE, 77
    for path in (three / "masks/val").iterdir():
        Pillow.fromarray(mask).save(path)
    show(f"folder:{three}", "val", tmp_path / "a.png")
    assert [(one.name, one.share) for one in drawn[0][2]] == [
        ("c", "50.0 %"),
        ("a", "25.0 %"),
        ("ignored", "12.5 %"),
        ("unknown value", "12.5 %"),
    ]


def test_partially_annotated_frames_are_said(three: Path, tmp_path: Path, drawn: Drawn) -> None:
    with (three / "dataset.toml").open("a") as stream:
        stream.write('[[partially_annotated]]\nframes = "g1"\nannotated = ["a"]\n')
    show(f"folder:{three}", "val", tmp_path / "a.png")
    whole, partly = drawn[0][1]
    assert "partially annotated: 1 of 3 classes" in partly.note
    assert "partially" not in whole.note


def test_progress_is_told(three: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    show(f"folder:{three}", "train", tmp_path / "a.png", watch=events.append)
    assert [event.values["done"] for event in events] == [1, 2, 3]


@pytest.mark.parametrize(
    ("damage", "problem", "missing"),
    [
        (lambda root: (root / "images/val/g0.png").write_bytes(b""), "g0.png is empty", (0, 2)),
        (lambda root: (root / "masks/val/g0.png").write_text("none"), "g0.png is not an image", (1, 2)),
        (lambda root: Pillow.new("L", (9, 9)).save(root / "masks/val/g0.png"), "g0.png is 9x9, its image 128x96", (2,)),
        (lambda root: Pillow.new("RGB", (128, 96)).save(root / "masks/val/g0.png"), "holds colors", (2,)),
        (lambda root: Pillow.new("L", (128, 96), 77).save(root / "masks/val/g0.png"), "unknown values: 77", ()),
    ],
    ids=["no image", "no mask", "other size", "colors", "unknown value"],
)
def test_damaged_frames_are_shown_as_far_as_they_go(
    three: Path,
    tmp_path: Path,
    drawn: Drawn,
    damage: Callable[[Path], object],
    problem: str,
    missing: tuple[int, ...],
) -> None:
    damage(three)
    shown = show(f"folder:{three}", "val", tmp_path / "a.png")
    ((name, said),) = shown.problems
    assert name == "val/g0"
    assert problem in said
    tile = drawn[0][1][0]
    assert tuple(place for place, view in enumerate(tile.views) if view is None) == missing
    assert (tmp_path / "a.png").is_file()


def test_foreign_pixels_are_where_they_are(three: Path) -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[3, 5] = 9
    Pillow.fromarray(mask).save(three / "masks/val/g0.png")
    dataset = open_dataset(f"folder:{three}", "val")
    seen = preview(dataset, dataset.pairs[0])
    assert seen.unknown is not None
    assert np.argwhere(seen.unknown).tolist() == [[3, 5]]


def test_images_without_masks_are_counted(three: Path, tmp_path: Path, drawn: Drawn) -> None:
    (three / "masks/val/g0.png").unlink()
    assert show(f"folder:{three}", "val", tmp_path / "a.png").frames == 1
    assert "1 more have no mask" in drawn[0][0]
    (three / "masks/val/g1.png").unlink()
    with pytest.raises(DataError, match=r"g0\.png: has no mask, and no other"):
        show(f"folder:{three}", "val", tmp_path / "b.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 0}, "--images is 0"),
        ({"images": 201}, "1 to 200"),
        ({"out": Path("sheet.gif")}, r"must end in \.png"),
        ({"split": "tset"}, "no split 'tset'"),
    ],
)
def test_what_cannot_be_shown_is_refused(three: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises((UsageError, DataError), match=message):
        show(f"folder:{three}", **options)  # type: ignore[arg-type]


def test_without_out_only_an_earlier_sheet_is_replaced(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = show(f"folder:{three}", "val").path
    assert path == Path("three_val.png")
    assert show(f"folder:{three}", "val", images=1).frames == 1
    Pillow.new("RGB", (2, 2)).save(path)
    before = path.read_bytes()
    with pytest.raises(FileError, match="is no contact sheet"):
        show(f"folder:{three}", "val")
    assert path.read_bytes() == before
    assert show(f"folder:{three}", "val", path).path == path
