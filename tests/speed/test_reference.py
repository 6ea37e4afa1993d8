"""The eager PyTorch reference against the runtimes, and what the paper's protocol times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from fassd.runtimes.open import open_runtime
from fassd.runtimes.runtime import Stages
from fassd.speed.images import TimedImages
from fassd.speed.reference import open_checkpoint


def test_the_eager_reference_predicts_what_the_runtimes_predict(tiny_weights: Path) -> None:
    (images,) = TimedImages().batches((96, 128), 2)
    expected = open_runtime(tiny_weights, runtime="pytorch", precision="float32").segment(images)
    class_maps = open_checkpoint(tiny_weights, "cpu").segment(images)
    assert class_maps.dtype == np.uint8
    assert class_maps.shape == expected.shape
    assert (class_maps == expected).mean() > 0.9999
    assert len(np.unique(class_maps)) > 1


def test_the_papers_protocol_times_network_and_upsampling(tiny_weights: Path) -> None:
    reference = open_checkpoint(tiny_weights, "cpu")
    planes = reference.paper_input(1, (96, 128))
    assert (planes.shape, planes.dtype) == ((1, 3, 96, 128), torch.float32)
    assert torch.equal(planes, reference.paper_input(1, (96, 128)))
    stages = Stages()
    logits = reference.full_size_logits(planes, stages)
    assert list(stages.seconds) == ["network", "upsampling"]
    with torch.inference_mode():
        expected = F.interpolate(reference._network(planes), (96, 128), mode="bilinear", align_corners=True)
    assert torch.equal(logits, expected)
