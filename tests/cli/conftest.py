"""The command line in this process, and a folder with everything that users get wrong."""

from __future__ import annotations

import os
import pickle
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from safetensors.numpy import save_file

from fassd.cli.main import run
from fassd.core.arrays import Image, Labels
from fassd.core.checkpoint import read_checkpoint, write_checkpoint
from fassd.core.labels import CITYSCAPES

RECIPE = """
network = "fassd-net-l2"
iterations = 2
batch_size = 2
precision = "float32"
validate_every = 1
[augmentation]
crop_size = [64, 64]
[loss]
min_kept = 512
"""
TWO_CLASSES = '[[classes]]\nname = "way"\ncolor = [1, 2, 3]\n[[classes]]\nname = "wall"\ncolor = [4, 5, 6]\n'


@pytest.fixture
def fassd(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `fassd ARGUMENTS` in this process; gives exit code, standard output and error output."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def street(
    tmp_path_factory: pytest.TempPathFactory, blocks: Callable[..., Labels], paint: Callable[[Labels], Image]
) -> Path:
    """An image of 96x128 that any network takes."""
    path = tmp_path_factory.mktemp("street") / "street.png"
    Pillow.fromarray(paint(blocks(5))).save(path)
    return path


class _Code:
    """When unpickled, makes the folder `marker`."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._marker),)


@pytest.fixture(scope="session")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    street: Path,
    tiny_weights: Path,
    camvid_root: Path,
    make_camvid: Callable[..., Path],
    make_folder: Callable[..., Path],
) -> Path:
    """A folder with good things and with one of each bad kind; not to be changed."""
    root = tmp_path_factory.mktemp("world")
    _write_images(root, street)
    _write_weights(root, tiny_weights)
    _write_pickles(root)
    (root / "camvid").symlink_to(camvid_root)
    for name, mask in (("range", Pillow.new("L", (128, 96), 12)), ("sizes", Pillow.new("L", (64, 48)))):
        mask.save(make_camvid(root / name, {"train": 2, "val": 1}) / "valannot/val_000.png")
        mask.save(root / name / "trainannot/train_000.png")
    make_folder(root / "two", TWO_CLASSES, {"train": ["a"], "val": ["b"]}, values=2)
    (root / "recipe.toml").write_text(RECIPE)
    (root / "key.toml").write_text("itterations = 2\n" + RECIPE)
    (root / "text.toml").write_text("no recipe")
    (root / "way").write_text("a file in the way")
    return root


def _write_images(root: Path, street: Path) -> None:
    good = street.read_bytes()
    (root / "street.png").write_bytes(good)
    (root / "cut.png").write_bytes(good[: len(good) // 2])
    (root / "text.jpg").write_text("no image")
    (root / "empty").mkdir()
    (root / "nothing.png").touch()
    Pillow.new("RGB", (20, 30)).save(root / "small.png")
    # A PNG of a hundred bytes that claims 400 million pixels.
    claim = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", claim), (b"IDAT", zlib.compress(bytes(8))), (b"IEND", b"")]
    (root / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks))


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _write_weights(root: Path, tiny_weights: Path) -> None:
    good = read_checkpoint(tiny_weights)
    changes: dict[str, dict[str, Any]] = {
        "tiny": {},
        "network": {"network": "fassd-net"},
        "classes": {"label_space": CITYSCAPES},
        "unknown": {"network": "fassd-net-l3"},
        "encoder": {"content": "encoder", "label_space": None},
    }
    for name, change in changes.items():
        header = msgspec.structs.replace(good.header, **change)
        write_checkpoint(root / f"{name}.safetensors", replace(good, header=header))
    (root / "cut.safetensors").write_bytes(tiny_weights.read_bytes()[:5000])
    save_file({"x": np.zeros(3, np.float32)}, root / "bare.safetensors")


def _write_pickles(root: Path) -> None:
    marker = root / "code_was_run"
    torch.save({"model_state": _Code(marker)}, root / "code.pth")
    (root / "code.pkl").write_bytes(pickle.dumps(_Code(marker)))
