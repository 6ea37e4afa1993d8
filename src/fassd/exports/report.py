"""The report on an export as JSON."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

import msgspec

from fassd.core.machine import describe_machine
from fassd.exports.result import Exported
from fassd.networks.graph import CLASS_MAP, LOGITS


def as_json(done: Exported) -> dict[str, Any]:
    """The report as a JSON object: shares are fractions 0 to 1, sizes are in pixels."""
    config, agreement, drift = done.config, done.agreement, done.drift
    drop = None
    if agreement.source_iou is not None and agreement.export_iou is not None:
        drop = agreement.source_iou - agreement.export_iou
    return {
        "file": str(done.path),
        "kept": done.kept,
        "violations": list(agreement.violations),
        "kind": config.to,
        "precision": config.precision,
        "ends_in": LOGITS if config.logits else CLASS_MAP,
        "bytes": done.bytes,
        "sha256": done.digest,
        "weights": config.weights,
        "network": done.checkpoint.header.network,
        "compared_with": done.source,
        "fix": done.fix,
        "tolerance": asdict(agreement.tolerance),
        "equal": agreement.equal,
        "differing_away_from_borders": agreement.inner_differing,
        "mean_iou": None
        if drop is None
        else {
            "data": config.data,
            "split": config.split,
            "images": agreement.labeled,
            "available": done.available,
            "source": agreement.source_iou,
            "export": agreement.export_iou,
            "drop": drop,
        },
        "first_drifting_layer": drift.first if drift else None,
        # JSON has no infinity.
        "layers": [{"layer": one.layer, "error": one.error if isfinite(one.error) else None} for one in drift.layers]
        if drift
        else None,
        "cases": [asdict(one) for one in agreement.cases],
        "details": done.facts,
        "machine": msgspec.to_builtins(describe_machine()),
    }
