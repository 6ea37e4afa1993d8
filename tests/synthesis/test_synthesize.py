"""Rendered streets: the same from the same seed, in Cityscapes' layout, with labels that agree with each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.errors import FileError, UsageError
from fassd.core.labels import CITYSCAPES
from fassd.core.types import Event
from fassd.media.images import read_image
from fassd.media.masks import read_values
from fassd.synthesis.mesh import LABEL_IDS, WITH_INSTANCES
from fassd.synthesis.render import Rendering
from fassd.synthesis.write import SMALLEST, Streets, render_street, write_street
from fassd.tasks.synthesize import synthesize

SMALL = (72, 144)
STEM = "rendered_000000_000019"


@pytest.fixture(scope="module")
def streets() -> list[Rendering]:
    """A few small streets."""
    return [render_street(Streets(3, SMALL), index) for index in range(3)]


@pytest.fixture(scope="module")
def written(streets: list[Rendering], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first of them on disk."""
    out = tmp_path_factory.mktemp("streets")
    write_street(out, "val", 0, streets[0])
    return out


def test_a_street_depends_on_seed_and_index_alone(streets: list[Rendering]) -> None:
    again, other = render_street(Streets(50, SMALL), 1), render_street(Streets(3, SMALL, seed=1), 1)
    assert np.array_equal(again.image, streets[1].image)
    assert np.array_equal(again.instance_ids, streets[1].instance_ids)
    assert not np.array_equal(other.image, streets[1].image)
    assert not np.array_equal(streets[0].image, streets[1].image)


def test_two_runs_write_the_same_bytes(streets: list[Rendering], written: Path, tmp_path: Path) -> None:
    write_street(tmp_path, "val", 0, streets[0])
    names = sorted(path.relative_to(written) for path in written.rglob("*.png"))
    assert names == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.png"))
    assert all((written / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)


def test_the_layout_is_that_of_cityscapes(written: Path) -> None:
    files = {path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()}
    kinds = ("labelIds", "instanceIds", "labelTrainIds", "color")
    labels = {f"gtFine/val/rendered/{STEM}_gtFine_{kind}.png" for kind in kinds}
    assert files == {f"leftImg8bit/val/rendered/{STEM}_leftImg8bit.png"} | labels


def test_files_read_back_as_rendered(streets: list[Rendering], written: Path) -> None:
    labels = written / "gtFine/val/rendered"
    assert np.array_equal(read_image(written / f"leftImg8bit/val/rendered/{STEM}_leftImg8bit.png"), streets[0].image)
    assert np.array_equal(read_values(labels / f"{STEM}_gtFine_labelIds.png"), streets[0].label_ids)
    with Pillow.open(labels / f"{STEM}_gtFine_instanceIds.png") as picture:
        assert picture.mode == "I;16"
        assert np.array_equal(np.array(picture), streets[0].instance_ids)
    train_ids = CITYSCAPES.label_id_table()[streets[0].label_ids]
    assert np.array_equal(read_values(labels / f"{STEM}_gtFine_labelTrainIds.png"), train_ids)


@pytest.mark.parametrize("index", range(3))
def test_instances_agree_with_labels(streets: list[Rendering], index: int) -> None:
    labels, instances = streets[index].label_ids, streets[index].instance_ids
    assert labels.dtype == np.uint8
    assert instances.dtype == np.uint16
    counted = instances >= 1000
    assert np.array_equal(labels[counted], instances[counted] // 1000)
    assert np.array_equal(labels[~counted], instances[~counted])
    things = [LABEL_IDS[name] for name in WITH_INSTANCES]
    assert np.array_equal(np.isin(labels, things), counted)


@pytest.mark.parametrize("index", range(3))
def test_labels_are_known_and_the_image_uses_its_range(streets: list[Rendering], index: int) -> None:
    street = streets[index]
    assert street.image.shape == (*SMALL, 3)
    assert street.image.dtype == np.uint8
    assert set(np.unique(street.label_ids).tolist()) <= set(LABEL_IDS.values())
    assert 40 < street.image.mean() < 215
    assert street.image.std() > 15


def test_every_class_occurs_in_a_set(tmp_path: Path) -> None:
    events: list[Event] = []
    shares = synthesize(tmp_path / "set", Streets(16, (96, 192), seed=0), events.append).shares
    assert set(shares) == set(CITYSCAPES.names)
    assert min(shares.values()) > 0, shares
    assert sum(shares.values()) == pytest.approx(1)
    assert 0.15 < shares["road"] < 0.5
    assert 0.05 < shares["building"] < 0.4
    assert [event.values["done"] for event in events] == list(range(1, 17))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": (63, 128)}, "the smallest is 64x128"),
        ({"size": (64, 127)}, "the smallest is 64x128"),
        ({"size": (0, 0)}, "the smallest"),
        ({"size": (4096, 4096)}, "the largest is 2048x4096"),
        ({"size": (128, 4096)}, "between half and four times"),
        ({"size": (2048, 256)}, "between half and four times"),
        ({"images": 0}, "--images is 0"),
        ({"seed": -1}, "--seed is -1"),
        ({"split": "../train"}, "--split is '../train'"),
        ({"split": ""}, "--split is ''"),
    ],
)
def test_what_cannot_be_rendered_is_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says.replace(".", r"\.")):
        Streets(**wrong)  # type: ignore[arg-type]


def test_the_smallest_size_renders() -> None:
    assert render_street(Streets(1, SMALLEST), 0).image.shape == (*SMALLEST, 3)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileError, match="nothing is overwritten"):
        synthesize(tmp_path, Streets(1, SMALL))
    with pytest.raises(FileError, match="is a file"):
        synthesize(tmp_path / "mine.txt", Streets(1, SMALL))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
