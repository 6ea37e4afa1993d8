"""Folders of predictions: found, refused, and scored as Cityscapes' owners score them."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.errors import DataError, FileError, ImageError
from fassd.core.labels import CITYSCAPES, CITYSCAPES_CLASSES
from fassd.data.dataset import Dataset
from fassd.data.open_dataset import open_dataset
from fassd.runtimes.runtime import Runtime
from fassd.scoring.count import Report, encode_prediction
from fassd.scoring.evaluate import NetworkPredictions, evaluate, score_network
from fassd.scoring.prediction_files import SavedPredictions, prediction_facts, score_predictions
from fassd.scoring.tta import TestTimeAugmentation as Augmented

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    owners = importlib.import_module("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")

Map = np.ndarray[Any, Any]
SIZE = (40, 72)
STEMS = [f"{city}_{number:06}_000019" for city in ("aachen", "bonn") for number in range(3)]
WITH_INSTANCES = [row.label_id for row in CITYSCAPES_CLASSES if row.has_instances]
NAMES = (
    ("classes", "classScores", "averageScoreClasses"),
    ("categories", "categoryScores", "averageScoreCategories"),
    ("instance_classes", "classInstScores", "averageScoreInstClasses"),
    ("instance_categories", "categoryInstScores", "averageScoreInstCategories"),
)


def some_ids(seed: int, ids: list[int]) -> Map:
    random = np.random.default_rng(seed)
    coarse = random.choice(ids, (SIZE[0] // 8, SIZE[1] // 8))
    return coarse.repeat(8, 0).repeat(8, 1).astype(np.uint8)


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """Six frames of two cities in Cityscapes' layout, and predictions with many faults in `predicted`."""
    root, (height, width) = tmp_path / "city", SIZE
    for seed, stem in enumerate(STEMS):
        labels = some_ids(seed, list(range(34)))
        number = np.arange(width)[None].repeat(height, 0) // 20
        instances = np.where(np.isin(labels, WITH_INSTANCES) & (number < 3), labels * np.uint16(1000) + number, labels)
        said = np.where(np.random.default_rng(seed).random(SIZE) < 0.7, labels, some_ids(seed + 50, list(range(34))))
        folder = f"val/{stem.partition('_')[0]}"
        for path, values in {
            f"leftImg8bit/{folder}/{stem}_leftImg8bit.png": np.zeros((*SIZE, 3), np.uint8),
            f"gtFine/{folder}/{stem}_gtFine_labelIds.png": labels,
            f"gtFine/{folder}/{stem}_gtFine_instanceIds.png": instances.astype(np.uint16),
            f"predicted/{stem.partition('_')[0]}/{stem}_by_somebody.png": said,
        }.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(values).save(root / path)
    return root


def opened(root: Path) -> Dataset:
    return open_dataset(f"cityscapes:{root}", "val")


def scored(root: Path, **options: Any) -> Report:
    return score_predictions(root / "predicted", opened(root), **options)[0]


