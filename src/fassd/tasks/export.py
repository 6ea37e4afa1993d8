"""Export: a checkpoint -> a file for other programs, compared with its source before it is left on disk."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fassd.core.catalog import locate_weights
from fassd.core.checkpoint import Checkpoint, read_checkpoint
from fassd.core.errors import CheckpointError, FileError, UnknownName, UsageError
from fassd.core.files import cannot_be_written
from fassd.core.types import Event, Watch, ignore_events
from fassd.exports.agreement import TOLERANCES, compare, mean_iou_bound
from fassd.exports.images import Calibration, calibration_images, comparison_cases
from fassd.exports.layer_drift import find_layer_drift
from fassd.exports.page import page
from fassd.exports.report import as_json
from fassd.exports.result import ExportConfig, Exported, reports_on
from fassd.networks.graph import CLASS_MAP, LOGITS
from fassd.networks.weights import check_checkpoint
from fassd.runtimes.exported import EXPORT_KINDS, ExportKind, ExportSpec
from fassd.runtimes.open import open_runtime
from fassd.runtimes.rows import AUTO, CHECKPOINT, PRECISIONS, RUNTIMES, weights_suffix


def export(config: ExportConfig, watch: Watch = ignore_events) -> Exported:
    """Writes a file, compares it with its source, and leaves it on disk if the two agree.

    The report is written in either case, to `Exported.reports`.

    Args:
        config: what is asked for.
        watch: gets "writing" once and "compared" after each comparison.

    Raises:
        UnknownName, UsageError: options that do not exist, or do not go together.
        CheckpointError: a missing, damaged or foreign checkpoint.
        FileError: an earlier file is in the way, or the folder cannot be written.
        MissingExtra: a package is not installed.
    """
    kind = _check_options(config)
    path, checkpoint = _read_source(config.weights)
    header = checkpoint.header
    assert header.label_space is not None, "checked"
    out = config.out or Path(f"{path.stem}{'-int8' if config.precision == 'int8' else ''}{kind.suffixes[0]}")
    _check_out(out, kind, config.force)
    config = replace(config, out=out)

    calibration = Calibration(()) if config.calibrate is None else calibration_images(config.calibrate, header)
    cases = comparison_cases(header, config.data, config.split, config.images)
    classes, tolerance, bound = len(header.label_space), TOLERANCES[config.precision], None
    if config.max_iou_drop is not None:
        bound = mean_iou_bound(config.max_iou_drop, classes, cases.whole)
        tolerance = replace(tolerance, max_iou_drop=bound.largest_drop)
    spec = ExportSpec(checkpoint, LOGITS if config.logits else CLASS_MAP, config.precision, calibration, bound)

    def show(event: Event) -> None:
        watch(Event(event.kind, {**event.values, "total": len(cases)}))

    # PyTorch shares no code with the graphs that are exported; OpenVINO is the source only without it.
    source_runtime = "pytorch" if RUNTIMES["pytorch"].version is not None else AUTO
    with (
        _hidden_folder(out) as folder,
        open_runtime(path, device="cpu", precision="float32", runtime=source_runtime) as source,
    ):
        made = folder / out.name
        watch(Event("writing", {}))
        facts = kind.write(spec, made)
        opened = kind.open_alone(made, config.precision)
        agreement = compare(source, opened, spec.ending, classes, cases, tolerance, show)
        drift = None
        if agreement.violations:
            images = cases.small if agreement.worst_small is None else agreement.worst_small
            drift = find_layer_drift(checkpoint, path, opened, images, config.precision)
        done = Exported(
            config=config,
            checkpoint=checkpoint,
            source=f"{source.name} in {source.precision}",
            facts=facts,
            agreement=agreement,
            available=cases.available,
            drift=drift,
            bytes=sum(made.with_suffix(suffix).stat().st_size for suffix in kind.suffixes),
            digest=hashlib.sha256(made.read_bytes()).hexdigest(),
            replaced=not agreement.violations and out.exists(),
        )
        report, html = done.reports
        (folder / report.name).write_text(json.dumps(as_json(done), indent=2) + "\n", encoding="utf-8")
        (folder / html.name).write_text(page(done), encoding="utf-8")
        _move(done, folder, kind)
    return done


def _check_options(config: ExportConfig) -> ExportKind:
    """The kind of file, if the options go together."""
    if config.to not in EXPORT_KINDS:
        raise UnknownName("kind of exported file", config.to, EXPORT_KINDS)
    kind = EXPORT_KINDS[config.to]
    if config.precision not in PRECISIONS:
        raise UnknownName("precision", config.precision, PRECISIONS)
    if config.precision not in kind.precisions:
        raise UsageError(f"there are no {kind.name} files in {config.precision}: {kind.instead}")
    if (config.precision == "int8") != (config.calibrate is not None):
        raise UsageError("int8 and --calibrate go together: its images are what the ranges of int8 are measured on")
    if config.max_iou_drop is not None:
        if config.precision != "int8" or config.to != "openvino" or config.data is None:
            raise UsageError(
                "--max-iou-drop goes with --to openvino --precision int8, and with --data to measure the loss on"
            )
        if not 0 <= config.max_iou_drop <= 100:
            raise UsageError(f"--max-iou-drop is {config.max_iou_drop:g}; expected points of mean IoU, 0 to 100")
    return kind


def _read_source(weights: str) -> tuple[Path, Checkpoint]:
    path = locate_weights(weights)
    if weights_suffix(path) != CHECKPOINT:
        raise CheckpointError(path, "is an exported file already; export the checkpoint that it was made from")
    checkpoint = read_checkpoint(path)
    check_checkpoint(checkpoint, path)
    return path, checkpoint


def _check_out(out: Path, kind: ExportKind, force: bool) -> None:
    if out.suffix != kind.suffixes[0]:
        raise UsageError(f"--out {out}: {kind.name} files end in {kind.suffixes[0]}")
    for suffix in kind.suffixes:
        there = out.with_suffix(suffix)
        if there.is_dir():
            raise FileError(there, "is a folder; name a file to write")
        if there.exists() and not force:
            raise FileError(there, "exists already; name another --out, or replace it with --force")


@contextmanager
def _hidden_folder(out: Path) -> Iterator[Path]:
    """A folder beside the file to write: files move from there complete, and are removed with it after an error."""
    folder = out.parent / f".{out.stem}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True)
        yield folder
    except OSError as error:
        raise cannot_be_written(out, error.strerror or str(error)) from None
    except FileError as error:
        if error.path.parent != folder:
            raise
        raise FileError(out, error.problem) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(done: Exported, folder: Path, kind: ExportKind) -> None:
    """Moves what is left on disk. Weights go before the graph that names them, so that no reader sees a wrong pair."""
    files = [done.path.with_suffix(suffix) for suffix in reversed(kind.suffixes)] if done.kept else []
    for path in (*files, *done.reports):
        with (folder / path.name).open("rb+") as stream:
            os.fsync(stream.fileno())
    for path in (*files, *done.reports):
        (folder / path.name).replace(path)
    if done.kept:
        for path in reports_on(done.path, kept=False):
            path.unlink(missing_ok=True)  # of an earlier, refused attempt
