"""What an export is asked for, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fassd.core.checkpoint import Checkpoint
from fassd.exports.agreement import Agreement
from fassd.exports.layer_drift import LayerDrift
from fassd.runtimes.exported import Facts


@dataclass(frozen=True)
class ExportConfig:
    """What is to be exported, and what it is compared on.

    Attributes:
        weights: the name of shipped weights, or a checkpoint.
        to: a row of `exported.EXPORT_KINDS`.
        out: the file; None: named after the weights, in the current folder.
        precision: "float32", "bfloat16" or "int8".
        logits: end in coarse logits instead of class maps.
        calibrate: for int8, "KIND:PATH" (its split train), or images as `fassd predict` takes them.
        max_iou_drop: for int8, largest loss of mean IoU on `data` in points, 0 to 100; costly layers stay in float.
        data: "KIND:PATH" whose labeled images are compared as well; None: none.
        split: of these.
        images: to compare on, as `fassd predict` takes them; without these and `data`, those that ship.
        force: an earlier file may be replaced.
    """

    weights: str
    to: str
    out: Path | None = None
    precision: str = "float32"
    logits: bool = False
    calibrate: str | None = None
    max_iou_drop: float | None = None
    data: str | None = None
    split: str = "val"
    images: tuple[str, ...] = ()
    force: bool = False


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        config: what was asked for, the file's name filled in.
        checkpoint: the source.
        source: name and precision of the runtime that the file was compared with.
        facts: of the written file.
        agreement: the comparison of the two.
        available: number of labeled images in the split; `agreement` tells how many of them were compared.
        drift: the first layer that differs; None if the file was kept.
        bytes: of all its files.
        digest: SHA-256 of the first file.
        replaced: whether an earlier file was replaced.
    """

    config: ExportConfig
    checkpoint: Checkpoint
    source: str
    facts: Facts
    agreement: Agreement
    available: int
    drift: LayerDrift | None
    bytes: int
    digest: str
    replaced: bool

    @property
    def path(self) -> Path:
        """The first of its files."""
        assert self.config.out is not None
        return self.config.out

    @property
    def kept(self) -> bool:
        """Whether the file was left on disk."""
        return not self.agreement.violations

    @property
    def labeled_images(self) -> str:
        """What the mean IoU was measured on, for people."""
        count, data = self.agreement.labeled, f"{self.config.data} {self.config.split}"
        return f"{count} images of {data}" if count == self.available else f"{count} of {self.available} in {data}"

    @property
    def reports(self) -> tuple[Path, Path]:
        """The report as JSON, and as a page."""
        return reports_on(self.path, self.kept)

    @property
    def fix(self) -> str:
        """What to try if the tolerance is exceeded though no layer drifts; empty otherwise."""
        if self.kept or self.drift is None or self.drift.first is not None or self.config.precision == "float32":
            return ""
        if self.config.precision == "bfloat16":
            return "these images lie near the borders between classes for these weights; use --precision float32"
        if self.config.data is None:
            return "calibrate on images more like these, or name labeled --data: the mean IoU decides then"
        if self.config.to == "openvino" and self.config.max_iou_drop is None:
            return "--max-iou-drop 0.5 keeps costly layers in floating point"
        return "calibrate on more images, or on images more like these"


def reports_on(path: Path, kept: bool) -> tuple[Path, Path]:
    """The reports on an exported file, as JSON and as a page.

    Those on a refused file have names of their own, so that an earlier file keeps its reports.
    """
    json_, page = (path.with_name(f"{path.name}.{'report' if kept else 'refused'}{end}") for end in (".json", ".html"))
    return json_, page
