"""Evaluation: weights, or a folder of predictions, on labeled images -> scores, a report folder, an explanation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fassd.checks.quick_check import quick_check
from fassd.core.errors import UsageError
from fassd.core.files import check_writable
from fassd.core.types import Watch, ignore_events
from fassd.data.open_dataset import open_dataset
from fassd.runtimes.open import open_runtime
from fassd.runtimes.rows import AUTO
from fassd.scoring.conventions import Convention, GivenNumber, explain
from fassd.scoring.count import Report
from fassd.scoring.evaluate import NetworkPredictions, score_network
from fassd.scoring.prediction_files import (
    RECORD,
    FilePredictions,
    Ids,
    SavedPredictions,
    open_predicted,
    prediction_facts,
    score_predictions,
)
from fassd.scoring.report import check_report_folder, write_report
from fassd.scoring.tta import parse_tta


@dataclass(frozen=True)
class EvaluateConfig:
    """What `evaluate` does.

    Attributes:
        data: the data sets, "kind:PATH".
        split: which part of them.
        weights: a shipped name or a file; None where `predictions` are scored.
        predictions: a folder to score instead of weights.
        ids: what its files hold, for data in Cityscapes' layout; None: see `score_predictions`.
        save_predictions: folder in which the predictions of the weights are saved.
        report: folder for scores of every image, drawings and plots.
        number: a score whose convention is to be found.
        scales, flip: test-time augmentation, as `parse_tta` reads it.
        borders: whether to score near borders as well.
        workers: threads that score `predictions`; None: one for each core.
        runtime, device, precision: as `open_runtime` takes them.
    """

    data: tuple[str, ...]
    split: str = "val"
    weights: str | None = None
    predictions: Path | None = None
    ids: Ids | None = None
    save_predictions: Path | None = None
    report: Path | None = None
    number: GivenNumber | None = None
    scales: str = "1"
    flip: bool = False
    borders: bool = True
    workers: int | None = None
    runtime: str = AUTO
    device: str = AUTO
    precision: str = AUTO


@dataclass(frozen=True)
class Evaluation:
    """The result on one data set.

    Attributes:
        report: the scores.
        conventions: with their scores, those that give the number first; None without a number to explain.
    """

    report: Report
    conventions: list[Convention] | None


def evaluate(config: EvaluateConfig, watch: Watch = ignore_events) -> list[Evaluation]:
    """Scores weights or a folder of predictions. All data sets are opened and checked before the first is scored.

    Args:
        config: what to score, on which data.
        watch: gets "image", "drawn" and "explained" as `score_network`, `write_report` and `explain` send them.

    Returns:
        A result for each data set.

    Raises:
        UsageError: options that exclude each other.
        FassdError: as the called functions raise it.
    """
    _refuse_contradictions(config)
    if config.report is not None:
        check_report_folder(config.report)
    if config.predictions is not None:
        dataset = open_predicted(config.predictions, config.data[0], config.split)
        # No quick check: scoring reads every label file within seconds, and no image at all.
        workers = config.workers or os.cpu_count() or 1
        report, files = score_predictions(config.predictions, dataset, config.ids, workers, watch, config.borders)
        return [_finish(config, report, files, watch)]
    assert config.weights is not None
    tta = parse_tta(config.scales, config.flip)
    if config.save_predictions is not None:
        check_writable(config.save_predictions / RECORD)
    with open_runtime(config.weights, config.device, config.precision, config.runtime) as runtime:
        datasets = [open_dataset(spec, config.split, runtime.label_space) for spec in config.data]
        for dataset in datasets:
            quick_check(dataset)
        evaluations = []
        for dataset in datasets:
            saved = None
            if config.save_predictions is not None:
                facts = prediction_facts(config.weights, runtime, tta)
                saved = SavedPredictions(config.save_predictions, dataset, facts)
            predictions = NetworkPredictions(runtime, dataset, tta, saved)
            report = score_network(predictions, watch, config.borders)
            evaluations.append(_finish(config, report, predictions, watch))
        return evaluations


def _refuse_contradictions(config: EvaluateConfig) -> None:
    if (config.weights is None) == (config.predictions is None):
        given = "both WEIGHTS and --predictions" if config.weights else "neither WEIGHTS nor --predictions"
        raise UsageError(f"{given} were given; name one of them: what is to be scored")
    if config.predictions is not None and (config.scales != "1" or config.flip or config.save_predictions):
        raise UsageError(
            "--scales, --flip and --save-predictions are for WEIGHTS; --predictions are scored as they are"
        )
    if config.weights is not None and config.ids is not None:
        raise UsageError("--ids says what --predictions hold; there are none")
    single = config.predictions or config.save_predictions or config.report or config.number
    if len(config.data) > 1 and single:
        raise UsageError("--predictions, --save-predictions, --report and --explain take a single --data")


def _finish(
    config: EvaluateConfig, report: Report, predictions: NetworkPredictions | FilePredictions, watch: Watch
) -> Evaluation:
    """Writes the report folder and finds the convention, where wanted."""
    if config.report is not None:
        write_report(config.report, report, config.weights, predictions.dataset, predictions, watch)
    conventions = None if config.number is None else explain(config.number, report, predictions, watch)
    return Evaluation(report, conventions)
