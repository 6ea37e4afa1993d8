"""What is written can be read back, and what cannot be written says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fassd.core.errors import FileError
from fassd.core.labels import CAMVID, CITYSCAPES, LabelClass, LabelSpace
from fassd.media.images import read_image
from fassd.media.masks import read_values
from fassd.media.prediction_writer import write_class_map, write_overlay, write_prediction

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
IMAGE = np.random.default_rng(0).integers(0, 256, (30, 200, 3), dtype=np.uint8)
CLASS_MAP = (np.arange(30 * 200) % 11).astype(np.uint8).reshape(30, 200)


@given(arrays(np.uint8, SHAPES), st.integers(1, 255))
@settings(deadline=None, max_examples=50)
def test_a_class_map_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, class_map: np.ndarray[Any, Any], classes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "map.png"
    space = LabelSpace("any", tuple(LabelClass(str(i), (i, i // 2, 7), i) for i in range(classes)))
    write_class_map(path, class_map, space)
    assert np.array_equal(read_values(path), class_map)


@pytest.mark.parametrize("space", [CAMVID, CITYSCAPES], ids=lambda space: space.name)
def test_a_class_map_looks_like_its_colors(tmp_path: Path, space: Any) -> None:
    path = tmp_path / "map.png"
    write_class_map(path, CLASS_MAP, space)
    assert np.array_equal(read_image(path), space.color_table()[CLASS_MAP])


def test_a_class_map_is_an_8_bit_palette_png(tmp_path: Path) -> None:
    path = tmp_path / "map.png"
    write_class_map(path, CLASS_MAP, CAMVID)
    assert path.read_bytes()[12:29] == b"IHDR" + bytes([0, 0, 0, 200, 0, 0, 0, 30, 8, 3, 0, 0, 0])


def test_equal_class_maps_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_class_map(tmp_path / name, np.asfortranarray(CLASS_MAP), CAMVID)
    write_class_map(tmp_path / "c.png", CLASS_MAP, CAMVID)
    assert len({(tmp_path / name).read_bytes() for name in ("a.png", "b.png", "c.png")}) == 1


@pytest.mark.parametrize("wrong", [CLASS_MAP.astype(np.int64), IMAGE, CLASS_MAP[0]])
def test_only_class_maps_are_written_as_such(tmp_path: Path, wrong: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ValueError, match="a class map is uint8"):
        write_class_map(tmp_path / "map.png", wrong, CAMVID)
    assert not list(tmp_path.iterdir())


def test_an_overlay_keeps_colors_at_full_resolution(tmp_path: Path) -> None:
    path = tmp_path / "overlay.jpg"
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:, ::2] = (255, 0, 0)  # lines of one pixel would mix with 4:2:0
    write_overlay(path, picture)
    assert np.abs(read_image(path).astype(int) - picture).mean() < 12
    with PIL.Image.open(path) as stored:
        assert stored.format == "JPEG"
        assert [part[1:3] for part in stored.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("relative", ["a", "day/deep/a", "v1.2", "odd[1]", "with space"])
def test_a_prediction_is_two_files_named_after_its_source(tmp_path: Path, relative: str) -> None:
    written = write_prediction(tmp_path, Path(relative), IMAGE, CLASS_MAP, CAMVID)
    assert written == (tmp_path / f"{relative}_overlay.jpg", tmp_path / f"{relative}_classmap.png")
    assert read_image(written[0]).shape[1] == 200
    assert np.array_equal(read_values(written[1]), CLASS_MAP)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


@pytest.mark.parametrize("relative", ["../a", "day/../../a", "/a"])
def test_a_prediction_stays_in_its_folder(tmp_path: Path, relative: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        write_prediction(tmp_path / "out", Path(relative), IMAGE, CLASS_MAP, CAMVID)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/fassd"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"a_overlay\.jpg: cannot be written"):
        write_prediction(tmp_path / folder, Path("a"), IMAGE, CLASS_MAP, CAMVID)


def test_what_cannot_be_encoded_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be written"):
        write_overlay(tmp_path / "overlay.jpg", np.zeros((1, 70000, 3), np.uint8))  # JPEG ends at 65535
    assert not list(tmp_path.iterdir())
