from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import fassd
from fassd.core.errors import FassdError, ImageError
from fassd.core.recipe import Augmentation, Recipe
from fassd.data.batches import training_batches, validation_batches
from fassd.data.class_folders import central_view, image_list_digest, open_class_folders, random_view
from fassd.media.images import read_image


def _write(path: Path, gray: int = 0, size: tuple[int, int] = (9, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.new("L", size, gray).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of two images to learn from, one each to judge by; the gray level is the class."""
    for gray, name in enumerate(("ant", "bee", "cow")):
        for number in range(2):
            _write(tmp_path / "set" / "train" / name / f"{number}.png", 40 * gray + number)
        _write(tmp_path / "set" / "val" / name / "only.png", 40 * gray)
    return tmp_path / "set"


RECIPE = Recipe(network="baseline", iterations=4, batch_size=4, augmentation=Augmentation((8, 8), (0.9, 1.2)))


def test_classes_and_images_come_in_the_order_of_their_names(folder: Path) -> None:
    found = open_class_folders(folder, "train")
    assert found.classes == ("ant", "bee", "cow")
    assert found.names == ("ant/0.png", "ant/1.png", "bee/0.png", "bee/1.png", "cow/0.png", "cow/1.png")
    assert found.targets == (0, 0, 1, 1, 2, 2)
    assert [int(found.image(index)[0, 0, 0]) for index in (0, 3, 5)] == [0, 41, 81]


def test_deeper_folders_count_and_what_is_hidden_or_no_image_does_not(folder: Path) -> None:
    _write(folder / "train" / "bee" / "more" / "2.PNG")
    _write(folder / "train" / "bee" / ".3.png")
    _write(folder / "train" / ".cache" / "4.png")
    (folder / "train" / "bee" / "list.txt").write_text("")
    found = open_class_folders(folder, "train")
    assert found.classes == ("ant", "bee", "cow")
    assert [name for name in found.names if name.startswith("bee")] == ["bee/0.png", "bee/1.png", "bee/more/2.PNG"]


def test_val_keeps_the_numbers_of_train_where_it_lacks_a_class(folder: Path) -> None:
    shutil.rmtree(folder / "val" / "bee")
    found = open_class_folders(folder, "val", open_class_folders(folder, "train").classes)
    assert (found.names, found.targets) == (("ant/only.png", "cow/only.png"), (0, 2))


def _lose_all(folder: Path) -> None:
    shutil.rmtree(folder)


def _become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("")


def _lose_train(folder: Path) -> None:
    shutil.rmtree(folder / "train")


def _unsorted(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    _write(folder / "train" / "picture.png")


def _nothing_inside(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()


def _one_class(folder: Path) -> None:
    for name in ("ant", "cow"):
        shutil.rmtree(folder / "train" / name)


def _empty_class(folder: Path) -> None:
    for path in (folder / "train" / "bee").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_lose_all, r"set: does not exist; expected a folder that holds train/CLASS/IMAGES"),
        (_become_a_file, r"set: is a file; expected a folder"),
        (_lose_train, r"set: has no folder 'train'; expected train/CLASS/IMAGES below it"),
        (_unsorted, r"train: holds images, but no folders; sort the images into a folder for each class"),
        (_nothing_inside, r"train: holds no folders; sort the images"),
        (_one_class, r"train: holds only the class 'bee'; .* at least two"),
        (_empty_class, r"bee: holds no images; looked for names ending in \.bmp"),
    ],
)
def test_a_folder_that_is_no_such_set_is_refused_in_a_sentence(
    folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder)
    with pytest.raises(FassdError, match=said):
        open_class_folders(folder, "train")


def test_a_class_of_val_that_train_lacks_is_refused(folder: Path) -> None:
    (folder / "val" / "bee").rename(folder / "val" / "dog")
    with pytest.raises(FassdError, match="val: has the class 'dog', which train lacks"):
        open_class_folders(folder, "val", open_class_folders(folder, "train").classes)


def test_the_digest_stays_when_the_set_moves_and_changes_with_its_files(folder: Path) -> None:
    before = image_list_digest(open_class_folders(folder, "train"))
    moved = folder.rename(folder.with_name("moved"))
    assert image_list_digest(open_class_folders(moved, "train")) == before
    _write(moved / "train" / "ant" / "1.png", 1, (90, 80))
    assert image_list_digest(open_class_folders(moved, "train")) != before


def test_a_image_that_vanishes_is_named(folder: Path) -> None:
    found = open_class_folders(folder, "train")
    found.path(2).unlink()
    with pytest.raises(FassdError, match=r"bee/0\.png: cannot be read"):
        image_list_digest(found)
    with pytest.raises(ImageError, match=r"bee/0\.png"):
        list(validation_batches(found, RECIPE, 0))


@pytest.mark.parametrize(("size", "rows", "columns"), [((64, 64), (4, 60), (4, 60)), ((64, 96), (4, 60), (20, 76))])
def test_the_central_view_is_seven_eighths_of_the_middle(size: tuple[int, int], rows: Any, columns: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert np.array_equal(central_view(image, (56, 56)), image[slice(*rows), slice(*columns)])


def test_a_random_view_at_the_usual_size_is_a_window_of_the_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    plain = Augmentation((56, 56), scale=(1.0, 1.0), hflip=0.0)
    view = random_view(image, plain, np.random.default_rng(7))
    windows = [image[top : top + 56, left : left + 56] for top in range(9) for left in range(9)]
    assert sum(np.array_equal(view, window) for window in windows) == 1


@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 99))
def test_no_random_view_reaches_beyond_its_image(height: int, width: int, seed: int) -> None:
    white = np.full((height, width, 3), 255, np.uint8)
    view = random_view(white, Augmentation((56, 48), scale=(0.9, 2.5)), np.random.default_rng(seed))
    assert view.shape == (56, 48, 3)
    assert view.min() == 255


def test_what_an_update_sees_depends_on_its_number_alone(folder: Path) -> None:
    images = open_class_folders(folder, "train")
    whole = list(training_batches(images, RECIPE, 0, 0))
    late = next(training_batches(images, RECIPE, 2, 0))
    assert len(whole) == RECIPE.iterations
    assert torch.equal(whole[2].images, late.images)
    assert whole[2].names == late.names
    # Six images, four an update: each once before any is seen twice.
    assert len({*whole[0].names, *whole[1].names[:2]}) == 6
    gray = [int(image[0, 0, 0]) // 40 for image in whole[0].images]
    assert gray == whole[0].labels.tolist()


def test_two_processes_share_what_one_would_see(folder: Path) -> None:
    images = open_class_folders(folder, "train")
    whole = next(training_batches(images, RECIPE, 0, 0))
    halves = [next(training_batches(images, RECIPE, 0, 0, (rank, 2))) for rank in (0, 1)]
    assert torch.equal(torch.stack([half.images for half in halves], 1).flatten(0, 1), whole.images)
    shares = [
        [name for batch in validation_batches(images, RECIPE, 0, (rank, 4)) for name in batch.names]
        for rank in range(4)
    ]
    assert [len(share) for share in shares] == [2, 2, 1, 1]
    assert sorted(name for share in shares for name in share) == list(images.names)


def test_a_image_is_seen_anew_each_time(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    for name in ("ant", "bee"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Pillow.fromarray(noise).save(tmp_path / "train" / name / "noise.png")
    one_each = msgspec.structs.replace(RECIPE, batch_size=1, iterations=6)
    seen = [batch.images for batch in training_batches(open_class_folders(tmp_path, "train"), one_each, 0, 0)]
    # One view, if chance did not know the update; of so small crops two may be alike.
    assert len({images.numpy().tobytes() for images in seen}) > 3


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_change_nothing(folder: Path, workers: int) -> None:
    images = open_class_folders(folder, "train")
    for make in (partial(training_batches, images, RECIPE, 0), partial(validation_batches, images, RECIPE)):
        alone, helped = list(make(workers=0)), list(make(workers=workers))
        assert [batch.names for batch in alone] == [batch.names for batch in helped]
        for one, other in zip(alone, helped, strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.labels, other.labels)
            assert other.labels.dtype == torch.int64


def test_large_jpegs_are_read_no_larger_than_views_take(tmp_path: Path) -> None:
    photo = read_image(Path(fassd.__file__).parent / "assets" / "street.jpg")
    for name in ("ant", "bee"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Pillow.fromarray(photo).save(tmp_path / "train" / name / "photo.jpg", quality=95)
    images = open_class_folders(tmp_path, "train")
    side = min(photo.shape[:2])
    for divisor, reduction in ((2, 1), (3, 2), (7, 4), (13, 8)):
        views = Augmentation((side // divisor,) * 2, scale=(0.9, 1.1))
        assert min(images.image(0, views).shape[:2]) == -(-side // reduction)
        seen = [random_view(image, views, np.random.default_rng(3)) for image in (images.image(0, views), photo)]
        assert np.abs(seen[0].astype(int) - seen[1]).mean() < 6
    assert images.image(0).shape == photo.shape
