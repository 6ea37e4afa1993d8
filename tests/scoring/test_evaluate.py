"""Evaluation: counts, parts, and what programs read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.errors import DataError, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.core.types import Event
from fassd.data.dataset import Dataset
from fassd.data.open_dataset import open_dataset
from fassd.runtimes.runtime import Runtime
from fassd.scoring.count import overall_mean_iou
from fassd.scoring.evaluate import evaluate

PARTLY = """
label_space = "camvid"
[[partially_annotated]]
frames = "p_*"
annotated = ["Sky", "Road", "Car"]
[[partially_annotated]]
frames = "q_*"
annotated = ["Tree"]
"""
ANNOTATED = (CAMVID.index("Sky"), CAMVID.index("Road"), CAMVID.index("Car"))


@pytest.fixture
def partly(tmp_path: Path, make_folder: Callable[..., Path]) -> Dataset:
    """Two frames with every class annotated, two with three classes, one with a single class."""
    names = ["a", "b", "p_1", "p_2", "q_1"]
    return open_dataset(f"folder:{make_folder(tmp_path, PARTLY, {'val': names}, values=11)}", "val")


def counted_one_by_one(
    runtime: Runtime, dataset: Dataset, frames: Sequence[int], among: Sequence[int] | None
) -> list[list[int]]:
    """The confusion matrix as its definition says: pixel after pixel."""
    pairs: Counter[tuple[int, int]] = Counter()
    for frame in frames:
        sample = dataset[frame]
        prediction = runtime.segment(sample.image[None], classes=among)[0]
        pairs.update(zip(sample.labels.ravel().tolist(), prediction.ravel().tolist(), strict=True))
    return [[pairs[true, found] for found in range(11)] for true in range(11)]


def test_counts_equal_those_made_pixel_by_pixel(tiny_runtime: Runtime, camvid_root: Path) -> None:
    dataset = open_dataset(f"camvid:{camvid_root}", "val")
    report = evaluate(tiny_runtime, dataset)
    assert len(report.parts) == 1
    assert report.parts[0].confusion.tolist() == counted_one_by_one(tiny_runtime, dataset, range(2), None)
    # 11 of the file is IGNORE: the 8 rows of each frame that hold it are not counted.
    assert report.parts[0].confusion.sum() == 2 * (96 - 8) * 128


def test_an_odd_sized_frame_is_scored_at_its_own_resolution(
    tmp_path: Path, tiny_runtime: Runtime, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path, {"val": 1})
    Pillow.fromarray(np.full((77, 131, 3), 90, np.uint8)).save(root / "val/val_001.png")
    Pillow.fromarray(np.full((77, 131), 3, np.uint8)).save(root / "valannot/val_001.png")
    dataset = open_dataset(f"camvid:{root}", "val")
    assert evaluate(tiny_runtime, dataset).parts[0].confusion.sum() == (96 - 8) * 128 + 77 * 131


def test_partially_annotated_frames_are_counted_apart_for_each_set_of_marks(
    tiny_runtime: Runtime, partly: Dataset
) -> None:
    parts = evaluate(tiny_runtime, partly).parts
    assert [part.annotated for part in parts] == [None, ANNOTATED, (CAMVID.index("Tree"),)]
    assert [part.images for part in parts] == [2, 2, 1]
    for part, frames in zip(parts, [(0, 1), (2, 3), (4,)], strict=True):
        assert part.confusion.tolist() == counted_one_by_one(tiny_runtime, partly, frames, part.annotated)


def test_on_partially_annotated_frames_only_annotated_classes_are_labels_or_predicted(
    tiny_runtime: Runtime, partly: Dataset
) -> None:
    part = evaluate(tiny_runtime, partly).parts[1]
    others = [label for label in range(11) if label not in ANNOTATED]
    assert part.confusion.sum() > 0
    assert not part.confusion[others].any()
    assert not part.confusion[:, others].any()
    assert (part.confusion.sum(0) > 0).sum() > 1


def test_a_single_annotated_class_is_always_predicted_right(tiny_runtime: Runtime, partly: Dataset) -> None:
    part = evaluate(tiny_runtime, partly).parts[2]
    assert part.mean_iou == part.pixel_accuracy == 1.0


def test_json_has_the_keys_that_programs_rely_on(tiny_runtime: Runtime, partly: Dataset) -> None:
    values = json.loads(json.dumps(evaluate(tiny_runtime, partly).as_json("some-weights")))
    documented = {"network", "weights", "data", "split", "images", "runtime", "precision"}
    documented |= {"ignore", "mean_iou", "pixel_accuracy", "iou", "confusion", "partially_annotated"}
    documented |= {
        "scales",
        "flip",
        "predictions",
        "sizes",
        "annotated",
        "mean_accuracy",
        "accuracy",
        "absent",
        "worst",
    }
    documented |= {"frequency_weighted_iou", "boundary", "trimap", "predicted_no_class"}
    assert set(values) == documented
    facts = {key: values[key] for key in ("network", "weights", "split", "images", "runtime", "precision", "ignore")}
    assert facts == {
        "network": "fassd-net-l2",
        "weights": "some-weights",
        "split": "val",
        "images": 2,
        "runtime": tiny_runtime.name,
        "precision": tiny_runtime.precision,
        "ignore": 255,
    }
    assert values["data"] == partly.spec
    assert list(values["iou"]) == list(CAMVID.names)


def test_json_tells_the_annotated_classes_of_each_other_part(tiny_runtime: Runtime, partly: Dataset) -> None:
    others = evaluate(tiny_runtime, partly).as_json("x")["partially_annotated"]
    assert [part["annotated"] for part in others] == [["Sky", "Road", "Car"], ["Tree"]]
    assert [list(part["iou"]) for part in others] == [part["annotated"] for part in others]
    assert [part["images"] for part in others] == [2, 1]


def test_scores_are_fractions_and_none_for_classes_that_do_not_occur(
    tmp_path: Path, tiny_runtime: Runtime, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path, {"val": 1})
    Pillow.new("L", (128, 96), 11).save(root / "valannot/val_000.png")
    values = evaluate(tiny_runtime, open_dataset(f"camvid:{root}", "val")).as_json("x")
    assert values["mean_iou"] is None
    assert values["pixel_accuracy"] is None
    assert set(values["iou"].values()) == {None}
    assert np.sum(values["confusion"]) == 0


def test_mean_iou_is_that_of_the_counts(tiny_runtime: Runtime, camvid_root: Path) -> None:
    part = evaluate(tiny_runtime, open_dataset(f"camvid:{camvid_root}", "val")).parts[0]
    counts = part.confusion
    scores = [
        counts[label, label] / (counts[label].sum() + counts[:, label].sum() - counts[label, label])
        for label in range(11)
        if counts[label].any() or counts[:, label].any()
    ]
    assert part.mean_iou == pytest.approx(np.mean(scores), abs=1e-12)
    assert part.pixel_accuracy == pytest.approx(np.trace(counts) / counts.sum(), abs=1e-12)


def test_the_watcher_gets_one_event_for_each_image(tiny_runtime: Runtime, partly: Dataset) -> None:
    seen: list[Event] = []
    evaluate(tiny_runtime, partly, seen.append)
    assert [(event.kind, event.values["done"], event.values["total"]) for event in seen] == [
        ("image", done, 5) for done in range(1, 6)
    ]


def test_data_with_other_classes_is_refused(
    tmp_path: Path, tiny_runtime: Runtime, make_folder: Callable[..., Path]
) -> None:
    root = make_folder(tmp_path, 'label_space = "cityscapes"', {"val": ["a"]})
    dataset = open_dataset(f"folder:{root}", "val")
    assert dataset.label_space == CITYSCAPES
    with pytest.raises(UsageError, match=r"'cityscapes' \(19\).*'camvid' \(11\)"):
        evaluate(tiny_runtime, dataset)


def test_an_image_below_the_networks_minimum_is_named(
    tmp_path: Path, tiny_runtime: Runtime, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path, {"val": 1})
    Pillow.new("RGB", (128, 20)).save(root / "val/val_000.png")
    Pillow.new("L", (128, 20)).save(root / "valannot/val_000.png")
    with pytest.raises(DataError, match=r"val_000\.png: .*128x20"):
        evaluate(tiny_runtime, open_dataset(f"camvid:{root}", "val"))


def test_the_overall_score_is_the_mean_over_data_sets(
    tiny_runtime: Runtime, camvid_root: Path, partly: Dataset
) -> None:
    whole = evaluate(tiny_runtime, open_dataset(f"camvid:{camvid_root}", "val"))
    mixed = evaluate(tiny_runtime, partly)
    parts = [part.mean_iou or 0.0 for part in mixed.parts]
    of_mixed = (2 * parts[0] + 2 * parts[1] + parts[2]) / 5
    assert overall_mean_iou([whole]) == whole.parts[0].mean_iou
    assert overall_mean_iou([mixed]) == pytest.approx(of_mixed)
    assert overall_mean_iou([whole, mixed]) == pytest.approx(((whole.parts[0].mean_iou or 0.0) + of_mixed) / 2)
    assert overall_mean_iou([]) == 0.0
