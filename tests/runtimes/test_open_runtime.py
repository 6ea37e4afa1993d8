from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from fassd.core.catalog import WEIGHTS
from fassd.core.checkpoint import BGR_NORMALIZATION, read_checkpoint, write_checkpoint
from fassd.core.errors import CheckpointError, UnknownName, UsageError
from fassd.core.labels import CITYSCAPES
from fassd.networks.build import network_from_checkpoint
from fassd.networks.inference import normalize
from fassd.networks.network import upsample
from fassd.runtimes.open import open_runtime


def test_a_checkpoint_is_answered_by_its_own_network_and_pixels(
    tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    path = make_checkpoint(tmp_path / "x.safetensors", "baseline", CITYSCAPES, seed=3)
    checkpoint = read_checkpoint(path)
    turned = replace(checkpoint, header=msgspec.structs.replace(checkpoint.header, normalization=BGR_NORMALIZATION))
    write_checkpoint(path, turned)
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    network = network_from_checkpoint(turned, path).eval()
    with torch.inference_mode():
        logits = upsample(network(normalize(torch.from_numpy(images), BGR_NORMALIZATION)), (64, 96))
    with open_runtime(path, precision="float32") as runtime:
        assert runtime.label_space == CITYSCAPES
        assert (runtime.segment(images) == logits.argmax(1).numpy()).mean() > 0.999


def test_names_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        open_runtime(f"{next(iter(WEIGHTS))}x")
    with pytest.raises(CheckpointError, match="there is no such file"):
        open_runtime(tmp_path / "missing.safetensors")


@pytest.mark.parametrize(
    ("name", "complaint"), [("folder", "is a folder; name"), ("net.bin", r"the weights of a pair; name .* net\.xml")]
)
def test_what_lies_beside_the_file_meant_is_told_from_it(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "folder").mkdir()
    for file in ("net.bin", "net.xml"):
        (tmp_path / file).touch()
    with pytest.raises(CheckpointError, match=complaint):
        open_runtime(tmp_path / name)


def test_an_encoder_cannot_be_opened(tmp_path: Path, tiny_weights: Path) -> None:
    checkpoint = read_checkpoint(tiny_weights)
    header = msgspec.structs.replace(checkpoint.header, content="encoder", label_space=None)
    write_checkpoint(tmp_path / "encoder.safetensors", replace(checkpoint, header=header))
    with pytest.raises(CheckpointError, match="holds an encoder only"):
        open_runtime(tmp_path / "encoder.safetensors")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_refused(tiny_weights: Path, device: str) -> None:
    with pytest.raises(UsageError, match=f"device '{device}' does not exist"):
        open_runtime(tiny_weights, device)


@pytest.mark.parametrize("device", ["gpu", "", "cuda:x", "cuda:99"])
def test_a_device_that_cannot_be_is_refused(tiny_weights: Path, device: str) -> None:
    with pytest.raises(UsageError, match="device"):
        open_runtime(tiny_weights, device)


def test_without_pytorch_the_extra_is_named(tiny_weights: Path) -> None:
    program = """
import sys
sys.modules["torch"] = None
from fassd.core.errors import MissingExtra
from fassd.runtimes.open import open_runtime
try:
    open_runtime(sys.argv[1], runtime="pytorch")
except MissingExtra as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program, tiny_weights], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("install it with pip install 'fassd[torch]'")


@pytest.mark.parametrize("streams", [0, -1, 1.5])
def test_streams_that_cannot_be_are_refused(tiny_weights: Path, streams: Any) -> None:
    with pytest.raises(UsageError, match="at least 1 thread"):
        open_runtime(tiny_weights, "cpu", streams=streams)


@pytest.mark.parametrize("name", ["openvino", "onnx", "pytorch"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_give_no_numbers_are_told_from_an_answer(
    tiny_weights: Path, tmp_path: Path, name: str, value: float
) -> None:
    checkpoint = read_checkpoint(tiny_weights)
    bias = np.array(checkpoint.arrays["classifier.bias"])
    bias[3] = value
    damaged = replace(checkpoint, arrays={**checkpoint.arrays, "classifier.bias": bias})
    write_checkpoint(tmp_path / "damaged.safetensors", damaged)
    images = np.zeros((1, 64, 64, 3), np.uint8)
    with open_runtime(tmp_path / "damaged.safetensors", "cpu", "float32", name) as runtime:
        with pytest.raises(UsageError, match="the weights are damaged"):
            runtime.segment(images)
        assert runtime.segment(images, classes=[0, 1, 2]).max() <= 2
