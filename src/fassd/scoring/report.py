"""An evaluation as a folder to look at: scores for programs and tables, the worst images drawn, plots."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from fassd.core.errors import FileError, MissingExtra
from fassd.core.files import check_writable, written_whole
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.dataset import Dataset
from fassd.scoring.count import Answers, ImageScore, Report
from fassd.scoring.plots import confusion_plot, error_panels, trimap_plot

DRAWN = 8
"""How many of the worst images are drawn."""

_SCORES = "report.json"
_DRAWING = "worst_{number:02}_{name}.png"


def check_report_folder(folder: Path) -> None:
    """Refuses, before hours are spent, a folder in which a report cannot be put.

    Raises:
        FileError: the folder holds other things, or cannot be written.
        MissingExtra: there is no matplotlib.
    """
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("matplotlib", "plots", "--report") from None
    try:
        taken = any(folder.iterdir()) and not (folder / _SCORES).is_file()
    except FileNotFoundError:
        taken = False
    except OSError as error:
        raise FileError(folder, f"cannot hold a report ({error.strerror}); name another folder") from None
    if taken:
        raise FileError(folder, "is not empty and holds no earlier report; name a new folder for the report")
    check_writable(folder / _SCORES)


def write_report(
    folder: Path, report: Report, weights: str | None, dataset: Dataset, answers: Answers, watch: Watch = ignore_events
) -> None:
    """Writes `report.json`, `images.csv`, `confusion.png`, `trimap.png` and a picture of each of the worst images.

    An earlier report in the folder is replaced.

    Args:
        folder: new, empty, or with an earlier report.
        report: what was found.
        weights: as the user named them.
        dataset, answers: of the report; the worst images are read and answered once more.
        watch: gets "drawn" after each picture.

    Raises:
        FileError: as `check_report_folder`, or the folder cannot be written.
        MissingExtra: there is no matplotlib.
    """
    check_report_folder(folder)
    values = {**report.as_json(weights), "per_image": [_image_as_json(report, image) for image in report.images]}
    _write_text(folder / _SCORES, json.dumps(values, indent=2) + "\n")
    with written_whole(folder / "images.csv") as temporary:
        _write_table(temporary, report)
    for earlier in folder.glob("worst_*.png"):
        earlier.unlink()
    part = report.parts[0]
    annotated = range(len(report.label_space)) if part.annotated is None else part.annotated
    _save(folder / "confusion.png", confusion_plot(part.counts.confusion, report.label_space.names, annotated))
    if report.boundary_share is not None:
        _save(folder / "trimap.png", trimap_plot(report))
    for number, image in enumerate(report.worst(DRAWN), 1):
        sample = dataset[image.index]
        panels = error_panels(sample, answers(image.index, sample).class_map, report.label_space, image)
        _save(folder / _DRAWING.format(number=number, name=_file_name(image.name)), panels)
        watch(Event("drawn", {"done": number, "total": min(DRAWN, len(report.images)), "name": image.name}))


def _image_as_json(report: Report, image: ImageScore) -> dict[str, Any]:
    values = asdict(image)
    values["iou"] = dict(zip(report.label_space.names, image.iou, strict=True))
    values["size"] = "{1}x{0}".format(*image.size)
    return values


def _write_table(path: Path, report: Report) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        scores = ["mean IoU", "pixel accuracy", *(f"IoU {name}" for name in report.label_space.names)]
        table.writerow(["name", "width", "height", *scores])
        for image in report.images:
            height, width = image.size
            table.writerow([image.name, width, height, *_cells([image.mean_iou, image.pixel_accuracy, *image.iou])])


def _cells(scores: Sequence[float | None]) -> list[str]:
    """Fractions; nothing where there is no score, so that a table program leaves it out of its means."""
    return ["" if score is None else f"{score:.6f}" for score in scores]


def _write_text(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _save(path: Path, picture: np.ndarray[Any, Any]) -> None:
    with written_whole(path) as temporary:
        PIL.Image.fromarray(picture).save(temporary, "PNG")


def _file_name(name: str) -> str:
    """A frame's name without what file systems refuse."""
    return re.sub(r"[^\w.-]+", "_", name)[-100:]
