"""Joint operations on image and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import fassd
from fassd.core.arrays import IGNORE, Image, Labels
from fassd.core.recipe import Augmentation
from fassd.core.types import Sample
from fassd.data.transforms import Crop, Span, augment, jitter
from fassd.media.images import read_image

Blocks = Callable[..., Labels]
Paint = Callable[[Labels], Image]
STILL = {"scale": (1.0, 1.0), "flip": 0.0}


@pytest.fixture
def sample(blocks: Blocks, paint: Paint) -> Sample:
    """96x128, its labels visible in its red channel."""
    labels = blocks(7)
    return Sample("one", paint(labels), labels)


@dataclass
class FixedChance:
    """Chance that was decided before: the mirroring, the factor, and the place as a fraction of what is possible."""

    mirrored: bool
    factor: float
    place: float

    def random(self) -> float:
        """The throw that is compared with the probability of mirroring."""
        return 0.0 if self.mirrored else 0.999

    def uniform(self, low: float, high: float) -> float:
        """The factor."""
        assert low <= self.factor <= high
        return self.factor

    def integers(self, high: int) -> int:
        """A place, 0 to high - 1."""
        return int(self.place * (high - 1))


def published(sample: Sample, augmentation: Augmentation, chance: FixedChance) -> tuple[Image, Labels]:
    """The published order, step by step: mirror, resize the whole, pad both ends by the whole shortfall, crop."""
    image, labels = sample.image, sample.labels
    if chance.mirrored:
        image, labels = image[:, ::-1], labels[:, ::-1]
    size = (int(image.shape[1] * chance.factor), int(image.shape[0] * chance.factor))
    image = np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR))
    # The pixel under each center, in whole numbers: Pillow adds up steps, and ties fall as their rounding errors do.
    down, across = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size[::-1], labels.shape, strict=True)
    )
    labels = labels[down[:, None], across]
    pads = [(max(0, crop - side),) * 2 for crop, side in zip(augmentation.crop_size, labels.shape, strict=True)]
    image = np.pad(image, [*pads, (0, 0)])
    labels = np.pad(labels, pads, constant_values=IGNORE)
    top = chance.integers(labels.shape[0] - augmentation.crop_size[0] + 1)
    left = chance.integers(labels.shape[1] - augmentation.crop_size[1] + 1)
    if chance.mirrored:  # The same window of the picture, counted from its other end.
        left = labels.shape[1] - augmentation.crop_size[1] - left
    here = np.s_[top : top + augmentation.crop_size[0], left : left + augmentation.crop_size[1]]
    return image[here], labels[here]


@pytest.mark.parametrize("crop", [(96, 128), (64, 64), (40, 130), (200, 150), (1, 1)])
def test_the_crop_has_exactly_the_size_asked_for(sample: Sample, crop: tuple[int, int]) -> None:
    for seed in range(20):
        cropped = augment(sample, Augmentation(crop, color_jitter=0.5), np.random.default_rng(seed))
        assert cropped.image.shape == (*crop, 3)
        assert cropped.labels.shape == crop
        assert cropped.image.dtype == cropped.labels.dtype == np.uint8
        assert cropped.image.flags.c_contiguous


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("place", [0.0, 0.37, 1.0])
@pytest.mark.parametrize("factor", [0.5, 0.731, 1.0, 1.277, 2.0])
@pytest.mark.parametrize("crop", [(64, 64), (90, 120), (120, 100), (210, 300)])
def test_cropping_first_gives_the_pixels_of_the_published_order(
    sample: Sample, crop: tuple[int, int], factor: float, place: float, mirrored: bool
) -> None:
    augmentation, chance = Augmentation(crop), FixedChance(mirrored, factor, place)
    image, labels = published(sample, augmentation, chance)
    cropped = augment(sample, augmentation, chance)  # type: ignore[arg-type]
    # Pillow rounds twice, after each direction.
    assert np.abs(cropped.image.astype(int) - image).max() <= 1
    assert np.array_equal(cropped.labels, labels)


@given(
    side=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    new=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 9),
)
def test_a_whole_image_is_resized_as_by_pillow(side: tuple[int, int], new: tuple[int, int], seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*side, 3), dtype=np.uint8)
    rows, columns = (Span(old, size, 0, size, 0) for old, size in zip(side, new, strict=True))
    whole = Crop(new, rows, columns, mirrored=False)
    expected = np.asarray(Pillow.fromarray(image).resize(new[::-1], Pillow.Resampling.BILINEAR))
    assert np.abs(whole.of_image(image).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("side", "size"), [(7, 31), (31, 7), (50, 49), (1, 64), (999, 3), (40_000, 1)])
def test_a_plain_color_stays_what_it_is_at_every_size(side: int, size: int) -> None:
    whole = Crop((size, 5), Span(side, size, 0, size, 0), Span(2, 5, 0, 5, 0), mirrored=True)
    for value in (1, 128, 254, 255):
        assert (whole.of_image(np.full((side, 2, 3), value, np.uint8)) == value).all()


@pytest.mark.parametrize("reduction", [2, 4, 8])
def test_a_reduced_image_is_shown_where_the_whole_one_would_be(reduction: int) -> None:
    # A smooth picture, so that pixels of the reduced one are means of what they stand for.
    rows, columns = np.mgrid[:123, :167]
    image = np.stack([rows * 2, columns, (rows + columns) * 0.8], -1).astype(np.uint8)
    padded = np.pad(image, [(0, -123 % reduction), (0, -167 % reduction), (0, 0)], mode="reflect").astype(float)
    blocks = padded.reshape(padded.shape[0] // reduction, reduction, padded.shape[1] // reduction, reduction, 3)
    reduced = np.rint(blocks.mean((1, 3))).astype(np.uint8)
    labels = np.zeros(image.shape[:2], np.uint8)
    small = Augmentation((20, 10), scale=(0.8 / reduction, 1 / reduction))
    for seed in range(20):
        one, other = (
            augment(Sample("", pixels, labels), small, np.random.default_rng(seed)).image.astype(float)
            for pixels in (image, reduced)
        )
        # The last blocks, beyond whose middle there is nothing, apart.
        assert np.abs(one - other)[1:-1, 1:-1].mean() <= 1.5


@pytest.mark.parametrize(("factor", "at_most"), [(0.5, 1.1), (0.45, 0.8), (0.25, 1.0), (0.225, 0.8), (0.125, 0.9)])
def test_reducing_a_photo_while_it_is_decoded_changes_no_more_than_another_filter(
    factor: float, at_most: float
) -> None:
    photo = Path(fassd.__file__).parent / "assets" / "street.jpg"
    whole, reduced = read_image(photo), read_image(photo, factor)
    assert reduced.size < whole.size
    size = (int(whole.shape[0] * factor), int(whole.shape[1] * factor))
    rows, columns = (Span(old, new, 0, new, 0) for old, new in zip(whole.shape, size, strict=False))
    crop = Crop(size, rows, columns, mirrored=False)
    expected = crop.of_image(whole).astype(int)
    other = np.asarray(Pillow.fromarray(whole).resize(size[::-1], Pillow.Resampling.LANCZOS))
    assert np.abs(crop.of_image(reduced) - expected).mean() < at_most * np.abs(other - expected).mean()


def test_an_image_of_another_size_than_its_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="not a reduction"):
        augment(
            Sample("", np.zeros((9, 20, 3), np.uint8), np.zeros((20, 20), np.uint8)),
            Augmentation((8, 8)),
            np.random.default_rng(0),
        )


def test_image_and_labels_move_together(sample: Sample) -> None:
    for seed in range(30):
        cropped = augment(sample, Augmentation((80, 100)), np.random.default_rng(seed))
        # Away from edges: where all pixels within 2 have the same label.
        around = [np.roll(cropped.labels, shift, (0, 1)) for shift in product(range(-2, 3), repeat=2)]
        inner = np.all([shifted == cropped.labels for shifted in around], 0) & (cropped.labels != IGNORE)
        inner[:2] = inner[-2:] = inner[:, :2] = inner[:, -2:] = False
        assert inner.mean() > 0.1
        assert np.array_equal(cropped.image[..., 0][inner], cropped.labels[inner] * 20)


@pytest.mark.parametrize(("probability", "mirrored"), [(0.0, False), (1.0, True)])
def test_flipping_is_never_or_always_done_at_the_ends_of_its_probability(
    sample: Sample, probability: float, mirrored: bool
) -> None:
    augmentation = Augmentation(sample.labels.shape, scale=(1.0, 1.0), hflip=probability)
    step = -1 if mirrored else 1
    for seed in range(20):
        cropped = augment(sample, augmentation, np.random.default_rng(seed))
        assert np.array_equal(cropped.image, sample.image[:, ::step])
        assert np.array_equal(cropped.labels, sample.labels[:, ::step])


def test_flipping_at_one_half_happens_about_half_the_time(sample: Sample) -> None:
    augmentation = Augmentation(sample.labels.shape, scale=(1.0, 1.0))
    random = np.random.default_rng(0)
    kept = [np.array_equal(augment(sample, augmentation, random).labels, sample.labels) for _ in range(200)]
    assert 70 <= sum(kept) <= 130


def test_padding_is_black_and_ignored_at_every_end(sample: Sample) -> None:
    bright = Sample("bright", np.maximum(sample.image, 1), sample.labels)
    augmentation = Augmentation((150, 170), scale=(1.0, 1.0), hflip=0.0)
    tops, lefts = set(), set()
    for seed in range(300):
        cropped = augment(bright, augmentation, np.random.default_rng(seed))
        padded = cropped.labels == IGNORE
        assert np.array_equal(padded, (cropped.image == 0).all(-1))
        rows, columns = np.flatnonzero(~padded.all(1)), np.flatnonzero(~padded.all(0))
        assert (len(rows), len(columns)) == (96, 128)
        tops.add(int(rows[0]))
        lefts.add(int(columns[0]))
    # The whole picture is always inside, anywhere from one end to the other.
    assert (min(tops), max(tops)) == (0, 150 - 96)
    assert (min(lefts), max(lefts)) == (0, 170 - 128)


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.5])
def test_padding_extends_as_far_as_the_resized_image_falls_short(sample: Sample, factor: float) -> None:
    augmentation = Augmentation((150, 60), scale=(factor, factor), hflip=0.0)
    padded = augment(sample, augmentation, np.random.default_rng(0)).labels == IGNORE
    assert (~padded.all(1)).sum() == min(150, int(96 * factor))
    assert not padded.all(0).any()


def test_every_place_of_the_crop_is_possible(sample: Sample) -> None:
    place = np.arange(96 * 128).reshape(96, 128)
    coded = Sample("places", np.stack([place % 256, place // 256, place * 0], -1).astype(np.uint8), sample.labels)
    augmentation = Augmentation((95, 126), scale=(1.0, 1.0), hflip=0.0)
    corners = {tuple(augment(coded, augmentation, np.random.default_rng(seed)).image[0, 0, :2]) for seed in range(100)}
    assert corners == {(128 * row % 256 + column, 128 * row // 256) for row in (0, 1) for column in (0, 1, 2)}


def test_one_seed_gives_one_crop_and_another_seed_another(sample: Sample) -> None:
    augmentation = Augmentation((64, 64), color_jitter=0.5)
    crops = [augment(sample, augmentation, np.random.default_rng(seed)).image for seed in (1, 1, 2)]
    assert np.array_equal(crops[0], crops[1])
    assert not np.array_equal(crops[0], crops[2])


def test_name_and_marks_stay_and_the_sample_is_not_changed(sample: Sample) -> None:
    annotated = np.arange(11) < 6
    image, labels = sample.image.copy(), sample.labels.copy()
    cropped = augment(
        Sample("one", sample.image, sample.labels, annotated),
        Augmentation((64, 64), hflip=1.0, color_jitter=1.0),
        np.random.default_rng(0),
    )
    assert cropped.name == "one"
    assert cropped.annotated is annotated
    assert np.array_equal(sample.image, image)
    assert np.array_equal(sample.labels, labels)


def test_jitter_leaves_padding_and_labels_alone(sample: Sample) -> None:
    augmentation = Augmentation((150, 170), scale=(1.0, 1.0), hflip=0.0, color_jitter=1.0)
    plain = Augmentation((150, 170), scale=(1.0, 1.0), hflip=0.0)
    for seed in range(10):
        cropped = augment(sample, augmentation, np.random.default_rng(seed))
        expected = augment(sample, plain, np.random.default_rng(seed))
        assert np.array_equal(cropped.labels, expected.labels)
        assert not cropped.image[cropped.labels == IGNORE].any()


@pytest.mark.parametrize("seed", range(5))
def test_jitter_is_what_its_formula_says(seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    random = np.random.default_rng(seed)
    exposure, contrast, saturation = 2.0 ** (0.7 * random.uniform(-1, 1, 3))
    tint = 1 + 0.14 * random.uniform(-1, 1, 3)
    changed = ((((image / 255) ** exposure - 0.5) * contrast + 0.5) * tint).clip(0, 1)
    gray = changed.mean(-1, keepdims=True)
    expected = ((gray + (changed - gray) * saturation) * 255).clip(0, 255)
    assert np.abs(jitter(image, 0.7, np.random.default_rng(seed)) - expected).max() <= 0.52


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_jitter_keeps_type_and_shape(sample: Sample, strength: float) -> None:
    changed = jitter(sample.image, strength, np.random.default_rng(0))
    assert changed.dtype == np.uint8
    assert changed.shape == sample.image.shape


def test_jitter_of_strength_0_changes_nothing() -> None:
    every_level = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    every_level[:4] = np.arange(256, dtype=np.uint8).reshape(4, 64, 1)
    assert np.array_equal(jitter(every_level, 0.0, np.random.default_rng(1)), every_level)


def test_jitter_grows_with_its_strength(sample: Sample) -> None:
    def change(strength: float) -> float:
        seeds = range(20)
        changed = [jitter(sample.image, strength, np.random.default_rng(seed)).astype(int) for seed in seeds]
        return float(np.mean([np.abs(one - sample.image).mean() for one in changed]))

    assert 0 < change(0.1) < change(0.4) < change(1.0)
