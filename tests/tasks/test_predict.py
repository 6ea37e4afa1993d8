"""Prediction: pictures, globs and folders -> overlays and class maps on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import Image, Labels
from fassd.core.errors import FassdError, FileError, ImageError, UnknownName, UsageError
from fassd.core.labels import CAMVID
from fassd.core.types import Event
from fassd.data.image_sources import images_of
from fassd.segmenter import Segmenter
from fassd.tasks import predict as prediction
from fassd.tasks.predict import count_images, predict, streams_for


@pytest.fixture(scope="module")
def segmenter(tiny_weights: Path) -> Segmenter:
    """The tiny weights."""
    return Segmenter(tiny_weights)


@pytest.fixture
def photos(tmp_path: Path, blocks: Callable[..., Labels], paint: Callable[[Labels], Image]) -> Path:
    """A folder with a.png and b.jpg, c.png in a folder below, and a text file."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "b.jpg", "deep/c.png"]):
        Pillow.fromarray(paint(blocks(seed))).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    return folder


def _written(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def _results(*names: str) -> set[str]:
    return {f"{name}{ending}" for name in names for ending in ("_overlay.jpg", "_classmap.png")}


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["{}/a.png"], ["a"]),
        (["{}/a.png", "{}/b.jpg"], ["a", "b"]),
        (["{}"], ["a", "b", "deep/c"]),
        (["{}/*.png"], ["a"]),
        (["{}/**/*.png"], ["a", "deep/c"]),
        (["{}/deep", "{}/b.jpg"], ["c", "b"]),
    ],
    ids=["a file", "files", "a folder", "a glob", "a deep glob", "mixed"],
)
def test_each_source_gives_two_files_named_after_it(
    segmenter: Segmenter, photos: Path, tmp_path: Path, sources: list[str], names: list[str]
) -> None:
    out = tmp_path / "out"
    report = predict([source.format(photos) for source in sources], segmenter, out)
    assert [one.overlay for one in report.done] == [out / f"{name}_overlay.jpg" for name in names]
    assert _written(out) == _results(*names)
    assert not report.failed


def test_the_written_class_map_is_the_answer_with_its_palette(
    segmenter: Segmenter, photos: Path, tmp_path: Path
) -> None:
    done = predict([str(photos / "a.png")], segmenter, tmp_path / "out").done[0]
    with Pillow.open(done.class_map) as written:
        assert written.mode == "P"
        palette = written.getpalette()
        assert np.array_equal(np.asarray(written), segmenter(photos / "a.png").class_map)
    assert palette is not None
    assert palette[:33] == [value for label in CAMVID.classes for value in label.color]
    assert (done.width, done.height) == (128, 96)
    assert sum(done.shares.values()) == pytest.approx(1)


def test_a_bad_picture_among_several_does_not_stop_the_rest(segmenter: Segmenter, photos: Path, tmp_path: Path) -> None:
    whole = (photos / "b.jpg").read_bytes()
    (photos / "b.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "aa.png").write_text("no picture")
    seen: list[Event] = []
    report = predict([str(photos)], segmenter, tmp_path / "out", seen.append)
    assert [one.source.name for one in report.done] == ["a.png", "c.png"]
    assert [error.path.name for error in report.failed] == ["aa.png", "b.jpg"]
    assert [event.kind for event in seen] == ["predicted", "failed", "failed", "predicted"]
    assert [event.values["number"] for event in seen] == [1, 2, 3, 4]
    assert _written(tmp_path / "out") == _results("a", "deep/c")


def test_side_by_side_the_same_files_are_written_and_told_of_in_order(
    segmenter: Segmenter, tiny_weights: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "aa.png").write_text("no picture")
    seen: list[Event] = []
    predict([str(photos)], segmenter, tmp_path / "one")
    predict([str(photos)], Segmenter(tiny_weights, streams=3), tmp_path / "three", seen.append)
    assert [event.values["number"] for event in seen] == [1, 2, 3, 4]
    assert [event.kind for event in seen] == ["predicted", "failed", "predicted", "predicted"]
    for name in _results("a", "b", "deep/c"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()


def test_there_are_as_many_streams_as_cores_or_pictures(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 1), (2, 2), (64, 3)):
        monkeypatch.setattr(prediction, "usable_cores", lambda cores=cores: cores)
        assert streams_for(count_images([str(photos)])) == expected
    assert streams_for(count_images([str(photos / "a.png")])) == 1
    assert streams_for(count_images([str(photos / "missing.png")])) == 1


def test_a_single_bad_picture_is_the_error_itself(segmenter: Segmenter, tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"x\.jpg: is not an image"):
        predict([str(tmp_path / "x.jpg")], segmenter, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_bad_pictures_are_an_error_that_counts_them(segmenter: Segmenter, tmp_path: Path) -> None:
    for name in ("x.jpg", "y.jpg"):
        (tmp_path / name).write_text("no picture")
    with pytest.raises(FassdError, match=r"none of the 2 images.*x\.jpg"):
        predict([str(tmp_path)], segmenter, tmp_path / "out")


def test_results_of_an_earlier_run_are_not_labeled_again(segmenter: Segmenter, photos: Path) -> None:
    for _ in range(2):
        report = predict([str(photos)], segmenter, photos / "predictions")
        assert len(report.done) == 3
    assert _written(photos / "predictions") == _results("a", "b", "deep/c")


def test_two_sources_of_one_name_are_refused_before_anything_is_written(
    segmenter: Segmenter, photos: Path, tmp_path: Path
) -> None:
    Pillow.new("RGB", (128, 96)).save(photos / "a.jpg")
    with pytest.raises(UsageError, match="would both be written as 'a'"):
        predict([str(photos)], segmenter, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_out_folder_that_is_a_file_is_refused(segmenter: Segmenter, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        predict([str(photos)], segmenter, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "in the way"


def test_the_pictures_themselves_are_left_as_they_are(segmenter: Segmenter, photos: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()}
    predict([str(photos)], segmenter, tmp_path / "out")
    assert {path: path.read_bytes() for path in photos.rglob("*") if path.is_file()} == before


def test_a_missing_file_among_several_does_not_stop_the_rest(tmp_path: Path, tiny_weights: Path) -> None:
    Pillow.new("RGB", (96, 64)).save(tmp_path / "good.png")
    sources = [str(tmp_path / "good.png"), str(tmp_path / "missing.png")]
    report = predict(sources, Segmenter(tiny_weights), tmp_path / "out")
    assert [one.source.name for one in report.done] == ["good.png"]
    assert [error.path.name for error in report.failed] == ["missing.png"]


def test_a_data_set_gives_the_images_of_every_split(segmenter: Segmenter, camvid_root: Path, tmp_path: Path) -> None:
    report = predict([f"camvid:{camvid_root}"], segmenter, tmp_path / "out")
    assert len(report.done) == 6
    assert (tmp_path / "out/val/val_000_overlay.jpg").is_file()


def test_a_data_set_without_images_is_refused(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no such folder"):
        predict([f"camvid:{tmp_path / 'nothing'}"], segmenter, tmp_path / "out")
    with pytest.raises(FileError, match="holds no images of this kind"):
        predict([f"camvid:{tmp_path}"], segmenter, tmp_path / "out")


def test_a_misspelt_kind_of_data_set_is_told_from_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean camvid"):
        images_of(f"camvd:{tmp_path}")
    for other in ("C:/photos", "http://somewhere/x.jpg"):
        with pytest.raises(FileError, match="does not exist"):
            images_of(other)
    (tmp_path / "camvd:x.png").touch()
    assert len(images_of(str(tmp_path / "camvd:x.png"))) == 1
