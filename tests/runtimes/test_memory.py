"""Images that would not fit into memory are refused before memory is allocated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fassd.core.errors import UsageError
from fassd.runtimes import runtime as seam
from fassd.runtimes.open import open_runtime
from fassd.runtimes.runtime import check_memory


@pytest.mark.parametrize("name", ["openvino", "onnx", "pytorch"])
def test_an_image_too_large_for_what_is_free_is_refused(
    tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(seam, "free_memory", lambda: 1_000_000)
    with (
        open_runtime(tiny_weights, "cpu", "float32", name) as runtime,
        pytest.raises(UsageError, match=r"an image of 400x300 would take about 0\.0 GB .* are free; make it smaller"),
    ):
        runtime.segment(np.zeros((1, 300, 400, 3), np.uint8))


def test_a_batch_counts_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "free_memory", lambda: 5_000_000)
    check_memory(np.zeros((4, 100, 100, 3), np.uint8), 100)
    with pytest.raises(UsageError, match=r"6 images of 100x100 .* give fewer at once"):
        check_memory(np.zeros((6, 100, 100, 3), np.uint8), 100)


def test_where_the_system_does_not_tell_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "free_memory", lambda: None)
    check_memory(np.zeros((1, 100, 100, 3), np.uint8), 10**12)


def test_a_gpu_that_is_full_is_told_in_a_sentence(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    with open_runtime(tiny_weights, "cpu", "float32", "pytorch") as runtime:
        monkeypatch.setattr(runtime, "_network", full)
        for answer in (runtime.segment, runtime.logits):
            with pytest.raises(UsageError, match=r"an image of 96x64 would take more memory than is free on cpu"):
                answer(np.zeros((1, 64, 96, 3), np.uint8))
