"""The folder of a report: its files and drawings."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from fassd.core.errors import FileError
from fassd.core.labels import CAMVID
from fassd.data.dataset import Dataset
from fassd.media.images import read_size
from fassd.runtimes.runtime import Runtime
from fassd.scoring.evaluate import NetworkPredictions, evaluate
from fassd.scoring.report import check_report_folder, write_report


def test_the_report_has_every_image_and_draws_the_worst(
    tmp_path: Path, tiny_runtime: Runtime, dataset: Dataset
) -> None:
    report = evaluate(tiny_runtime, dataset)
    folder = tmp_path / "report"
    for _ in range(2):  # a second one replaces the first
        write_report(folder, report, "x", dataset, NetworkPredictions(tiny_runtime, dataset))
    drawn = sorted(path.name for path in folder.glob("worst_*.png"))
    order = [image.name.replace("/", "_") for image in report.worst(8)]
    assert drawn == [f"worst_{number:02}_{name}.png" for number, name in enumerate(order, 1)]
    values = json.loads((folder / "report.json").read_text())
    assert [one["name"] for one in values["per_image"]] == [pair.name for pair in dataset.pairs]
    with (folder / "images.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["mean IoU"]) for row in rows] == pytest.approx(
        [one["mean_iou"] for one in values["per_image"]], abs=1e-6
    )
    assert rows[0].keys() >= {f"IoU {name}" for name in CAMVID.names}
    for name in ("confusion.png", "trimap.png", drawn[0]):
        assert min(read_size(folder / name)) > 300


def test_the_errors_are_drawn_where_they_are(tmp_path: Path, tiny_runtime: Runtime, dataset: Dataset) -> None:
    from fassd.scoring.plots import _errors

    sample = dataset[0]
    prediction = np.where(np.arange(128) < 30, (sample.labels + 1) % 11, sample.labels).astype(np.uint8)
    red = (_errors(sample, prediction, 11) == (235, 52, 52)).all(-1)
    assert np.array_equal(red, (prediction != sample.labels) & (sample.labels < 11))


def test_a_folder_with_other_things_gets_no_report(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(FileError, match="holds no earlier report"):
        check_report_folder(tmp_path)
    check_report_folder(tmp_path / "new")


def test_the_worst_images_come_first_and_ties_by_name(tiny_runtime: Runtime, dataset: Dataset) -> None:
    report = evaluate(tiny_runtime, dataset)
    worst = report.worst(5)
    assert [image.mean_iou for image in worst] == sorted(image.mean_iou or 0.0 for image in report.images)
    assert {image.name for image in worst} == {pair.name for pair in dataset.pairs}
