"""How the predictions of an export and its source are compared, on made class maps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fassd.core.arrays import IGNORE, ClassMaps, Images
from fassd.core.types import Event
from fassd.exports.agreement import (
    TOLERANCES,
    Agreement,
    Case,
    ComparedCase,
    Tolerance,
    compare,
    mean_iou_bound,
    percent_below_100,
    worst_cases,
)
from fassd.networks.graph import CLASS_MAP, LOGITS
from fassd.runtimes.exported import Array, LayerMaps


class Scripted:
    """A source and a file that predict what they are told: the images' red channel, or that changed."""

    def __init__(self, change: Any = None) -> None:
        self._change = change

    def segment(self, images: Images) -> ClassMaps:
        return np.ascontiguousarray(images[..., 0])

    def run(self, images: Images) -> Array:
        found: Array = self._change(self.segment(images).copy())
        return found

    def layers(self, images: Images) -> LayerMaps:
        return {}


def _case(name: str, maps: Array, labels: Array | None = None) -> Case:
    """Images whose source prediction is `maps`, (N, H, W)."""
    return Case(name, np.repeat(np.asarray(maps, np.uint8)[..., None], 3, axis=3), labels)


def _compare(change: Any, *cases: Case, classes: int = 11, ending: str = CLASS_MAP, watch: Any = None) -> Agreement:
    source = Scripted()
    more = {} if watch is None else {"watch": watch}
    return compare(source, Scripted(change), ending, classes, cases, TOLERANCES["float32"], **more)


def _changed(**places: int) -> Any:
    def change(maps: Array) -> Array:
        for place, value in places.items():
            maps.ravel()[int(place[1:])] = value
        return maps

    return change


