"""What all runtimes share: refusals of images, messages, and timing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fassd.core.catalog import DEFAULT_WEIGHTS, locate_weights
from fassd.core.checkpoint import read_header
from fassd.core.errors import CheckpointError, UsageError
from fassd.runtimes import runtime as runtime_module
from fassd.runtimes.runtime import (
    OpenedNetwork,
    Stages,
    check_classes,
    check_images,
    check_memory,
    execution_failed,
    in_words,
    reason_of,
)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (2, 5, 7, 3)])
def test_batches_of_images_pass(shape: tuple[int, ...]) -> None:
    check_images(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((5, 7, 3), "uint8"),
        ((1, 1, 5, 7, 3), "uint8"),
        ((1, 5, 7, 4), "uint8"),
        ((1, 5, 7, 2), "uint8"),
        ((0, 5, 7, 3), "uint8"),
        ((1, 0, 7, 3), "uint8"),
        ((1, 5, 0, 3), "uint8"),
        ((1, 5, 7, 3), "float32"),
        ((1, 5, 7, 3), "int8"),
    ],
)
def test_other_arrays_are_refused(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(UsageError) as told:
        check_images(np.zeros(shape, dtype))
    assert str(told.value) == (f"images are {dtype} {shape}; expected uint8 (n, height, width, 3) with n at least 1")


def test_what_is_no_array_is_refused() -> None:
    nothing: Any = [[1]]
    with pytest.raises(UsageError, match="images are of type list; expected an array, uint8"):
        check_images(nothing)


@pytest.mark.parametrize(
    ("count", "free", "fits"), [(1, 1_500_000_000, True), (1, 1_499_999_999, False), (2, 3 * 10**9, True)]
)
def test_memory_is_needed_for_every_pixel(monkeypatch: pytest.MonkeyPatch, count: int, free: int, fits: bool) -> None:
    monkeypatch.setattr(runtime_module, "free_memory", lambda: free)
    images = np.zeros((count, 100, 150, 3), np.uint8)
    if fits:
        check_memory(images, 100_000)
        return
    with pytest.raises(UsageError) as told:
        check_memory(images, 100_000)
    assert str(told.value) == (
        "an image of 150x100 would take about 1.5 GB of memory and 1.5 GB are free; make it smaller "
        "('fassd predict' does with --max-side)"
    )


def test_a_batch_that_is_too_large_may_be_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "free_memory", lambda: 100_000_000)
    with pytest.raises(
        UsageError, match=r"2 images of 150x100 would take about 3\.0 GB .* 0\.1 GB are free; give fewer"
    ):
        check_memory(np.zeros((2, 100, 150, 3), np.uint8), 100_000)


@pytest.mark.parametrize(("count", "text"), [(1, "an image of 7x5"), (2, "2 images of 7x5")])
def test_images_in_words(count: int, text: str) -> None:
    assert in_words(np.zeros((count, 5, 7, 3), np.uint8)) == text


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "ValueError"),
        (" \n\n", "ValueError"),
        ("one", "one"),
        ("at core.cpp:12\nno such layer\n\n", "no such layer"),
        ("a" * 160, "a" * 160),
        ("word " * 40, " ".join(["word"] * 31) + " ..."),
    ],
)
def test_the_last_line_of_an_error_is_its_reason(message: str, reason: str) -> None:
    assert reason_of(ValueError(message)) == reason


def test_a_file_that_cannot_be_executed_is_told_with_a_way_out() -> None:
    error = execution_failed(
        Path("net.xml"), "openvino", np.zeros((2, 5, 7, 3), np.uint8), ValueError("at x\nno layer")
    )
    assert isinstance(error, CheckpointError)
    told = (
        "openvino cannot run it on 2 images of 7x5 (no layer); try another runtime or precision, or make the file again"
    )
    assert told in str(error)


@pytest.mark.parametrize("found", [10, 12])
def test_another_number_of_classes_is_refused(found: int) -> None:
    check_classes(Path("net.xml"), 11, 11)
    with pytest.raises(CheckpointError, match=f"it names 11 classes but predicts {found}; make the file again"):
        check_classes(Path("net.xml"), found, 11)


def test_a_network_without_classes_or_too_small_images_is_refused() -> None:
    header = read_header(locate_weights(DEFAULT_WEIGHTS))
    with pytest.raises(UsageError, match="the header names no classes"):
        OpenedNetwork(msgspec.structs.replace(header, label_space=None), "float32")
    opened = OpenedNetwork(header, "float32")
    opened._check(np.zeros((1, 57, 57, 3), np.uint8))
    for shape in ((1, 56, 57, 3), (1, 57, 56, 3)):
        with pytest.raises(UsageError, match=f"the image is {shape[2]}x{shape[1]} pixels"):
            opened._check(np.zeros(shape, np.uint8))


def test_seconds_add_up_also_when_a_stage_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 13.0, 20.0, 24.0, 30.0, 31.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    stages = Stages()
    with stages.timed("network"):
        pass
    with stages.timed("class map"):
        pass
    with pytest.raises(ValueError, match="x"), stages.timed("network"):
        raise ValueError("x")
    assert stages.seconds == {"network": 4.0, "class map": 4.0}
