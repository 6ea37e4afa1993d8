"""Our scores of Cityscapes beside those of the owners' program, which is run on the same maps as files."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from fassd.core.arrays import IGNORE
from fassd.core.labels import CITYSCAPES, CITYSCAPES_CLASSES
from fassd.metrics.cityscapes import (
    AVERAGE_SIZES,
    CLASSES_OF_LABEL_IDS,
    LABEL_IDS_OF_CLASSES,
    OfficialEvaluation,
    OfficialScores,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    owners = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")

Map: TypeAlias = np.ndarray[Any, Any]
Maps: TypeAlias = tuple[Map, Map, Map]
"""Prediction, labels, instances."""

TOLERANCE = 1e-9
# Our scores, theirs, and their average.
NAMES = (
    ("classes", "classScores", "averageScoreClasses"),
    ("categories", "categoryScores", "averageScoreCategories"),
    ("instance_classes", "classInstScores", "averageScoreInstClasses"),
    ("instance_categories", "categoryInstScores", "averageScoreInstCategories"),
)
ROAD, PERSON, CAR, BUS, CARAVAN, VOID = 7, 24, 26, 28, 29, 0
WITH_INSTANCES = [row.label_id for row in CITYSCAPES_CLASSES if row.has_instances]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the owners' program finds its files; each case writes over the last."""
    return tmp_path_factory.mktemp("official")


def _official(folder: Path, images: Sequence[Maps]) -> dict[str, Any]:
    """The owners' result, in process and in silence."""
    predictions, labels = [], []
    for number, maps in enumerate(images):
        for kind, values in zip(("prediction", "labelIds", "instanceIds"), maps, strict=True):
            deep = np.uint16 if kind == "instanceIds" else np.uint8
            Pillow.fromarray(values.astype(deep)).save(folder / f"{number}_{kind}.png", compress_level=0)
        predictions.append(str(folder / f"{number}_prediction.png"))
        labels.append(str(folder / f"{number}_labelIds.png"))
    options = copy.copy(owners.args)
    options.JSONOutput, options.quiet = False, True
    with (
        # Dropped in NumPy 2.4, and deprecated before.
        mock.patch.object(np, "in1d", np.isin, create=True),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        result: dict[str, Any] = owners.evaluateImgLists(predictions, labels, options)
    return result


def _ours(images: Sequence[Maps]) -> tuple[OfficialEvaluation, OfficialScores]:
    evaluation = OfficialEvaluation()
    for maps in images:
        evaluation.add(*maps)
    return evaluation, evaluation.result()


def _assert_equal(folder: Path, images: Sequence[Maps]) -> None:
    official = _official(folder, images)
    evaluation, scores = _ours(images)
    assert evaluation.confusion.tolist() == official["confMatrix"]
    for kind, their_scores, their_average in NAMES:
        ours = getattr(scores, kind)
        assert ours.keys() <= official[their_scores].keys()
        pairs = [(ours.get(name), expected) for name, expected in official[their_scores].items()]
        for score, expected in [*pairs, (scores.averages[kind], official[their_average])]:
            if math.isnan(expected):
                assert score is None
            else:
                assert score == pytest.approx(expected, rel=0, abs=TOLERANCE)


def _instances_of(labels: Map, numbers: Map) -> Map:
    """Instances as real files have them: objects are numbered, a number of 9 makes a crowd."""
    single = np.isin(labels, WITH_INSTANCES) & (numbers < 9)
    return np.where(single, labels.astype(np.uint16) * 1000 + numbers, labels)


def _maps(prediction: int | Map, labels: int | Map, instances: int | Map, shape: tuple[int, ...] = (3, 4)) -> Maps:
    """Three maps from values or arrays; labels and instances keep the types that files have."""
    prediction, labels, instances = (
        np.broadcast_to(np.asarray(values), shape) for values in (prediction, labels, instances)
    )
    return prediction.astype(np.uint8), labels.astype(np.uint8), instances.astype(np.uint16)


# What an instance map may hold: bare classes, values around the border, instances of ignored and of scored classes.
ANY_INSTANCE = [*range(34), 999, 1000, 1001, 6999, 9001, 29001, 30999]
ANY_INSTANCE += [24000, 24001, 25000, 26000, 26001, 27999, 28000, 31000, 32000, 33000, 33999]


@st.composite
def _images(draw: st.DrawFn) -> list[Maps]:
    """One to three images of few classes, so that hits, misses and false positives meet."""
    pool = draw(st.lists(st.integers(0, 33), min_size=1, max_size=8, unique=True))
    images = []
    for shape in draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3)):
        right, natural = draw(st.sampled_from([0.0, 0.3, 0.9])), draw(st.booleans())
        # Pixels are drawn by NumPy: ten thousand cases are then a matter of two minutes.
        random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        labels = random.choice(pool, shape)
        prediction = np.where(random.random(shape) < right, labels, random.choice(pool, shape))
        made = _instances_of(labels, random.integers(0, 10, shape)) if natural else random.choice(ANY_INSTANCE, shape)
        # Long runs of one value and single pixels are counted in two ways.
        stretch = draw(st.sampled_from([1, 8]))
        prediction, labels, made = (values.repeat(stretch, 1) for values in (prediction, labels, made))
        images.append(_maps(prediction, labels, made, prediction.shape))
    return images


