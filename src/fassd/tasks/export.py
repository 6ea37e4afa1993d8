"""Export: a checkpoint -> a file that others run, compared with its source before it is left on disk."""

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
from fassd.exports.accuracy_bound import bound_of
from fassd.exports.agreement import TOLERANCES, Agreement, compare
from fassd.exports.images import Calibration, Cases, calibration_images, comparison_cases
from fassd.exports.layer_drift import drift_of
from fassd.exports.page import page
from fassd.exports.report import as_json
from fassd.exports.result import ExportConfig, Exported, reports_on
from fassd.networks.graph import CLASS_MAP, LOGITS
from fassd.networks.weights import check_checkpoint
from fassd.runtimes.exported import EXPORT_KINDS, ExportedFile, ExportKind, ExportSpec
from fassd.runtimes.open import open_runtime
from fassd.runtimes.rows import AUTO, CHECKPOINT, PRECISIONS, RUNTIMES
from fassd.runtimes.runtime import Runtime


def export(order: ExportConfig, watch: Watch = ignore_events) -> Exported:
    """Writes an exported file, runs it, and leaves it on disk if it answers as its source does.

    The report is written beside it either way: under `Exported.reports`.

    Args:
        order: what is asked for.
        watch: gets "compared" after each comparison.

    Raises:
        UnknownName, UsageError: options that cannot be, or do not go together.
        CheckpointError: a missing, damaged or foreign checkpoint.
        FileError: an earlier file is in the way, or the folder cannot be written.
        MissingExtra: a package is not installed.
    """
    kind, path, checkpoint = _checked(order)
    out = order.out or Path(f"{path.stem}{'-int8' if order.precision == 'int8' else ''}{kind.suffixes[0]}")
    _check_out(out, kind, order.force)
    header = checkpoint.header
    calibration = Calibration(())
    if order.precision == "int8":
        assert order.calibrate is not None
        calibration = calibration_images(order.calibrate, header)
    cases = comparison_cases(header, order.data, order.split, order.images)
    ending = LOGITS if order.logits else CLASS_MAP
    bound = None if order.at_most is None else bound_of(order.at_most, len(header.label_space or ()), cases)
    draft = ExportSpec(checkpoint, ending, order.precision, calibration, bound)
    with _workshop(out) as folder, _source(path) as source:
        made = folder / out.name
        watch(Event("writing", {}))
        facts = kind.write(draft, made)
        opened = kind.open_alone(made, order.precision)
        agreement = _compare(source, opened, draft, cases, watch)
        drift = None
        if agreement.violations:
            images = cases.small if agreement.telling is None else agreement.telling
            drift = drift_of(checkpoint, path, opened, images, order.precision)
        replaced = not agreement.violations and out.exists()
        size = sum(made.with_suffix(suffix).stat().st_size for suffix in kind.suffixes)
        order = replace(order, out=out)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        by = f"{source.name} in {source.precision}"
        done = Exported(order, checkpoint, by, facts, agreement, cases.available, drift, size, digest, replaced)
        _write_reports(done, folder)
        _move(done, folder, kind)
    return done


def _checked(order: ExportConfig) -> tuple[ExportKind, Path, Checkpoint]:
    """The kind of file and the checkpoint, if the order can be carried out."""
    if order.to not in EXPORT_KINDS:
        raise UnknownName("kind of exported file", order.to, EXPORT_KINDS)
    kind = EXPORT_KINDS[order.to]
    if order.precision not in PRECISIONS:
        raise UnknownName("precision", order.precision, PRECISIONS)
    if order.precision not in kind.precisions:
        raise UsageError(f"there are no {kind.name} files in {order.precision}: {kind.instead}")
    if (order.precision == "int8") != (order.calibrate is not None):
        raise UsageError("int8 and --calibrate go together: the images that the ranges of int8 are measured on")
    if order.at_most is not None:
        if order.precision != "int8" or order.to != "openvino" or order.data is None:
            raise UsageError(
                "--at-most goes with --to openvino --precision int8, and with --data to measure the loss on"
            )
        if not 0 <= order.at_most <= 100:
            raise UsageError(f"--at-most {order.at_most:g}: it is points of mean IoU, 0 to 100")
    path = locate_weights(order.weights)
    if path.suffix.lower() != CHECKPOINT and any(path.suffix.lower() in row.suffixes for row in EXPORT_KINDS.values()):
        raise CheckpointError(path, "is an exported file already; export the checkpoint that it was made of")
    checkpoint = read_checkpoint(path)
    check_checkpoint(checkpoint, path)
    return kind, path, checkpoint


def _check_out(out: Path, kind: ExportKind, force: bool) -> None:
    if out.suffix != kind.suffixes[0]:
        raise UsageError(f"--out {out}: {kind.name} files end in {kind.suffixes[0]}")
    for suffix in kind.suffixes:
        there = out.with_suffix(suffix)
        if there.is_dir():
            raise FileError(there, "is a folder; name a file to write")
        if there.exists() and not force:
            raise FileError(there, "is there already; name another --out, or replace it with --force")


@contextmanager
def _source(path: Path) -> Iterator[Runtime]:
    """The checkpoint in float32: by PyTorch, which shares no code with what is drawn, where it is there."""
    name = "pytorch" if RUNTIMES["pytorch"].version is not None else AUTO
    with open_runtime(path, device="cpu", precision="float32", runtime=name) as runtime:
        yield runtime


def _compare(source: Runtime, opened: ExportedFile, draft: ExportSpec, cases: Cases, watch: Watch) -> Agreement:
    def show(event: Event) -> None:
        watch(Event(event.kind, {**event.values, "total": len(cases)}))

    classes, contract = len(source.label_space), TOLERANCES[draft.precision]
    if draft.bound is not None:
        contract = replace(contract, iou_drop=draft.bound.largest_drop)
    return compare(source, opened, draft.ending, classes, cases, contract, show)


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A hidden folder beside the file to write: what is moved from there is whole, and what fails goes with it."""
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


def _write_reports(done: Exported, folder: Path) -> None:
    for path, text in zip(done.reports, (json.dumps(as_json(done), indent=2) + "\n", page(done)), strict=True):
        (folder / path.name).write_text(text, encoding="utf-8")


def _move(done: Exported, folder: Path, kind: ExportKind) -> None:
    """Weights before the graph that names them: whoever opens the pair midway is told that they do not match."""
    files = [done.path.with_suffix(suffix) for suffix in reversed(kind.suffixes)] if done.kept else []
    for path in (*files, *done.reports):
        with (folder / path.name).open("rb+") as stream:
            os.fsync(stream.fileno())
    for path in (*files, *done.reports):
        (folder / path.name).replace(path)
    if done.kept:
        for path in reports_on(done.path, kept=False):
            path.unlink(missing_ok=True)  # on an attempt before this one
