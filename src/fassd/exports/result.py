"""What an export is asked for, and what it came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fassd.core.checkpoint import Checkpoint
from fassd.exports.agreement import Agreement
from fassd.exports.layer_drift import Drift
from fassd.runtimes.exported import Facts


@dataclass(frozen=True)
class ExportConfig:
    """What is to be exported, and how it is to be judged.

    Attributes:
        weights: the name of shipped weights, or a checkpoint.
        to: a row of `exported.EXPORT_KINDS`.
        out: the file; None: named after the weights, in the current folder.
        precision: "float32", "bfloat16" or "int8".
        logits: end in coarse logits instead of class maps.
        calibrate: for int8, "KIND:PATH" (its split train), or pictures as `fassd predict` takes them.
        at_most: for int8, points of mean IoU on `data` that it may lose; layers that cost more stay in floating point.
        data: "KIND:PATH" whose labeled images are compared too; None: none.
        split: of these.
        images: pictures to compare on, as `fassd predict` takes them; without these and `data`, those that ship.
        force: an earlier file may be replaced.
    """

    weights: str
    to: str
    out: Path | None = None
    precision: str = "float32"
    logits: bool = False
    calibrate: str | None = None
    at_most: float | None = None
    data: str | None = None
    split: str = "val"
    images: tuple[str, ...] = ()
    force: bool = False


@dataclass(frozen=True)
class Exported:
    """What an export came to.

    Attributes:
        order: what was asked for, the file's name filled in.
        checkpoint: the source.
        source: name and precision of the runtime that the file was compared with.
        facts: of the written file.
        agreement: how the two compare.
        available: how many labeled images there are; `agreement` says how many of them were compared.
        drift: where they part; None where the contract is kept.
        bytes: of the files, together.
        digest: SHA-256 of the first file.
        replaced: whether an earlier file gave way.
    """

    order: ExportConfig
    checkpoint: Checkpoint
    source: str
    facts: Facts
    agreement: Agreement
    available: int
    drift: Drift | None
    bytes: int
    digest: str
    replaced: bool

    @property
    def path(self) -> Path:
        """The first of the files."""
        assert self.order.out is not None
        return self.order.out

    @property
    def kept(self) -> bool:
        """Whether the file was left on disk."""
        return not self.agreement.violations

    @property
    def labeled_images(self) -> str:
        """What the mean IoU was measured on, for people."""
        count, data = self.agreement.labeled, f"{self.order.data} {self.order.split}"
        return f"{count} images of {data}" if count == self.available else f"{count} of {self.available} in {data}"

    @property
    def reports(self) -> tuple[Path, Path]:
        """The report as JSON, and as a page."""
        return reports_on(self.path, self.kept)

    @property
    def remedy(self) -> str:
        """What to try where the contract is missed though no layer is wrong; empty where nothing is to be done."""
        if self.kept or self.drift is None or self.drift.first is not None or self.order.precision == "float32":
            return ""
        if self.order.precision == "bfloat16":
            return "these images lie near the borders between classes for these weights; use --precision float32"
        if self.order.data is None:
            return "calibrate on images more like these, or name labeled --data: the mean IoU decides then"
        if self.order.to == "openvino" and self.order.at_most is None:
            return "--at-most 0.5 keeps layers in floating point until it holds"
        return "calibrate on more images, or on images more like these"


def reports_on(path: Path, kept: bool) -> tuple[Path, Path]:
    """Where the reports on an exported file are, as JSON and as a page; those on one that was refused have names of
    their own, so that an earlier file keeps its reports.
    """
    json_, page = (path.with_name(f"{path.name}.{'report' if kept else 'refused'}{end}") for end in (".json", ".html"))
    return json_, page