@given(images=_images())
@settings(max_examples=100, deadline=None)
def test_random_images_score_as_the_owners_score_them(folder: Path, images: list[Maps]) -> None:
    _assert_equal(folder, images)


@pytest.mark.slow
@given(images=_images())
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_10000_random_images_score_as_the_owners_score_them(folder: Path, images: list[Maps]) -> None:
    _assert_equal(folder, images)


GRADIENT = np.arange(12).reshape(3, 4)
IDS = np.arange(34)
HALF = np.where(GRADIENT < 6, CAR, ROAD)
ADVERSARIAL = {
    "void everywhere in the truth": [_maps(CAR, VOID, VOID)],
    "void everywhere in the prediction": [_maps(VOID, CAR, 26000)],
    "void everywhere": [_maps(VOID, VOID, VOID)],
    "an ignored class of the category as the prediction": [_maps(np.where(GRADIENT < 5, CARAVAN, CAR), CAR, 26001)],
    "an ignored class of the category as a false positive": [_maps(CARAVAN, HALF, np.where(HALF == CAR, 26001, ROAD))],
    "an ignored class in the truth": [_maps(CAR, CARAVAN, 29001), _maps(BUS, BUS, 28001)],
    "instances of one pixel": [_maps(np.where(GRADIENT % 3, PERSON, ROAD), PERSON, 24000 + GRADIENT)],
    "crowds only": [_maps(HALF, CAR, CAR)],
    "a crowd beside instances": [_maps(PERSON, PERSON, np.where(GRADIENT < 8, PERSON, 24000))],
    "no instances": [_maps(ROAD, np.where(GRADIENT < 3, 8, ROAD), ROAD)],
    "predictions with instances where there are none": [_maps(CAR, ROAD, ROAD)],
    "the instance map contradicts the labels": [_maps(HALF, BUS, np.where(GRADIENT < 8, 26003, 24001))],
    "instances on ignored pixels": [_maps(HALF, VOID, 26003)],
    "the values around the first instance": [_maps(HALF, CAR, 999 + GRADIENT)],
    "every pair of ids": [_maps(IDS[:, None], IDS, _instances_of(IDS, IDS % 10), (34, 34))],
    "images of different sizes": [
        _maps(HALF, CAR, 26000),
        _maps(BUS, CAR, 26000, (1, 1)),
        _maps(33, 33, 33999, (9, 2)),
    ],
    "one instance id in two images": [_maps(HALF, CAR, 26000), _maps(CAR, CAR, 26000)],
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_adversarial_images_score_as_the_owners_score_them(folder: Path, name: str) -> None:
    _assert_equal(folder, ADVERSARIAL[name])


REFUSED = {
    "a prediction beyond the table": (_maps(34, CAR, CAR), "prediction holds the id 34"),
    "255 as the prediction on an ignored pixel": (_maps(255, VOID, VOID), "prediction holds the id 255"),
    "a label beyond the table": (_maps(CAR, 34, CAR), "label map holds the id 34"),
    "255 as the label": (_maps(CAR, 255, CAR), "label map holds the id 255"),
    "an instance beyond the table": (_maps(CAR, CAR, 34000), "instance map holds the id 34000"),
    "the highest instance of 16 bits": (_maps(CAR, CAR, 65535), "instance map holds the id 65535"),
    "an instance of a class without instances": (_maps(CAR, CAR, 7000), "class 'road' has no instances"),
    "another size of the prediction": ((np.full((3, 5), CAR), *_maps(CAR, CAR, CAR)[1:]), "shapes"),
    "another size of the instances": ((*_maps(CAR, CAR, CAR)[:2], np.full((4, 4), 26001)), "shapes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_owners_refuse_is_refused_and_counts_nothing(folder: Path, name: str) -> None:
    maps, complaint = REFUSED[name]
    with pytest.raises((SystemExit, LookupError)):
        _official(folder, [maps])
    evaluation = OfficialEvaluation()
    with pytest.raises(ValueError, match=complaint):
        evaluation.add(*maps)
    assert not evaluation.confusion.any()
    assert set(evaluation.result().averages.values()) == {None}


@pytest.mark.parametrize("kind", [np.float32, np.bool_])
def test_maps_that_hold_no_whole_numbers_are_refused(kind: type) -> None:
    ones = np.ones((2, 2), np.uint8)
    with pytest.raises(ValueError, match="whole numbers"):
        OfficialEvaluation().add(ones.astype(kind), ones, ones)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint64])
def test_ids_of_any_integer_type_count_alike(kind: type) -> None:
    prediction, labels, instances = _maps(HALF, CAR, 24000 + GRADIENT)
    wide = np.int32 if kind is np.int8 else kind
    _, expected = _ours([(prediction, labels, instances)])
    _, scores = _ours([(prediction.astype(kind), labels.astype(kind), instances.astype(wide))])
    assert scores == expected
    with pytest.raises(ValueError, match="holds the id -1"):
        _ours([(np.full((3, 4), -1), labels, instances)])


@pytest.mark.parametrize("noise", [0.0, 0.02, 1.0], ids=["shifted", "with noise", "noise alone"])
def test_the_real_frames_score_as_the_owners_score_them(folder: Path, data_root: Path, noise: float) -> None:
    masks = sorted((data_root / "cityscapes_mini" / "gtFine").glob("*/*/*_labelIds.png"))
    if not masks:
        pytest.skip("FASSD_DATA has no folder cityscapes_mini")
    random = np.random.default_rng(0)
    images = []
    for mask in masks:
        labels = np.array(Pillow.open(mask))
        instances = np.array(Pillow.open(str(mask).replace("labelIds", "instanceIds")))
        wrong = random.random(labels.shape) < noise
        prediction = np.where(wrong, random.integers(0, 34, labels.shape), np.roll(labels, (3, 5), (0, 1)))
        images.append((prediction, labels, instances))
    _assert_equal(folder, images)


def test_the_table_of_raw_classes_is_the_owners() -> None:
    theirs = [
        (row.name, row.id, row.trainId, row.category, row.hasInstances, row.ignoreInEval, row.color)
        for row in owners.labels
    ]
    ours = [tuple(vars(row).values()) for row in CITYSCAPES_CLASSES]
    assert ours == theirs


def test_the_average_sizes_are_the_owners() -> None:
    sizes = owners.args.avgClassSize
    assert {name: size for name, size in sizes.items() if name not in ("caravan", "trailer")} == AVERAGE_SIZES


def test_the_truth_itself_scores_1_wherever_it_scores() -> None:
    labels = np.arange(34, dtype=np.uint8).repeat(4).reshape(8, 17)
    instances = _instances_of(labels, np.arange(136, dtype=np.uint16).reshape(8, 17) % 3)
    _, scores = _ours([(labels, labels, instances)])
    found = (scores.classes, scores.categories, scores.instance_classes, scores.instance_categories, scores.averages)
    assert [set(table.values()) for table in found] == [{1.0}] * 5
    assert [len(table) for table in found] == [19, 7, 8, 2, 4]


def test_counts_stay_exact_beyond_the_whole_numbers_of_floating_point() -> None:
    evaluation = OfficialEvaluation()
    evaluation.confusion[ROAD, ROAD] = 2**53
    evaluation.add(*_maps(ROAD, ROAD, ROAD, (1, 1)))
    assert evaluation.confusion.dtype == np.int64
    assert int(evaluation.confusion[ROAD, ROAD]) == 2**53 + 1


def test_the_train_ids_of_our_networks_become_label_ids_and_return() -> None:
    train_ids = np.array([[*range(19), IGNORE]], np.uint8)
    raw = LABEL_IDS_OF_CLASSES[train_ids]
    assert raw.dtype == np.uint8
    assert raw.tolist() == [[*(label.label_id for label in CITYSCAPES.classes), 0]]
    assert np.array_equal(CLASSES_OF_LABEL_IDS[raw], train_ids)
