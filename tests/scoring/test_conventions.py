"""Which convention gives a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.errors import UsageError
from fassd.data.dataset import Dataset
from fassd.data.open_dataset import open_dataset
from fassd.runtimes.runtime import Runtime
from fassd.scoring.conventions import explain, parse_number
from fassd.scoring.evaluate import NetworkPredictions, evaluate
from fassd.scoring.prediction_files import FilePredictions, score_predictions

Map = np.ndarray[Any, Any]


NUMBERS = [
    ("76.3", 0.763, 3),
    ("0.763", 0.763, 3),
    ("76.30 %", 0.763, 4),
    ("1%", 0.01, 2),
    ("1.0", 1.0, 1),
    ("0.5%", 0.005, 3),
    ("80", 0.8, 2),
]


@pytest.mark.parametrize(("text", "value", "digits"), NUMBERS)
def test_numbers_are_read_as_people_write_them(text: str, value: float, digits: int) -> None:
    number = parse_number(text)
    assert number.value == pytest.approx(value)
    assert number.digits == digits


@pytest.mark.parametrize("text", ["", "high", "-1", "101", "nan", "inf", "0", "1"])
def test_what_is_no_score_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--explain"):
        parse_number(text)


@pytest.mark.parametrize(
    ("text", "score", "met"),
    [
        ("76.3", 0.76349, True),
        ("76.3", 0.7625, True),
        ("76.3", 0.7639, True),
        ("76.3", 0.7641, False),
        ("76.3", 0.7624, False),
    ],
)
def test_a_number_is_met_by_what_is_rounded_or_cut_to_its_digits(text: str, score: float, met: bool) -> None:
    assert parse_number(text).is_met_by(score) is met


@pytest.fixture
def two_images(tmp_path: Path, make_folder: Callable[..., Path]) -> tuple[Dataset, list[Map], list[Map]]:
    """Three classes and a fourth that never occurs; some pixels ignored; a few predictions wrong."""
    rows = "".join(f'[[classes]]\nname = "{name}"\ncolor = [{i}, 0, 0]\n' for i, name in enumerate("abcd"))
    root = make_folder(tmp_path / "set", rows, {"val": ["p", "q"]})
    random = np.random.default_rng(0)
    labels, predictions = [], []
    for stem, values in (("p", [0, 1, 255]), ("q", [0, 1, 2, 255])):
        true = random.choice(values, (96, 128), p=None).astype(np.uint8)
        said = np.where(random.random(true.shape) < 0.8, np.minimum(true, 1), random.integers(0, 3, true.shape))
        labels.append(true)
        predictions.append(said.astype(np.uint8))
        Pillow.fromarray(true).save(root / f"masks/val/{stem}.png")
        (root / "said").mkdir(exist_ok=True)
        Pillow.fromarray(predictions[-1]).save(root / f"said/{stem}.png")
    return open_dataset(f"folder:{root}", "val"), labels, predictions


def ious(labels: Map, prediction: Map, classes: int = 4, ignore: bool = True) -> list[float | None]:
    """By sets of pixels."""
    counted = labels != 255 if ignore else np.ones(labels.shape, bool)
    scores: list[float | None] = []
    for label in range(classes):
        true, said = (labels == label) & counted, (prediction == label) & counted
        union = int((true | said).sum())
        scores.append(int((true & said).sum()) / union if union else None)
    return scores


def mean(scores: list[float | None], absent: float | None = None) -> float:
    known = [absent if score is None else score for score in scores]
    return float(np.mean([score for score in known if score is not None]))


def conventions(labels: list[Map], predictions: list[Map]) -> dict[str, float]:
    """Each written out on all pixels at once."""
    true, said = (np.concatenate([one.ravel() for one in maps]) for maps in (labels, predictions))
    known = true != 255
    split = ious(true, said)
    each = [ious(a, b) for a, b in zip(labels, predictions, strict=True)]
    share = [float((true[known] == label).mean()) for label in range(4)]
    small = [np.concatenate([one[::2, ::2].ravel() for one in maps]) for maps in (labels, predictions)]
    centers = [np.concatenate([one[4::8, 4::8].ravel() for one in maps]) for maps in (labels, predictions)]
    with_void = [*ious(true, said, ignore=False), 0.0]
    return {
        "mean IoU: one matrix": mean(split),
        "absent classes counted as 1": mean(split, 1.0),
        "absent classes counted as 0": mean(split, 0.0),
        "frequency-weighted": sum(weight * (score or 0) for weight, score in zip(share, split, strict=True)),
        "pixel accuracy instead": float((true == said)[known].mean()),
        "mean class accuracy": mean([float((said == i)[true == i].mean()) for i in range(3)]),
        "mean Dice": mean([None if score is None else 2 * score / (1 + score) for score in split]),
        "false positives of the predicted": mean(ious(true, said, ignore=False)),
        "one more class": mean(with_void),
        "belong to the first class": mean(ious(np.where(known, true, 0), said)),
        "with ignored pixels counted as wrong": float((true == said).mean()),
        "mean over images of each": mean([mean(scores) for scores in each]),
        "mean over images, absent classes counted as 1": mean([mean(scores, 1.0) for scores in each]),
        "mean over images, absent classes counted as 0": mean([mean(scores, 0.0) for scores in each]),
        "each class averaged": mean([mean([one[i] for one in each]) for i in range(3)]),
        "downscaled 2 times (nearest, the first": mean(ious(small[0], small[1])),
        "downscaled 8 times (nearest, as Pillow, the center": mean(ious(centers[0], centers[1])),
    }


def test_every_convention_is_its_definition_and_is_found_by_its_own_number(
    two_images: tuple[Dataset, list[Map], list[Map]],
) -> None:
    dataset, labels, predictions = two_images
    folder = Path(dataset.spec.partition(":")[2]) / "said"
    report, given = score_predictions(folder, dataset)
    for name, expected in conventions(labels, predictions).items():
        found = explain(parse_number(f"{expected:.9f}"), report, given)
        assert found[0].score == pytest.approx(expected, abs=1e-9), name
        assert any(name in one.what and one.score == pytest.approx(expected, abs=1e-12) for one in found[:3]), name
    assert not any(parse_number("0.999").is_met_by(one.score or 0.0) for one in found)


def test_the_plain_mean_comes_first_where_several_conventions_give_the_number(
    tiny_runtime: Runtime, dataset: Dataset
) -> None:
    report = evaluate(tiny_runtime, dataset)
    predictions = NetworkPredictions(tiny_runtime, dataset)
    plain = report.parts[0].mean_iou or 0.0
    for text in (f"{100 * plain:.1f}", f"{100 * plain:.9f}", f"{100 * plain + 0.0049:.2f}"):
        found = explain(parse_number(text), report, predictions)
        assert found[0].what.startswith("mean IoU: one matrix")
        assert any(parse_number(text).is_met_by(one.score or 0.0) for one in found[1:])


def test_a_network_predicts_again_in_the_ways_people_mix_up(tiny_runtime: Runtime, dataset: Dataset) -> None:
    report = evaluate(tiny_runtime, dataset)
    found = {
        one.what: one.score for one in explain(parse_number("50"), report, NetworkPredictions(tiny_runtime, dataset))
    }
    bgr = next(score for name, score in found.items() if "BGR" in name)
    confusion = np.zeros((11, 11), np.int64)
    for sample in dataset:
        said = tiny_runtime.segment(np.ascontiguousarray(sample.image[None, :, :, ::-1]))[0]
        known = sample.labels < 11
        np.add.at(confusion, (sample.labels[known], said[known]), 1)
    unions = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    assert bgr == pytest.approx(float(np.mean(np.diag(confusion)[unions > 0] / unions[unions > 0])))
    # Half of 96x128 is below the network's minimum.
    assert [name for name in found if "halved" in name] == ["logits upsampled to half the labels' size, labels halved"]


def test_a_convention_that_some_images_are_too_small_for_is_omitted(
    tmp_path: Path, tiny_runtime: Runtime, make_camvid: Callable[..., Path]
) -> None:
    def halved(root: Path) -> list[str]:
        dataset = open_dataset(f"camvid:{root}", "val")
        predictions = NetworkPredictions(tiny_runtime, dataset)
        found = explain(parse_number("50"), evaluate(tiny_runtime, dataset), predictions)
        return [one.what for one in found if "image halved" in one.what or "image and its labels" in one.what]

    root = make_camvid(tmp_path, {"val": 2})
    for path in (root / "val/val_000.png", root / "valannot/val_000.png"):
        with Pillow.open(path) as picture:
            picture.resize((257, 193), Pillow.Resampling.NEAREST).save(path)
    assert halved(root) == []
    for path in (root / "val/val_001.png", root / "valannot/val_001.png"):
        path.unlink()
    assert len(halved(root)) == 2


def test_label_and_train_ids_are_mixed_up_both_ways(tmp_path: Path) -> None:
    root, stem = tmp_path, "ulm/ulm_000000_000019"
    labels = np.tile(np.array([7, 8, 11, 23, 26], np.uint8).repeat(8), (16, 1))
    for path, values in {
        f"leftImg8bit/val/{stem}_leftImg8bit.png": np.zeros((*labels.shape, 3), np.uint8),
        f"gtFine/val/{stem}_gtFine_labelIds.png": labels,
        f"said/{stem}.png": labels,
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(values).save(root / path)
    dataset = open_dataset(f"cityscapes:{root}", "val")
    report, predictions = score_predictions(root / "said", dataset)
    assert isinstance(predictions, FilePredictions)
    found = {one.what: one.score for one in explain(parse_number("0%"), report, predictions)}
    # The label ids 7, 8, 11 stand for the train ids 7, 8, 11, which were never predicted; 23 and 26 are ignored.
    assert found["label ids in the labels taken for train ids"] == 0.0
    assert found["train ids in the labels, label ids in the predictions"] == 0.0
    assert found["Cityscapes' IoU of categories"] == 1.0
