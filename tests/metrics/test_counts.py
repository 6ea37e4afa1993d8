"""Counts of one image beside their definitions, computed pixel by pixel or by SciPy's morphology."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage  # type: ignore[import-untyped]

from fassd.core.arrays import IGNORE
from fassd.core.labels import CITYSCAPES
from fassd.metrics import counts
from fassd.metrics.borders import border_bits, grown, near_borders
from fassd.metrics.cityscapes import CLASSES_OF_LABEL_IDS, LABEL_IDS_OF_CLASSES
from fassd.metrics.counts import BOUNDARY_SHARE, SAME, WIDTHS, Counts, EncodedMap, boundary_distance

Map = np.ndarray[Any, Any]
CLASSES = 4
NEIGHBORS = [step for step in product((-1, 0, 1), repeat=2) if step != (0, 0)]
SQUARE = np.ones((3, 3), bool)


def count(labels: Map, prediction: Map, classes: int, share: float | None = BOUNDARY_SHARE) -> Counts:
    return counts.count(EncodedMap(labels), EncodedMap(prediction), classes, share)[0]


@st.composite
def maps(draw: st.DrawFn, ignored: bool = True) -> tuple[Map, Map]:
    """Labels and a prediction: blocks and noise, of widths around a word's 64 bits too."""
    shape = draw(st.tuples(st.integers(1, 40), st.sampled_from([1, 2, 7, 40, 63, 64, 65, 130, 400])))
    block, noise = draw(st.sampled_from([1, 5, 16])), draw(st.sampled_from([0.0, 0.02, 0.5]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def one(values: list[int]) -> Map:
        coarse = random.choice(values, (shape[0] // block + 1, shape[1] // block + 1))
        blocks = coarse.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]]
        return np.where(random.random(shape) < noise, random.choice(values, shape), blocks).astype(np.uint8)

    return one([0, 1, 2, 3, *([IGNORE] if ignored else [])]), one([0, 1, 2, 3, CLASSES])


def border_by_definition(labels: Map) -> Map:
    """Pixels of a class that touch a pixel of another class."""
    border = np.zeros(labels.shape, bool)
    height, width = labels.shape
    for y, x in np.argwhere(labels != IGNORE):
        around = [(y + down, x + right) for down, right in NEIGHBORS]
        inside = [place for place in around if 0 <= place[0] < height and 0 <= place[1] < width]
        border[y, x] = any(labels[place] not in (IGNORE, labels[y, x]) for place in inside)
    return border


def band_by_definition(labels: Map, width: int) -> Map:
    if width == 1:
        return border_by_definition(labels)
    grown: Map = ndimage.binary_dilation(border_by_definition(labels), SQUARE, iterations=width - 1)
    return grown


def confusion_by_definition(labels: Map, prediction: Map, classes: int) -> Map:
    pairs = np.zeros((classes, classes), np.int64)
    for label, predicted in zip(labels.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if label != IGNORE:
            pairs[label, predicted] += 1
    return pairs


@given(pair=maps(), distance=st.integers(1, 90) | st.integers(120, 220))
@settings(max_examples=60, deadline=None)
def test_pixels_near_borders_are_those_that_a_dilation_of_the_border_reaches(
    pair: tuple[Map, Map], distance: int
) -> None:
    labels, _ = pair
    assert np.array_equal(near_borders(labels, distance).astype(bool), band_by_definition(labels, distance))


@given(pair=maps())
@settings(max_examples=30, deadline=None)
def test_several_distances_at_once_are_those_one_by_one(pair: tuple[Map, Map]) -> None:
    labels, _ = pair
    distances, border = (1, 2, 3, 9, 70), border_bits(labels, SAME, labels, SAME)
    for distance, bits in zip(distances, grown(border, distances), strict=True):
        (alone,) = grown(border, (distance,))
        assert np.array_equal(bits, alone)


@given(pair=maps())
@settings(max_examples=60, deadline=None)
def test_the_confusion_is_that_of_all_labeled_pixels(pair: tuple[Map, Map]) -> None:
    labels, prediction = pair
    assert (
        count(labels, prediction, CLASSES).confusion.tolist()
        == confusion_by_definition(labels, prediction, CLASSES + 1)[:-1].tolist()
    )


@given(pair=maps())
@settings(max_examples=40, deadline=None)
def test_the_bands_count_the_pixels_near_true_borders(pair: tuple[Map, Map]) -> None:
    labels, prediction = pair
    bands = count(labels, prediction, CLASSES).bands
    for width, band in zip(WIDTHS, bands, strict=True):
        inside = np.where(band_by_definition(labels, width), labels, np.uint8(IGNORE))
        assert band.tolist() == confusion_by_definition(inside, prediction, CLASSES + 1)[:-1].tolist()


def region_by_erosion(mask: Map, distance: int) -> Map:
    """A mask without its inside, as the authors of boundary IoU make it: what lies outside the picture is not mask."""
    inside = ndimage.binary_erosion(mask, SQUARE, iterations=distance, border_value=0)
    region: Map = mask & ~inside
    return region


@given(pair=maps(ignored=False), share=st.sampled_from([0.005, 0.02, 0.1, 0.6]))
@settings(max_examples=80, deadline=None)
def test_without_ignored_pixels_boundary_regions_are_the_authors(pair: tuple[Map, Map], share: float) -> None:
    labels, prediction = pair
    distance = boundary_distance(labels.shape, share)
    counted = count(labels, prediction, CLASSES, share)
    for label in range(CLASSES):
        true, predicted = (region_by_erosion(values == label, distance) for values in (labels, prediction))
        expected = [int(true.sum()), int(predicted.sum()), int((true & predicted).sum())]
        assert counted.boundary[:, label].tolist() == expected
        union = int((true | predicted).sum())
        assert counted.boundary_iou()[label] == (expected[2] / union if union else None)


@given(pair=maps())
@settings(max_examples=40, deadline=None)
def test_ignored_pixels_count_in_no_boundary_region_and_make_none(pair: tuple[Map, Map]) -> None:
    labels, prediction = pair
    distance = boundary_distance(labels.shape)
    frame = np.ones(labels.shape, bool)
    frame[distance:-distance, distance:-distance] = False
    counted = count(labels, prediction, CLASSES)
    shown = np.where(labels == IGNORE, np.uint8(IGNORE), prediction)
    near = [band_by_definition(values, distance) | frame for values in (labels, shown)]
    for label in range(CLASSES):
        true, predicted = near[0] & (labels == label), near[1] & (shown == label)
        assert counted.boundary[:, label].tolist() == [int(each.sum()) for each in (true, predicted, true & predicted)]


@given(pair=maps())
@settings(max_examples=20, deadline=None)
def test_what_is_predicted_at_ignored_pixels_changes_nothing(pair: tuple[Map, Map]) -> None:
    labels, prediction = pair
    other = np.where(labels == IGNORE, np.uint8(3) - prediction % 4, prediction)
    ours, theirs = (count(labels, predicted, CLASSES) for predicted in (prediction, other))
    assert all(np.array_equal(a, b) for a, b in zip(vars(ours).values(), vars(theirs).values(), strict=True))


@given(pairs=st.lists(maps(), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_counts_add_up(pairs: list[tuple[Map, Map]]) -> None:
    total = Counts.none(CLASSES)
    for labels, prediction in pairs:
        total += count(labels, prediction, CLASSES)
    assert int(total.confusion.sum()) == sum(int((labels != IGNORE).sum()) for labels, _ in pairs)
    assert total.confusion.dtype == total.bands.dtype == total.boundary.dtype == np.int64


def test_the_truth_itself_scores_1_near_borders_too() -> None:
    labels = np.kron(np.arange(9).reshape(3, 3) % 4, np.ones((20, 20))).astype(np.uint8)
    counted = count(labels, labels, CLASSES)
    assert counted.boundary_iou() == [1.0] * CLASSES
    assert counted.boundary_mean_iou() == 1.0
    assert [int(np.trace(band[:, :-1])) == int(band.sum()) for band in counted.bands] == [True] * len(WIDTHS)


def test_labels_that_end_in_ignored_pixels_have_no_border_there() -> None:
    labels = np.zeros((30, 30), np.uint8)
    labels[:, 10:20] = IGNORE
    labels[:, 20:] = 1
    assert not any(band.any() for band in count(labels, labels, CLASSES).bands)


def test_a_class_in_neither_truth_nor_prediction_has_no_boundary_iou() -> None:
    counted = count(np.zeros((5, 5), np.uint8), np.ones((5, 5), np.uint8), CLASSES)
    assert counted.boundary_iou() == [0.0, 0.0, None, None]
    assert counted.boundary_mean_iou(classes=[2, 3]) is None


@pytest.mark.parametrize(("size", "share", "expected"), [((1024, 2048), 0.005, 11), ((1024, 2048), 0.02, 46)])
def test_the_distance_is_a_share_of_the_diagonal(size: tuple[int, int], share: float, expected: int) -> None:
    assert boundary_distance(size, share) == expected == round(share * math.sqrt(size[0] ** 2 + size[1] ** 2))
    assert boundary_distance((3, 4)) == 1
    assert boundary_distance((1024, 2048)) == 46, "2 % by default (Cheng et al., Boundary IoU, 2021)"


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels \(2, 3\), prediction \(3, 2\)"):
        count(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), CLASSES)


@given(pair=maps(), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_it_is_the_meaning_of_values_that_counts(pair: tuple[Map, Map], seed: int) -> None:
    """Files hold other values than classes, several of which may mean one class."""
    labels, prediction = pair
    random = np.random.default_rng(seed)

    def stored(values: Map) -> EncodedMap:
        codes = random.permutation(256).astype(np.uint8)  # code i stands for value i % 128, and 255 for IGNORE
        classes = np.zeros(256, np.uint8)
        classes[codes] = np.append(np.arange(255, dtype=np.uint8) % 128, np.uint8(IGNORE))
        twin = np.where((values < 127) & (random.random(values.shape) < 0.5), values + 128, values)
        return EncodedMap(codes[twin], classes)

    told, _ = counts.count(stored(labels), stored(prediction), CLASSES)
    assert all(
        np.array_equal(a, b) for a, b in zip(vars(told).values(), vars(count(*pair, CLASSES)).values(), strict=True)
    )


@given(seed=st.integers(0, 2**32 - 1), block=st.sampled_from([1, 9]), noise=st.sampled_from([0.0, 0.1]))
@settings(max_examples=30, deadline=None)
def test_instances_are_counted_by_what_was_predicted(seed: int, block: int, noise: float) -> None:
    random, shape = np.random.default_rng(seed), (13, 150)

    def one(values: Map) -> Map:
        coarse = random.choice(values, (shape[0] // block + 1, shape[1] // block + 1))
        blocks = coarse.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]]
        return np.where(random.random(shape) < noise, random.choice(values, shape), blocks)

    raw, prediction = one(np.arange(34)).astype(np.uint8), one(np.array([*range(19), IGNORE])).astype(np.uint8)
    # More than fit at first, from the lowest id to the highest.
    instances = one(np.array([0, 7, 26, *range(24001, 24120), 26000, 33999])).astype(np.uint16)
    truth = EncodedMap(raw, CLASSES_OF_LABEL_IDS, SAME)
    _, official = counts.count(
        truth, EncodedMap(prediction, SAME, LABEL_IDS_OF_CLASSES), len(CITYSCAPES), None, instances
    )
    assert official is not None
    assert official.instances is not None
    predicted = LABEL_IDS_OF_CLASSES[prediction]
    scored = [one for one in np.unique(instances) if one > 1000 and one // 1000 in (24, 26, 33)]
    expected = [(one // 1000, np.bincount(predicted[instances == one], minlength=34).tolist()) for one in scored]
    assert [(label_id, pixels.tolist()) for label_id, pixels in official.instances] == expected
    assert np.array_equal(
        official.confusion,
        np.bincount(raw.ravel() * np.int64(34) + predicted.ravel(), minlength=34 * 34).reshape(34, 34),
    )
