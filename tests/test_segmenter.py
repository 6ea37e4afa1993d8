"""The Python interface: an image in, a class for every pixel out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import fassd
from fassd.core.arrays import Image, Labels
from fassd.core.errors import CheckpointError, ImageError, UnknownName, UsageError
from fassd.core.labels import CAMVID
from fassd.runtimes.runtime import Runtime
from fassd.segmenter import Segmenter, shrink


@pytest.fixture(scope="module")
def segmenter(tiny_weights: Path) -> Segmenter:
    """The tiny weights, which advise no side."""
    return Segmenter(tiny_weights)


@pytest.fixture
def image(blocks: Callable[..., Labels], paint: Callable[[Labels], Image]) -> Image:
    """96x128."""
    return paint(blocks(3))


def test_an_array_is_predicted_as_the_runtime_predictions(
    segmenter: Segmenter, tiny_runtime: Runtime, image: Image
) -> None:
    prediction = segmenter(image)
    assert np.array_equal(prediction.class_map, tiny_runtime.segment(image[None])[0])
    assert prediction.name == "image"
    assert prediction.label_space == CAMVID
    assert prediction.seconds > 0


def test_a_file_is_predicted_like_its_pixels(segmenter: Segmenter, image: Image, tmp_path: Path) -> None:
    path = tmp_path / "street.png"
    Pillow.fromarray(image).save(path)
    for given in (path, str(path)):
        prediction = segmenter(given)
        assert prediction.name == "street.png"
        assert np.array_equal(prediction.image, image)
        assert np.array_equal(prediction.class_map, segmenter(image).class_map)


def test_a_turned_file_is_predicted_upright(segmenter: Segmenter, image: Image, tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(image).save(tmp_path / "turned.jpg", exif=exif)
    prediction = segmenter(tmp_path / "turned.jpg")
    assert prediction.class_map.shape == prediction.image.shape[:2] == (128, 96)


@pytest.mark.parametrize("side", [None, 0, 64, 100, 1000])
@pytest.mark.parametrize("size", [(96, 128), (131, 77), (57, 57), (300, 60)])
def test_the_prediction_has_the_images_own_size(tiny_weights: Path, side: int | None, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    prediction = Segmenter(tiny_weights, max_side=side)(image)
    assert prediction.class_map.shape == size
    assert prediction.class_map.dtype == np.uint8
    assert prediction.class_map.max() < len(CAMVID)
    assert np.array_equal(prediction.image, image)


def test_the_side_is_the_users_or_what_the_weights_advise(
    tmp_path: Path, make_checkpoint: Callable[..., Path], image: Image
) -> None:
    advised = make_checkpoint(tmp_path / "advised.safetensors", side=64)
    asked = make_checkpoint(tmp_path / "silent.safetensors")

    def predict(weights: Path, side: int | None) -> list[list[int]]:
        predicted: list[list[int]] = Segmenter(weights, max_side=side)(image).class_map.tolist()
        return predicted

    assert predict(advised, None) == predict(asked, 64)
    assert predict(advised, 0) == predict(asked, None)
    assert predict(advised, None) != predict(advised, 0)


@pytest.mark.parametrize("side", [1, 40, 64, 127, 128, 129, 4000])
@pytest.mark.parametrize("size", [(96, 128), (128, 96), (40, 128), (600, 41), (128, 128)])
def test_shrinking_brings_the_longer_side_down_and_keeps_the_shape(size: tuple[int, int], side: int) -> None:
    minimum = 33
    image = np.zeros((*size, 3), np.uint8)
    height, width = shrink(image, side, minimum).shape[:2]
    if max(size) <= side:
        assert (height, width) == size
    else:
        assert min(height, width) >= minimum
        assert max(height, width) == side or min(height, width) == minimum
        assert width / height == pytest.approx(size[1] / size[0], rel=0.5 / min(height, width) + 0.5 / side)


@pytest.mark.parametrize("side", [None, 0, 128, 500])
def test_shrinking_leaves_smaller_images_untouched(image: Image, side: int | None) -> None:
    assert shrink(image, side, 57) is image


def test_shrinking_averages_so_that_thin_things_stay(image: Image) -> None:
    lines = np.zeros((512, 512, 3), np.uint8)
    lines[:, ::8] = 240
    assert shrink(lines, 64, 57)[8:-8, 8:-8].min() > 15
    assert abs(float(shrink(lines, 64, 57).mean()) - 30) < 2


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((96, 128), np.uint8),
        np.zeros((96, 128, 4), np.uint8),
        np.zeros((1, 96, 128, 3), np.uint8),
        np.zeros((96, 128, 3), np.float32),
        np.zeros((96, 128, 3), np.int64),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_an_array_that_is_no_image_is_refused(segmenter: Segmenter, image: Image) -> None:
    with pytest.raises(UsageError, match="expected uint8"):
        segmenter(image)


@pytest.mark.parametrize("image", [None, 3, [[0, 0, 0]], Pillow.new("RGB", (128, 96))])
def test_what_is_neither_file_nor_array_is_refused(segmenter: Segmenter, image: Any) -> None:
    with pytest.raises(UsageError, match=f"of type {type(image).__name__}; expected a file's name or an array"):
        segmenter(image)


def test_an_image_below_the_minimum_is_refused_with_both_sizes(segmenter: Segmenter, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"128x56 .*at least 57"):
        segmenter(np.zeros((56, 128, 3), np.uint8))
    Pillow.new("RGB", (56, 128)).save(tmp_path / "narrow.png")
    with pytest.raises(ImageError, match=r"narrow\.png: .*56x128 .*at least 57"):
        segmenter(tmp_path / "narrow.png")


def test_the_smallest_image_of_all_is_predicted_however_far_it_is_shrunk(tiny_weights: Path) -> None:
    image = np.zeros((57, 57, 3), np.uint8)
    assert Segmenter(tiny_weights, max_side=1)(image).class_map.shape == (57, 57)


def test_shares_add_up_to_one(segmenter: Segmenter, image: Image) -> None:
    prediction = segmenter(image)
    assert list(prediction.shares) == list(CAMVID.names)
    assert sum(prediction.shares.values()) == pytest.approx(1)
    assert prediction.shares["Fence"] == pytest.approx((prediction.class_map == 7).mean())


def test_saving_writes_an_overlay_and_the_class_map(segmenter: Segmenter, image: Image, tmp_path: Path) -> None:
    Pillow.fromarray(image).save(tmp_path / "street.v2.png")
    prediction = segmenter(tmp_path / "street.v2.png")
    overlay, class_map = prediction.save(tmp_path / "new" / "folder")
    assert overlay.name == "street.v2_overlay.jpg"
    assert np.array_equal(np.asarray(Pillow.open(class_map)), prediction.class_map)
    with Pillow.open(overlay) as written:
        assert written.size == (prediction.overlay().shape[1], prediction.overlay().shape[0])


@pytest.mark.parametrize("streams", [1, 3])
def test_a_stream_is_predicted_like_its_images_in_order(
    segmenter: Segmenter,
    tiny_weights: Path,
    blocks: Callable[..., Labels],
    paint: Callable[[Labels], Image],
    streams: int,
) -> None:
    images = [paint(blocks(seed)) for seed in range(7)]
    predictions = Segmenter(tiny_weights, streams=streams).stream(iter(images))
    for image, prediction in zip(images, predictions, strict=True):
        assert np.array_equal(prediction.image, image)
        assert (prediction.class_map == segmenter(image).class_map).mean() > 0.99


def test_the_public_names_are_the_same_things(tiny_weights: Path, image: Image) -> None:
    assert fassd.Segmenter is Segmenter
    assert isinstance(fassd.Segmenter(tiny_weights)(image), fassd.Prediction)
    assert fassd.ImageError is ImageError
    assert issubclass(ImageError, fassd.FassdError)


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean fassd-net-l2-street"):
        Segmenter("fassd-net-l2-steet")
    with pytest.raises(CheckpointError, match=r"missing\.safetensors: there is no such file"):
        Segmenter(tmp_path / "missing.safetensors")


@pytest.mark.parametrize("side", [-1, 1.5, "640"])
def test_a_side_that_is_no_number_of_pixels_is_refused(tiny_weights: Path, side: Any) -> None:
    with pytest.raises(UsageError, match="expected an integer number of pixels"):
        Segmenter(tiny_weights, max_side=side)


def test_the_side_by_its_old_name_is_refused_with_the_new_one(tiny_weights: Path) -> None:
    with pytest.raises(UsageError, match="side is called max_side now"):
        Segmenter(tiny_weights, side=640)  # type: ignore[arg-type]
