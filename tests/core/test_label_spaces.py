from __future__ import annotations

import numpy as np
import pytest

from fassd.core.arrays import IGNORE
from fassd.core.errors import UnknownName, UsageError
from fassd.core.labels import (
    CAMVID,
    CITYSCAPES,
    LABEL_SPACES,
    LabelClass,
    LabelSpace,
    label_space_by_name,
)

SPACES = pytest.mark.parametrize("space", LABEL_SPACES.values(), ids=LABEL_SPACES.keys())


def _space(*names: str) -> LabelSpace:
    return LabelSpace("made", tuple(LabelClass(name, (i, i, i), 10 + i) for i, name in enumerate(names)))


@SPACES
def test_index_inverts_names(space: LabelSpace) -> None:
    assert [space.index(name) for name in space.names] == list(range(len(space)))


@SPACES
def test_no_two_classes_share_a_color_or_an_id(space: LabelSpace) -> None:
    assert len({label.color for label in space.classes}) == len(space)
    assert len({label.label_id for label in space.classes}) == len(space)


@SPACES
def test_tables_hold_every_class_once_and_ignore_the_rest(space: LabelSpace) -> None:
    for table in (space.identity_table(), space.label_id_table()):
        assert table.dtype == np.uint8
        assert table.shape == (256,)
        assert sorted(table[table != IGNORE]) == list(range(len(space)))


@SPACES
def test_a_table_into_the_space_itself_is_the_identity(space: LabelSpace) -> None:
    table = space.table_into(space, {name: name for name in space.names})
    assert (table == space.identity_table()).all()


def test_the_identity_table_keeps_train_ids() -> None:
    assert CAMVID.identity_table()[:12].tolist() == [*range(11), IGNORE]


@pytest.mark.parametrize(
    ("raw", "train"), [(7, 0), (11, 2), (17, 5), (20, 7), (28, 15), (31, 16), (33, 18), (0, IGNORE), (255, IGNORE)]
)
def test_cityscapes_ids_lead_to_train_ids(raw: int, train: int) -> None:
    assert CITYSCAPES.label_id_table()[raw] == train


@pytest.mark.parametrize(
    ("space", "name", "train", "color"),
    [
        (CITYSCAPES, "road", 0, (128, 64, 128)),
        (CITYSCAPES, "person", 11, (220, 20, 60)),
        (CITYSCAPES, "bicycle", 18, (119, 11, 32)),
        (CAMVID, "Sky", 0, (128, 128, 128)),
        (CAMVID, "Bicyclist", 10, (0, 128, 192)),
    ],
)
def test_classes_have_their_official_place_and_color(
    space: LabelSpace, name: str, train: int, color: tuple[int, int, int]
) -> None:
    assert space.index(name) == train
    assert tuple(space.color_table()[train]) == color


@SPACES
def test_colors_beyond_the_classes_are_black(space: LabelSpace) -> None:
    table = space.color_table()
    assert table.dtype == np.uint8
    assert table.shape == (256, 3)
    assert not table[len(space) :].any()


def test_a_table_into_another_space_merges_and_ignores_as_given() -> None:
    table = _space("car", "bus", "dog").table_into(
        _space("sky", "vehicle"), {"car": "vehicle", "bus": "vehicle", "dog": "ignore"}
    )
    assert table[:4].tolist() == [1, 1, IGNORE, IGNORE]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        ({"car": "vehicle"}, "lacks: dog"),
        ({"car": "vehicle", "dog": "animal"}, "animal"),
        ({"car": "vehicle", "dog": "ignore", "cat": "ignore"}, "cat"),
    ],
)
def test_a_table_with_a_missing_or_unknown_class_is_refused(names: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        _space("car", "dog").table_into(_space("sky", "vehicle"), names)


def test_an_unknown_class_or_space_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match="'cityscape'; did you mean cityscapes"):
        label_space_by_name("cityscape")
    with pytest.raises(UnknownName, match="label space 'camvid' named 'Roads'; did you mean Road"):
        CAMVID.index("Roads")


@pytest.mark.parametrize("count", [0, 256])
def test_a_space_without_classes_or_with_too_many_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"has {count} classes"):
        LabelSpace("made", tuple(LabelClass(str(i), (0, 0, 0), 0) for i in range(count)))


def test_a_class_named_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="twice"):
        _space("car", "car")
