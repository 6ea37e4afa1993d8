"""What sets of values mean: a table of sets and their explanations, and that their tables fix them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fassd.checks.mask_values import explain_colors, explain_grays, explain_values
from fassd.core.arrays import IGNORE
from fassd.core.labels import CAMVID, CITYSCAPES, CITYSCAPES_CLASSES, LabelClass, LabelSpace
from fassd.data.mask_encoding import MaskEncoding, by_value, value_of_color

RAW = MaskEncoding(
    {row.label_id: IGNORE if row.ignored else row.train_id for row in CITYSCAPES_CLASSES if row.label_id >= 0}
)
TRAIN = by_value(CITYSCAPES)
CAM = by_value(CAMVID, 11)
TWO = LabelSpace("two", (LabelClass("floor", (1, 2, 3), 0), LabelClass("crack", (4, 5, 6), 1)))
COLORED = MaskEncoding(
    {value_of_color(label.color): place for place, label in enumerate(CAMVID.classes)}, by_color=True
)


@pytest.mark.parametrize(
    ("codes", "coding", "space", "kind"),
    [
        ({0, 255}, by_value(TWO), TWO, "black-and-white"),
        ({7, 8, 11, 21, 23, 26}, TRAIN, CITYSCAPES, "label-ids"),
        ({0, 4, 7, 33}, TRAIN, CITYSCAPES, "label-ids"),
        ({0, 1, 10, 13, 255}, RAW, CITYSCAPES, "train-ids"),
        ({7, 11, 26001, 24003}, RAW, CITYSCAPES, "instance-ids"),
        ({7, 11, 26001, 24003}, TRAIN, CITYSCAPES, "instance-ids"),
        (set(range(1, 20)), TRAIN, CITYSCAPES, "off-by-one"),
        ({1, 2, 4, 19, 255}, TRAIN, CITYSCAPES, "off-by-one"),
        ({1, 5, 12}, CAM, CAMVID, "off-by-one"),
        ({0, 20, 40, 100, 220}, CAM, CAMVID, "stretched-values"),
        ({round(n * 255 / 11) for n in range(12)}, CAM, CAMVID, "stretched-values"),
        ({n * 257 for n in range(12)}, CAM, CAMVID, "stretched-values"),
        ({(n << 8) for n in (0, 3, 5, 11)}, CAM, CAMVID, "stretched-values"),
        ({0, 1, 2, 12}, CAM, CAMVID, None),
        ({0, 200}, CAM, CAMVID, None),
        ({3, 77, 254}, CAM, CAMVID, None),
    ],
)
def test_values_are_explained(codes: set[int], coding: MaskEncoding, space: LabelSpace, kind: str | None) -> None:
    found = explain_values(frozenset(codes), coding, space)
    assert (found and found.kind) == kind
    if found:
        assert codes <= found.table.keys()
        assert set(found.table.values()) <= coding.classes.keys()


@given(st.sets(st.integers(0, 11), min_size=2), st.sampled_from([5, 7, 20, 21, 23]))
def test_a_stretch_is_undone(labels: set[int], factor: int) -> None:
    # With low and the highest values no other factor fits, so that the values come back.
    labels |= {1, 10, 11}
    found = explain_values(frozenset(label * factor for label in labels), CAM, CAMVID)
    assert found
    assert found.kind == "stretched-values"
    assert {found.table[label * factor] for label in labels} == labels


def test_a_stretch_that_is_not_certain_has_no_table() -> None:
    found = explain_values(frozenset({0, 40, 80, 120}), CAM, CAMVID)
    assert found
    assert found.kind == "stretched-values"
    assert not found.table


def test_train_ids_and_label_ids_lead_into_each_other() -> None:
    there = explain_values(frozenset({*range(19), 255}), RAW, CITYSCAPES)
    back = explain_values(frozenset(range(34)), TRAIN, CITYSCAPES)
    assert there
    assert back
    assert [back.table[there.table[label]] for label in range(19)] == list(range(19))
    assert back.table[there.table[IGNORE]] == IGNORE


def test_exchanged_channels_of_colors_are_found() -> None:
    codes = frozenset(value_of_color((b, g, r)) for r, g, b in (label.color for label in CAMVID.classes))
    found = explain_values(codes, COLORED, CAMVID)
    assert found
    assert "red and blue" in found.found
    assert {found.table[code] for code in codes} == set(COLORED.classes)


def test_colors_of_a_known_table_become_values() -> None:
    owner, table = explain_colors(frozenset({value_of_color((128, 64, 128)), 0}), CAM, CAMVID)
    assert owner == "'camvid'"
    assert table[value_of_color((128, 64, 128))] == CAMVID.index("Road")
    assert CAM.classes[table[0]] == IGNORE


@pytest.mark.parametrize(("colors", "owner"), [({(3, 3, 3), (5, 5, 5)}, "gray"), ({(1, 2, 3)}, "")])
def test_other_colors(colors: set[tuple[int, int, int]], owner: str) -> None:
    assert explain_colors(frozenset(map(value_of_color, colors)), CAM, CAMVID)[0] == owner


def test_values_become_colors_where_they_are_classes() -> None:
    table = explain_grays(frozenset({0, 3, 10}), COLORED, CAMVID)
    assert table[3] == value_of_color(CAMVID.classes[3].color)
    assert explain_grays(frozenset({0, 30}), COLORED, CAMVID) == {}
