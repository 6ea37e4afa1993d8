"""What a validation draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fassd.core.checkpoint import RGB_NORMALIZATION, Header
from fassd.core.labels import CAMVID
from fassd.core.types import Sample
from fassd.data.open_dataset import open_dataset
from fassd.networks.build import init_network
from fassd.networks.specs import network_by_name
from fassd.training import validation
from fassd.training.distributed import Distributed


class _PredictsRoad:
    """A runtime that predicts Road everywhere."""

    label_space = CAMVID

    def segment(self, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.full(images.shape[:3], CAMVID.names.index("Road"), np.uint8)


def test_the_legend_of_a_sample_names_the_classes_of_prediction_and_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Mapping[str, float]] = []
    monkeypatch.setattr(validation, "overlay", lambda image, maps, space, shares, opacity: told.append(shares))
    labels = np.full((8, 8), CAMVID.names.index("Sky"), np.uint8)
    validation._comparison_image(_PredictsRoad(), Sample("one", np.zeros((8, 8, 3), np.uint8), labels))  # type: ignore[arg-type]
    assert {name: share for name, share in told[0].items() if share} == {"Road": 0.5, "Sky": 0.5}


def test_a_network_that_overflows_is_scored_nevertheless(camvid_root: Path, tmp_path: Path) -> None:
    network = init_network(network_by_name("fassd-net-l2"), 11)
    assert network.classifier.bias is not None
    torch.nn.init.constant_(network.classifier.bias, torch.inf)
    header = Header(network="fassd-net-l2", label_space=CAMVID, normalization=RGB_NORMALIZATION)
    scored = open_dataset(f"camvid:{camvid_root}", "val")
    result = validation.Validator([scored], header, Distributed(torch.device("cpu")), tmp_path)(network, 1)
    assert 0 <= result.score < 0.1
