"""The folder of `fassd evaluate --report`: scores as JSON and CSV, plots, the worst images drawn."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import asdict
from pathlib import Path

import PIL.Image

from fassd.core.arrays import Image
from fassd.core.errors import FileError, MissingExtra
from fassd.core.files import check_writable, written_whole
from fassd.core.types import Event, Watch, ignore_events
from fassd.data.dataset import Dataset
from fassd.scoring.count import Predictions, Report
from fassd.scoring.plots import confusion_plot, error_panels, trimap_plot

DRAWN = 8
"""How many of the worst images are drawn."""

_SCORES = "report.json"


def check_report_folder(folder: Path) -> None:
    """Refuses a folder that cannot hold a report, before hours of evaluation.

    Raises:
        FileError: the folder holds other files, or cannot be written.
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
    folder: Path,
    report: Report,
    weights: str | None,
    dataset: Dataset,
    predictions: Predictions,
    watch: Watch = ignore_events,
) -> None:
    """Writes `report.json`, `images.csv`, `confusion.png`, `trimap.png` and a drawing of each of the worst images.

    An earlier report in the folder is replaced.

    Args:
        folder: new, empty, or with an earlier report.
        report: the scores.
        weights: as the user named them.
        dataset, predictions: of the report; the worst images are read and predicted once more.
        watch: gets "drawn" after each drawing.

    Raises:
        FileError: as `check_report_folder`, or the folder cannot be written.
        MissingExtra: there is no matplotlib.
    """
    check_report_folder(folder)
    names = report.label_space.names
    with written_whole(folder / _SCORES) as temporary:
        images = [
            asdict(image)
            | {"iou": dict(zip(names, image.iou, strict=True)), "size": f"{image.size[1]}x{image.size[0]}"}
            for image in report.images
        ]
        values = {**report.as_json(weights), "per_image": images}
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    with written_whole(folder / "images.csv") as temporary:
        _write_table(temporary, report)
    for earlier in folder.glob("worst_*.png"):
        earlier.unlink()
    part = report.parts[0]
    annotated = range(len(names)) if part.annotated is None else part.annotated
    _save(folder / "confusion.png", confusion_plot(part.counts.confusion, names, annotated))
    if report.boundary_share is not None:
        _save(folder / "trimap.png", trimap_plot(report))
    for number, image in enumerate(report.worst(DRAWN), 1):
        sample = dataset[image.index]
        panels = error_panels(sample, predictions(image.index, sample).class_map, report.label_space, image)
        name = re.sub(r"[^\w.-]+", "_", image.name)[-100:]  # without what file systems refuse
        _save(folder / f"worst_{number:02}_{name}.png", panels)
        watch(Event("drawn", {"done": number, "total": min(DRAWN, len(report.images)), "name": image.name}))


def _write_table(path: Path, report: Report) -> None:
    """Fractions by image and class; an empty cell where there is no score, which spreadsheets omit from means."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        scores = ["mean IoU", "pixel accuracy", *(f"IoU {name}" for name in report.label_space.names)]
        table.writerow(["name", "width", "height", *scores])
        for image in report.images:
            height, width = image.size
            values = [image.mean_iou, image.pixel_accuracy, *image.iou]
            cells = ["" if score is None else f"{score:.6f}" for score in values]
            table.writerow([image.name, width, height, *cells])


def _save(path: Path, image: Image) -> None:
    with written_whole(path) as temporary:
        PIL.Image.fromarray(image).save(temporary, "PNG")
