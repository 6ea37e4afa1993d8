"""What several folders of tests share: tiny checkpoints, tiny data sets, and where the real data is."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image as Pillow

from fassd.core.arrays import Image, Labels
from fassd.core.checkpoint import RGB_NORMALIZATION, Header, write_checkpoint
from fassd.core.labels import CAMVID, LabelSpace
from fassd.core.types import Event
from fassd.runtimes.runtime import Runtime

if TYPE_CHECKING:
    from fassd.training.setup import TrainConfig

# On busy cores PyTorch's threads spin while they wait for each other: small networks took a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Shells run background jobs deaf to Ctrl-C, and what they start inherits that; the tests send it to processes.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Compiled graphs of tests neither come from the user's cache nor stay in it; the system clears its temporary folder.
os.environ["FASSD_CACHE"] = tempfile.mkdtemp(prefix="fassd-tests-")

SIZE = (96, 128)
"""Height and width of the pictures made here: small, yet above the minimum of every light network."""


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with the real data; skips where it is missing."""
    root = os.environ.get("FASSD_DATA")
    if not root:
        pytest.skip("FASSD_DATA names no folder with the real data")
    if not Path(root).is_dir():
        pytest.skip(f"FASSD_DATA names {root}, which is no folder")
    return Path(root)


@pytest.fixture(scope="session")
def make_checkpoint() -> Callable[..., Path]:
    """Writes a network with random weights as a checkpoint."""

    def make(
        path: Path,
        network: str = "fassd-net-l2",
        space: LabelSpace = CAMVID,
        side: int | None = None,
        seed: int = 0,
    ) -> Path:
        from fassd.networks.build import checkpoint_of, init_network
        from fassd.networks.specs import network_by_name

        fresh = init_network(network_by_name(network), len(space), seed=seed)
        header = Header(network=network, label_space=space, normalization=RGB_NORMALIZATION, input_side=side)
        write_checkpoint(path, checkpoint_of(fresh, header))
        return path

    return make


@pytest.fixture(scope="session")
def tiny_weights(make_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `fassd-net-l2` with CamVid's classes and random weights, for tests that need any weights."""
    return make_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="session")
def tiny_runtime(tiny_weights: Path) -> Iterator[Runtime]:
    """The tiny weights, opened."""
    from fassd.runtimes.open import open_runtime

    with open_runtime(tiny_weights) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def blocks() -> Callable[..., Labels]:
    """Random labels in blocks of 16 pixels, which resizing does not blur away."""

    def make(seed: int, values: int = 11, size: tuple[int, int] = SIZE) -> Labels:
        coarse = np.random.default_rng(seed).integers(0, values, (size[0] // 16 + 1, size[1] // 16 + 1))
        fine: Labels = np.kron(coarse, np.ones((16, 16))).astype(np.uint8)[: size[0], : size[1]]
        return fine

    return make


@pytest.fixture(scope="session")
def paint() -> Callable[[Labels], Image]:
    """A picture that shows its labels: 20 gray levels a class in red, the complement in green, places in blue."""

    def make(labels: Labels) -> Image:
        red = labels * np.uint8(20)
        place = np.linspace(0, 255, labels.shape[1]).astype(np.uint8)[None].repeat(labels.shape[0], 0)
        return np.stack([red, 255 - red, place], -1)

    return make


@pytest.fixture(scope="session")
def make_pairs(blocks: Callable[..., Labels], paint: Callable[[Labels], Image]) -> Callable[..., None]:
    """Writes pairs of an image and its mask into two folders."""

    def make(images: Path, masks: Path, names: list[str], values: int, foreign: int | None = None) -> None:
        images.mkdir(parents=True, exist_ok=True)
        masks.mkdir(parents=True, exist_ok=True)
        for seed, name in enumerate(names):
            labels = blocks(seed, values)
            Pillow.fromarray(paint(labels)).save(images / f"{name}.png")
            if foreign is not None:
                labels[:8] = foreign
            Pillow.fromarray(labels).save(masks / f"{name}.png")

    return make


@pytest.fixture(scope="session")
def make_camvid(make_pairs: Callable[..., None]) -> Callable[..., Path]:
    """Writes CamVid's layout; the top 8 rows of each mask hold 11, which is to be ignored."""

    def make(root: Path, splits: Mapping[str, int]) -> Path:
        for split, count in splits.items():
            names = [f"{split}_{number:03}" for number in range(count)]
            make_pairs(root / split, root / f"{split}annot", names, 11, foreign=11)
        return root

    return make


@pytest.fixture(scope="session")
def camvid_root(make_camvid: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made CamVid with 4 training and 2 validation frames; not to be changed."""
    return make_camvid(tmp_path_factory.mktemp("camvid"), {"train": 4, "val": 2})


@pytest.fixture(scope="session")
def make_folder(make_pairs: Callable[..., None]) -> Callable[..., Path]:
    """Writes a data set of one's own in the default layout, with the description given."""

    def make(root: Path, description: str, splits: Mapping[str, list[str]], values: int = 3) -> Path:
        for split, names in splits.items():
            make_pairs(root / "images" / split, root / "masks" / split, names, values)
        (root / "dataset.toml").write_text(description, encoding="utf-8")
        return root

    return make


@pytest.fixture(scope="session")
def finished(camvid_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """The folder of a run that went through, with curves and TensorBoard, and its events; not to be changed."""
    from tests.short_trainings import recipe

    from fassd.tasks.train import train
    from fassd.training.setup import TrainConfig

    out, events = tmp_path_factory.mktemp("finished") / "run", list[Event]()
    train(TrainConfig(recipe(), [f"camvid:{camvid_root}"], out, workers=0), events.append)
    return out, events


@pytest.fixture
def config(
    finished: tuple[Path, list[Event]], camvid_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainConfig:
    """Train on the made CamVid, into a fresh folder, without what takes longer than the training."""
    from tests.short_trainings import recipe

    from fassd.training.curves import Curves
    from fassd.training.setup import TrainConfig

    monkeypatch.setattr(Curves, "draw", lambda self: None)
    return TrainConfig(recipe(), [f"camvid:{camvid_root}"], tmp_path / "run", workers=0, trackers=())


@pytest.fixture
def gray_photos(tmp_path: Path) -> list[Path]:
    """Five images of one color, of different widths."""
    paths = [tmp_path / "photos" / f"{shade}.png" for shade in (10, 20, 30, 40, 50)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        Pillow.new("RGB", (120 + number, 80), (int(path.stem),) * 3).save(path)
    return paths