def _halves(height: int = 8, width: int = 20) -> Array:
    """One image, its left half of class 1, its right half of class 2."""
    maps = np.ones((1, height, width), np.uint8)
    maps[:, :, width // 2 :] = 2
    return maps


@pytest.mark.parametrize("column", range(20))
def test_pixels_farther_than_two_from_a_border_are_inner_ones(column: int) -> None:
    """The border lies between columns 9 and 10."""
    agreement = _compare(_changed(**{f"p{3 * 20 + column}": 5}), _case("halves", _halves()))
    (case,) = agreement.cases
    assert case == ComparedCase("halves", 1, 8, 20, 160, 1, 8 * 16, int(not 8 <= column <= 11))
    assert agreement.equal == 1 - 1 / 160
    assert agreement.inner_differing == case.inner_differing / 128


def test_shares_are_of_all_pixels_of_all_cases() -> None:
    cases = (ComparedCase("a", 1, 1, 1, 100, 10, 40, 4), ComparedCase("b", 1, 1, 1, 300, 0, 40, 0))
    agreement = Agreement(TOLERANCES["int8"], cases, None, None, 0, (), None)
    assert agreement.equal == 0.975
    assert agreement.inner_differing == 0.05
    assert replace(agreement, cases=(replace(cases[0], inner=0, inner_differing=0),)).inner_differing == 0


def test_batches_are_compared_image_by_image() -> None:
    maps = np.concatenate([_halves(), _halves()[:, :, ::-1]])
    agreement = _compare(_changed(p160=7, p161=7), _case("two", maps), _case("one", _halves(9, 21)))
    assert [(one.name, one.images, one.height, one.width, one.pixels) for one in agreement.cases] == [
        ("two", 2, 8, 20, 320),
        ("one", 1, 9, 21, 189),
    ]
    assert agreement.cases[0].inner == 2 * 8 * 16
    assert [drawn.name for drawn in agreement.worst] == ["two, image 2", "one", "two, image 1"]
    second = agreement.worst[0]
    np.testing.assert_array_equal(second.source, maps[1])
    assert (second.source != second.export).sum() == 1 + 1
    assert (second.image[..., 0] == maps[1]).all()


def test_four_images_are_drawn_those_first_that_differ_most() -> None:
    """Of equal shares the larger image, then the earlier one, come first."""

    def change(maps: Array) -> Array:
        maps.ravel()[: maps.size // 4 if maps.shape[1] == 10 else 0] = 9
        return maps

    sizes = [(8, 20), (10, 12), (9, 30), (8, 21), (10, 40), (9, 30)]
    agreement = _compare(change, *(_case(f"{number}", _halves(*size)) for number, size in enumerate(sizes)))
    assert [drawn.name for drawn in agreement.worst] == ["4", "1", "2", "5"]


def test_layers_are_compared_on_the_small_case_that_differs_most() -> None:
    def change(maps: Array) -> Array:
        maps.ravel()[: maps.shape[1]] = 9
        return maps

    small, smaller, large = _halves(10, 20), _halves(8, 12), np.ones((1, 500, 1001), np.uint8)
    found = _compare(change, *(_case("x", maps) for maps in (small, smaller, small, large))).worst_small
    assert found is not None
    np.testing.assert_array_equal(found[..., 0], smaller)
    just = _compare(change, _case("just", np.ones((1, 500, 1000), np.uint8))).worst_small
    assert just is not None
    assert _compare(change, _case("large", large)).worst_small is None
    equal = _compare(lambda maps: maps, _case("first", small), _case("second", smaller)).worst_small
    assert equal is not None
    assert equal.shape == (1, 10, 20, 3)


def test_labeled_images_give_both_mean_ious() -> None:
    labels = np.array([[0, 0, 1, 1], [0, 0, 1, IGNORE]], np.uint8)
    predicted = labels[None] % IGNORE
    cases = _case("labeled", predicted, labels), _case("unlabeled", predicted), _case("again", predicted, labels)
    agreement = _compare(_changed(p0=1), *cases, classes=2)
    assert agreement.labeled == 2
    assert agreement.source_iou == 1
    assert agreement.export_iou == pytest.approx((3 / 4 + 3 / 4) / 2)
    unlabeled = _compare(_changed(p0=1), cases[1], classes=2)
    assert (unlabeled.labeled, unlabeled.source_iou, unlabeled.export_iou) == (0, None, None)


@pytest.mark.parametrize("value", [3, 4, 254, 255])
def test_a_value_that_is_no_class_counts_as_a_miss(value: int) -> None:
    """Of three classes; the miss is of the label's class, also where that is the last."""
    labels = np.array([[0, 0, 1, 1, 2, 2]], np.uint8)
    agreement = _compare(_changed(p0=value, p5=value), _case("x", labels[None], labels), classes=3)
    assert agreement.source_iou == 1
    # Class 0 has one hit, class 1 two hits and a false alarm, class 2 one hit; the last miss falls on class 0.
    assert agreement.export_iou == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)


def test_the_first_of_a_labeled_batch_is_scored() -> None:
    labels = np.array([[0, 0, 1, 1]], np.uint8)
    maps = np.stack([labels, 1 - labels])
    agreement = _compare(lambda found: found, _case("x", maps, labels), classes=2)
    assert (agreement.source_iou, agreement.export_iou, agreement.labeled) == (1, 1, 1)


def test_every_case_is_watched() -> None:
    events: list[Event] = []
    _compare(lambda maps: maps, _case("a", _halves()), _case("b", _halves()), watch=events.append)
    assert [(event.kind, event.values) for event in events] == [
        ("compared", {"done": 1, "name": "a"}),
        ("compared", {"done": 2, "name": "b"}),
    ]


def _raise(maps: Array) -> Array:
    raise ValueError("no  such\nlayer " + "x" * 200)


BROKEN = [
    (CLASS_MAP, _raise, "the file cannot be executed: no such layer " + "x" * 146),
    (CLASS_MAP, lambda maps: maps.astype(np.int64), "the file gives int64 (1, 8, 20) instead of uint8 (1, 8, 20)"),
    (CLASS_MAP, lambda maps: maps[:, 1:], "the file gives uint8 (1, 7, 20) instead of uint8 (1, 8, 20)"),
    (LOGITS, lambda maps: maps, "the file gives uint8 (1, 8, 20), which are not logits of these images"),
    (LOGITS, lambda maps: np.zeros((2, 3, 2, 5), np.float32), "the file gives float32 (2, 3, 2, 5), which are not"),
    (LOGITS, lambda maps: np.zeros((1, 3, 2, 5)), "the file gives float64 (1, 3, 2, 5), which are not logits"),
    (LOGITS, lambda maps: np.zeros((1, 3, 2), np.float32), "the file gives float32 (1, 3, 2), which are not logits"),
    (LOGITS, lambda maps: np.zeros((1, 0, 2, 5), np.float32), "its logits cannot be upsampled: "),
]


@pytest.mark.parametrize(("ending", "change", "problem"), BROKEN)
def test_a_file_without_class_maps_differs_everywhere_and_is_not_scored(ending: str, change: Any, problem: str) -> None:
    labels = np.ones((8, 20), np.uint8)
    agreement = _compare(change, _case("x", _halves(), labels), ending=ending)
    (case,) = agreement.cases
    assert (case.problem or "").startswith(problem)
    assert len(case.problem or "") < 200
    assert (case.differing, case.inner_differing) == (160, 128)
    assert (agreement.labeled, agreement.export_iou, agreement.worst, agreement.worst_small) == (0, None, (), None)
    assert agreement.violations[-1] == f"x: {case.problem}"


def test_logits_are_upsampled_to_the_image() -> None:
    logits = np.zeros((1, 3, 2, 5), np.float32)
    logits[:, 2] = 1
    agreement = _compare(lambda maps: logits, _case("x", np.full((1, 8, 20), 2)), ending=LOGITS)
    assert agreement.cases[0].problem is None
    assert agreement.cases[0].differing == 0


def _agreement(tolerance: Tolerance, *differing: int, ious: tuple[float | None, float | None] = (None, None)) -> Any:
    cases = tuple(ComparedCase(f"c{n}", 1, 100, 100, 10_000, one, 1, 0) for n, one in enumerate(differing))
    return Agreement(tolerance, cases, *ious, 0, (), None)


@pytest.mark.parametrize(
    ("precision", "differing", "violations"),
    [
        ("float32", (1,), ()),
        ("float32", (5,), ("99.95 % of the pixels are equal; at least 99.99 % must",)),
        ("float32", (5, 0, 0, 0, 0), ()),
        ("float32", (6, 0, 0, 0, 0, 0), ("c0: 99.94 % equal; at least 99.95 % must",)),
        ("bfloat16", (50,), ()),
        ("bfloat16", (51,), ("99.49 % of the pixels are equal; at least 99.50 % must",)),
        ("bfloat16", (0, 301, 0, 0, 0, 0, 0), ("c1: 96.99 % equal; at least 97.00 % must",)),
        ("int8", (200,), ()),
        ("int8", (201,), ("97.99 % of the pixels are equal; at least 98.00 % must",)),
        ("int8", (1001, 0, 0, 0, 0, 0), ("c0: 89.99 % equal; at least 90.00 % must",)),
    ],
)
def test_what_exceeds_the_tolerance_is_told(
    precision: str, differing: tuple[int, ...], violations: tuple[str, ...]
) -> None:
    assert _agreement(TOLERANCES[precision], *differing).violations == violations


def test_five_differing_pixels_of_a_small_image_are_not_held_against_it() -> None:
    small = ComparedCase("small", 1, 10, 10, 100, 5, 1, 0)
    large = ComparedCase("large", 1, 1000, 1000, 1_000_000, 0, 1, 0)
    agreement = Agreement(TOLERANCES["float32"], (small, large), None, None, 0, (), None)
    assert agreement.violations == ()
    more = replace(agreement, cases=(replace(small, differing=6), large))
    assert more.violations == ("small: 94.00 % equal; at least 99.95 % must",)


@pytest.mark.parametrize(
    ("ious", "violations"),
    [
        ((0.7, 0.695001), ()),
        ((0.7, 0.8), ()),
        ((0.7, 0.6949), ("mean IoU drops by 0.51 points; at most 0.5 may",)),
        ((0.7, None), ("mean IoU drops by 70.00 points; at most 0.5 may",)),
        ((None, None), ("95.00 % of the pixels are equal; at least 98.00 % must",)),
    ],
)
def test_labels_decide_about_int8(ious: tuple[float | None, float | None], violations: tuple[str, ...]) -> None:
    assert _agreement(TOLERANCES["int8"], 500, ious=ious).violations == violations


def test_labels_do_not_decide_about_float32() -> None:
    (violation,) = _agreement(TOLERANCES["float32"], 5, ious=(0.7, 0.1)).violations
    assert violation.startswith("99.95 % of the pixels are equal")


@pytest.mark.parametrize(("batches", "listed"), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 4), (9, 4)])
def test_many_violations_are_counted(batches: int, listed: int) -> None:
    """One of all pixels and one per batch; a single one more is listed, not counted."""
    agreement = _agreement(TOLERANCES["float32"], *[9000] * batches, *[5] * (batches == 0))
    main = agreement.main_violations
    assert len(main) == listed
    assert main[:3] == agreement.violations[:3]
    if batches <= 3:
        assert main == agreement.violations
    else:
        assert main[3] == f"and {batches - 2} more batches exceed it"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.5, "50.00 %"),
        (0.99984, "99.98 %"),
        (0.99996, "99.996 %"),
        (0.999996, "99.9996 %"),
        (0.9999996, "99.99996 %"),
        (0.99999999, "100.00000 %"),
        (1.0, "100.00 %"),
        (0.0, "0.00 %"),
    ],
)
def test_only_one_itself_reads_100_percent(share: float, text: str) -> None:
    assert percent_below_100(share) == text


