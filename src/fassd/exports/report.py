"""How an export compares with its source, for programs."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Any

import msgspec

from fassd.core.machine import describe_machine
from fassd.exports.layer_drift import LayerError
from fassd.exports.result import Exported
from fassd.networks.graph import CLASS_MAP, LOGITS


def as_json(done: Exported) -> dict[str, Any]:
    """The report for programs: shares are fractions, sizes pixels."""
    order, agreement, drift = done.order, done.agreement, done.drift
    drop = None
    if agreement.source_iou is not None and agreement.export_iou is not None:
        drop = agreement.source_iou - agreement.export_iou
    return {
        "file": str(done.path),
        "kept": done.kept,
        "breaches": list(agreement.violations),
        "kind": order.to,
        "precision": order.precision,
        "ends_in": LOGITS if order.logits else CLASS_MAP,
        "bytes": done.bytes,
        "sha256": done.digest,
        "weights": order.weights,
        "network": done.checkpoint.header.network,
        "compared_with": done.source,
        "remedy": done.remedy,
        "contract": asdict(agreement.contract),
        "equal": agreement.equal,
        "differing_away_from_borders": agreement.inner_differing,
        "mean_iou": None
        if drop is None
        else {
            "data": order.data,
            "split": order.split,
            "images": agreement.labeled,
            "available": done.available,
            "source": agreement.source_iou,
            "export": agreement.export_iou,
            "drop": drop,
        },
        "first_drifting_layer": drift.first if drift else None,
        "layers": [_layer(one) for one in drift.layers] if drift else None,
        "cases": [asdict(one) for one in agreement.cases],
        "details": done.facts,
        "machine": msgspec.to_builtins(describe_machine()),
    }


def _layer(one: LayerError) -> dict[str, Any]:
    """JSON knows no infinity."""
    return {"layer": one.layer, "error": one.error if isfinite(one.error) else None}