def official(root: Path) -> dict[str, Any]:
    """What the owners' program writes as JSON when it searches the predictions itself."""
    truth = sorted(str(path) for path in root.glob("gtFine/val/*/*_labelIds.png"))
    options = copy.copy(owners.args)
    options.predictionPath, options.predictionWalk = str(root / "predicted"), None
    options.quiet, options.JSONOutput, options.exportFile = True, True, str(root / "theirs" / "result.json")
    with (
        mock.patch.object(np, "in1d", np.isin, create=True),  # dropped in NumPy 2.4
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        owners.evaluateImgLists([owners.getPrediction(options, path) for path in truth], truth, options)
    result: dict[str, Any] = json.loads((root / "theirs" / "result.json").read_text())
    return result


def assert_official(report: Report, theirs: dict[str, Any]) -> None:
    """Equal to the last bit."""
    assert report.official is not None
    assert report.official.confusion.tolist() == theirs["confMatrix"]
    ours = report.as_json(None)["official"]
    for kind, scores, average in NAMES:
        pairs = [(ours[kind].get(name), score) for name, score in theirs[scores].items()]
        for score, expected in [*pairs, (ours["averages"][kind], theirs[average])]:
            assert score == (None if math.isnan(expected) else expected)


def test_a_folder_scores_as_the_owners_program_scores_it(city: Path) -> None:
    report = scored(city)
    assert_official(report, official(city))
    assert report.official is not None
    assert report.parts[0].mean_iou == report.official.result().averages["classes"]
    assert report.parts[0].confusion.sum() + report.parts[0].counts.confusion[:, -1].sum() > 0


def test_threads_change_nothing_not_even_the_last_bit(city: Path) -> None:
    alone = scored(city)
    seen: list[int] = []
    together = scored(city, workers=2, watch=lambda event: seen.append(event.values["done"]))
    assert together.as_json(None) == alone.as_json(None)
    assert [image.name for image in together.images] == [image.name for image in alone.images]
    assert seen == [1, 2, 3, 4, 5, 6]


def test_a_prediction_that_is_no_scored_class_is_a_miss_and_nobodys_false_positive(city: Path) -> None:
    for path in city.glob("predicted/*/*.png"):
        Pillow.fromarray(np.full(SIZE, 29, np.uint8)).save(path)  # caravan
    values = scored(city).as_json(None)
    assert set(values["iou"].values()) == {0.0}
    assert np.sum(values["confusion"]) == 0
    assert values["predicted_no_class"] == sum(int((opened(city)[index].labels != 255).sum()) for index in range(6))
    assert_official(scored(city), official(city))


@pytest.mark.parametrize("missing", [1, 6])
def test_without_instance_files_there_is_no_iiou_and_the_report_says_so(city: Path, missing: int) -> None:
    whole = scored(city).as_json(None)["official"]
    for path in sorted(city.glob("gtFine/val/*/*_instanceIds.png"))[:missing]:
        path.unlink()
    values = scored(city).as_json(None)["official"]
    assert values["images_without_instances"] == missing
    assert set(values["instance_classes"].values()) == set(values["instance_categories"].values()) == {None}
    assert (values["classes"], values["categories"]) == (whole["classes"], whole["categories"])


def test_labels_in_train_ids_give_the_same_scores(city: Path) -> None:
    whole = scored(city).as_json(None)
    for path in city.glob("gtFine/val/*/*_labelIds.png"):
        values = CITYSCAPES.label_id_table()[np.array(Pillow.open(path))]
        Pillow.fromarray(values).save(str(path).replace("labelIds", "labelTrainIds"))
        path.unlink()
    values = scored(city).as_json(None)
    assert {key: values[key] for key in ("official", "iou", "trimap")} == {
        key: whole[key] for key in ("official", "iou", "trimap")
    }


def as_train_ids(root: Path) -> None:
    for path in root.glob("predicted/*/*.png"):
        Pillow.fromarray(np.minimum(CITYSCAPES.label_id_table()[np.array(Pillow.open(path))], 18)).save(path)


def test_train_ids_are_told_from_label_ids_and_scored_if_asked_for(city: Path) -> None:
    as_train_ids(city)
    with pytest.raises(DataError, match=r"look like train ids.*--ids train"):
        scored(city)
    assert_official(scored(city, ids="label"), official(city))
    assert (scored(city, ids="train").parts[0].mean_iou or 0) > 10 * (scored(city, ids="label").parts[0].mean_iou or 0)


def paint(change: Callable[[Map], Map]) -> Callable[[Path], None]:
    """Changes the values of the first prediction."""

    def act(root: Path) -> None:
        path = root / "predicted/aachen" / f"{STEMS[0]}_by_somebody.png"
        Pillow.fromarray(change(np.array(Pillow.open(path)))).save(path)

    return act


def first(root: Path) -> Path:
    return root / "predicted/aachen" / f"{STEMS[0]}_by_somebody.png"


def with_value(value: int) -> Callable[[Map], Map]:
    return lambda values: np.where(np.arange(values.size).reshape(values.shape) < 3, np.uint8(value), values)


DAMAGE: dict[str, tuple[Callable[[Path], Any], type[FileError], str]] = {
    "no folder": (lambda root: (root / "predicted").rename(root / "gone"), FileError, "no such folder"),
    "one is missing": (
        lambda root: first(root).unlink(),
        DataError,
        rf"1 of 6 images: {STEMS[0]}; .*{STEMS[0]}\*\.png",
    ),
    "two for one image": (
        lambda root: (root / f"predicted/{STEMS[0]}.png").write_bytes(first(root).read_bytes()),
        DataError,
        f"2 predictions for {STEMS[0]}: .*keep one",
    ),
    "half the size": (paint(lambda values: values[::2, ::2]), DataError, "is 36x20 but the labels .* are 72x40"),
    "a value beyond the table": (paint(with_value(34)), DataError, "holds the value 34; label ids .* 0-33"),
    "255 for no class": (paint(with_value(255)), DataError, "holds the value 255; .*--ids train"),
    "colors": (
        paint(lambda values: values[..., None].repeat(3, 2)),
        DataError,
        r"holds colors .*; a prediction is a PNG with one channel of label ids of Cityscapes, 0-33$",
    ),
    "16 bits beyond the table": (paint(lambda values: values.astype(np.uint16) + 300), DataError, "holds the value 30"),
    "cut short": (lambda root: first(root).write_bytes(first(root).read_bytes()[:80]), ImageError, "truncated"),
    "empty": (lambda root: first(root).write_bytes(b""), ImageError, "is empty"),
    "text": (lambda root: first(root).write_text("no picture"), ImageError, "not an image"),
    "instances of another size": (
        lambda root: Pillow.new("I;16", (5, 5)).save(next(root.glob("gtFine/*/*/*instanceIds.png"))),
        DataError,
        "instanceIds.png: does not fit: .*shapes",
    ),
    "instances of a class without": (
        lambda root: Pillow.new("I;16", SIZE[::-1], 7001).save(next(root.glob("gtFine/*/*/*instanceIds.png"))),
        DataError,
        "class 'road' has no instances",
    ),
    "a label beyond the table": (
        lambda root: Pillow.new("L", SIZE[::-1], 77).save(next(root.glob("gtFine/*/*/*labelIds.png"))),
        DataError,
        "labelIds.png: holds the value 77",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_in_a_sentence_that_names_it(city: Path, name: str) -> None:
    damage, kind, complaint = DAMAGE[name]
    damage(city)
    with pytest.raises(kind, match=complaint):
        scored(city)


def test_an_error_leaves_a_thread_as_it_was_raised(city: Path) -> None:
    first(city).write_bytes(b"")
    with pytest.raises(ImageError, match="is empty"):
        scored(city, workers=2)


def test_predictions_for_other_data_are_class_indices_named_by_stem(
    tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    dataset = open_dataset(f"camvid:{make_camvid(tmp_path / 'camvid', {'val': 2})}", "val")
    folder = tmp_path / "said"
    saved = SavedPredictions(folder, dataset, {})
    for index, sample in enumerate(dataset):
        saved.write(index, encode_prediction(np.minimum(sample.labels, 10), dataset))
    assert sorted(path.name for path in folder.glob("*.png")) == ["val_000.png", "val_001.png"]
    report, _ = score_predictions(folder, dataset)
    assert (report.parts[0].mean_iou, report.official) == (1.0, None)
    (folder / "val_001.png").rename(folder / "val_001_classmap.png")  # as `fassd predict` names them
    assert score_predictions(folder, dataset)[0].parts[0].mean_iou == 1.0
    Pillow.new("L", (128, 96), 11).save(folder / "val_000.png")
    with pytest.raises(DataError, match=r"val_000.png: holds the value 11; the 11 classes are 0-10"):
        score_predictions(folder, dataset)


def test_saved_predictions_are_what_the_owners_program_takes(city: Path) -> None:
    dataset = opened(city)
    saved = SavedPredictions(city / "written", dataset, {"weights": "mine"})
    for index, sample in enumerate(dataset):
        saved.write(index, encode_prediction(np.minimum(sample.labels, 18), dataset))
        kept = saved.read(index, SIZE)
        assert kept is not None
        assert kept.label_id_map is not None
    assert saved.read(0, SIZE) is not None
    options = copy.copy(owners.args)
    options.predictionPath, options.predictionWalk = str(city / "written"), None
    for pair in dataset.pairs:
        found = Path(owners.getPrediction(options, str(pair.mask)))
        with Pillow.open(found) as picture:
            assert (picture.mode, picture.size) == ("L", SIZE[::-1])


def test_a_folder_with_other_things_is_not_written_into(city: Path) -> None:
    with pytest.raises(FileError, match="not from an earlier run"):
        SavedPredictions(city / "predicted", opened(city), {})
    begun = city / "begun"
    SavedPredictions(begun, opened(city), {"weights": "mine"})
    assert SavedPredictions(begun, opened(city), {"weights": "mine"}).read(0, SIZE) is None
    with pytest.raises(FileError, match="weights mine instead of theirs"):
        SavedPredictions(begun, opened(city), {"weights": "theirs"})
    (city / "a file").touch()
    with pytest.raises(FileError, match="a file"):
        SavedPredictions(city / "a file", opened(city), {})


class Counting:
    """A runtime that counts how often it is asked."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime, self.asked = runtime, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def segment(self, *arguments: Any, **options: Any) -> Any:
        self.asked += 1
        return self._runtime.segment(*arguments, **options)


def test_an_interrupted_evaluation_resumes_where_its_predictions_end(
    tmp_path: Path, tiny_runtime: Runtime, tiny_weights: Path, dataset: Dataset
) -> None:
    facts = prediction_facts(str(tiny_weights), tiny_runtime, Augmented())
    plain = evaluate(tiny_runtime, dataset).as_json("x")
    for expected in (2, 0):
        runtime: Any = Counting(tiny_runtime)
        saved = SavedPredictions(tmp_path / "kept", dataset, facts)
        assert score_network(NetworkPredictions(runtime, dataset, saved=saved)).as_json("x") == plain
        assert runtime.asked == expected
    kept = sorted((tmp_path / "kept").glob("*.png"))
    spoilt: list[Callable[[], Any]] = [
        kept[0].unlink,
        lambda: kept[0].write_bytes(kept[0].read_bytes()[:99]),
        lambda: Pillow.new("L", (5, 5)).save(kept[1]),
        lambda: os.utime(dataset.pairs[1].image, ns=(0, 1)),
    ]
    for spoil in spoilt:
        spoil()
        runtime = Counting(tiny_runtime)
        score_network(NetworkPredictions(runtime, dataset, saved=SavedPredictions(tmp_path / "kept", dataset, facts)))
        assert runtime.asked == 1
    folder = score_predictions(tmp_path / "kept", dataset)[0].as_json("x")
    assert {key: folder[key] for key in ("iou", "confusion", "trimap")} == {
        key: plain[key] for key in ("iou", "confusion", "trimap")
    }