def test_the_worst_cases_come_first() -> None:
    cases = [
        ComparedCase(name, 1, 1, 1, pixels, 4, 1, 0) for name, pixels in (("a", 10), ("b", 5), ("c", 8), ("d", 99))
    ]
    assert [one.name for one in worst_cases(cases, 3)] == ["b", "c", "a"]


def test_a_bound_scores_logits_on_the_labeled_cases_alone() -> None:
    labels = np.array([[0, 0, 1, 1]] * 4, np.uint8)
    logits = np.zeros((1, 2, 4, 4), np.float32)
    logits[0, 1, :, 1:] = 1
    cases = [lambda: _case("x", labels[None], labels), lambda: _case("y", labels[None])]
    bound = mean_iou_bound(0.5, 2, cases)
    assert bound.largest_drop == 0.005
    assert bound.score(Scripted(lambda maps: logits)) == pytest.approx((4 / 8 + 8 / 12) / 2)
    batch = mean_iou_bound(0.5, 2, [lambda: _case("x", np.stack([labels, labels]), labels)])
    both = np.concatenate([logits, 1 - logits])
    assert batch.score(Scripted(lambda maps: both)) == bound.score(Scripted(lambda maps: logits))
    assert mean_iou_bound(0.5, 2, cases[1:]).score(Scripted(lambda maps: logits)) == 0
