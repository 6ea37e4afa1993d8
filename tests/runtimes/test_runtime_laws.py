"""What every runtime keeps, whatever executes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from fassd.core.arrays import Images
from fassd.core.errors import UsageError
from fassd.core.labels import CAMVID
from fassd.networks.table import network_by_name
from fassd.runtimes.open import open_runtime
from fassd.runtimes.runtime import Runtime

PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
# Random weights leave many pixels between two classes, where rounding decides.
AGREEMENT = {"float32": 0.999, "bfloat16": 0.9}


@pytest.fixture(scope="module", params=PRECISIONS)
def runtime(request: pytest.FixtureRequest, tiny_weights: Path) -> Iterator[Runtime]:
    with open_runtime(tiny_weights, precision=request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
def exact(tiny_weights: Path) -> Iterator[Runtime]:
    """PyTorch in float32, which the others are compared with."""
    with open_runtime(tiny_weights) as opened:
        yield opened


def _images(count: int, height: int, width: int, seed: int = 0) -> Images:
    """Smooth pictures: noise would average out to one class."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 1).repeat(16, 2)[:, :height, :width])


def _share_equal(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float((one == other).mean())


@pytest.mark.parametrize("size", [(96, 128), (57, 57), (97, 131), (64, 300), (301, 60)])
def test_every_pixel_gets_a_class(runtime: Runtime, size: tuple[int, int]) -> None:
    maps = runtime.segment(_images(2, *size))
    assert maps.dtype == np.uint8
    assert maps.shape == (2, *size)
    assert int(maps.max()) < len(runtime.label_space)


def test_the_answer_tells_pictures_apart(runtime: Runtime) -> None:
    maps = runtime.segment(_images(2, 96, 128))
    assert len(np.unique(maps)) > 1
    assert _share_equal(maps[0], maps[1]) < 0.99


@pytest.mark.parametrize("size", [(192, 256), (48, 64), (96, 128), (301, 127), (1, 1), (600, 20)])
def test_the_answer_has_the_size_asked_for(runtime: Runtime, size: tuple[int, int]) -> None:
    assert runtime.segment(_images(1, 96, 128), size).shape == (1, *size)


def test_the_images_own_size_is_the_default(runtime: Runtime) -> None:
    images = _images(1, 96, 128)
    assert (runtime.segment(images) == runtime.segment(images, (96, 128))).all()


def test_a_batch_is_answered_like_its_images_one_by_one(runtime: Runtime) -> None:
    images = _images(3, 96, 128)
    alone = np.concatenate([runtime.segment(image[None]) for image in images])
    assert _share_equal(runtime.segment(images), alone) >= AGREEMENT[runtime.precision]


def test_the_same_images_get_the_same_answer(runtime: Runtime) -> None:
    images = _images(2, 96, 128)
    assert (runtime.segment(images) == runtime.segment(images.copy())).all()


@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
def test_every_runtime_agrees_with_pytorch_in_float32(runtime: Runtime, exact: Runtime, size: tuple[int, int]) -> None:
    images = _images(2, *size)
    assert _share_equal(runtime.segment(images), exact.segment(images)) >= AGREEMENT[runtime.precision]


@pytest.mark.parametrize("among", [[3], [0, 10], [10, 0], (2, 5, 7)])
def test_only_the_classes_asked_for_are_answered(runtime: Runtime, among: list[int]) -> None:
    assert set(np.unique(runtime.segment(_images(1, 96, 128), among=among))) <= set(among)


def test_all_classes_asked_for_is_the_same_as_none_said(runtime: Runtime) -> None:
    images = _images(1, 96, 128)
    assert (runtime.segment(images, among=range(11)) == runtime.segment(images)).all()


@pytest.mark.parametrize("view", ["flipped", "strided", "read-only", "transposed"])
def test_the_memory_behind_the_images_does_not_matter(runtime: Runtime, view: str) -> None:
    images = _images(1, 192, 256)
    given: Images = {
        "flipped": images[:, :, ::-1],
        "strided": images[:, ::2, ::2],
        "read-only": np.frombuffer(images.tobytes(), np.uint8).reshape(images.shape),
        "transposed": images.transpose(0, 2, 1, 3),
    }[view]
    before = given.copy()
    assert (runtime.segment(given) == runtime.segment(np.ascontiguousarray(given))).all()
    assert (given == before).all()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        (np.zeros((1, 96, 128, 3), np.float32), r"float32 \(1, 96, 128, 3\)"),
        (np.zeros((1, 96, 128, 3), np.int64), "int64"),
        (np.zeros((96, 128, 3), np.uint8), r"\(96, 128, 3\); expected uint8"),
        (np.zeros((1, 3, 96, 128), np.uint8), r"\(1, 3, 96, 128\)"),
        (np.zeros((1, 96, 128, 4), np.uint8), r"\(1, 96, 128, 4\)"),
        (np.zeros((0, 96, 128, 3), np.uint8), "n at least 1"),
        (np.zeros((1, 0, 128, 3), np.uint8), r"\(1, 0, 128, 3\)"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(runtime: Runtime, images: np.ndarray[Any, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        runtime.segment(images)


def test_a_side_below_the_minimum_is_refused(runtime: Runtime) -> None:
    side = network_by_name(runtime.header.network).minimum_side
    with pytest.raises(UsageError, match=f"needs at least {side}"):
        runtime.segment(_images(1, side - 1, side))


def test_a_runtime_says_what_it_executes(runtime: Runtime) -> None:
    assert (runtime.label_space, runtime.header.network) == (CAMVID, "fassd-net-l2")
    assert runtime.precision in PRECISIONS
    assert runtime.name
