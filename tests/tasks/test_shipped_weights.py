"""The weights that ship: each file is what its row and its header say."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from fassd.core.catalog import DEFAULT_WEIGHTS, WEIGHTS
from fassd.core.checkpoint import Checkpoint, read_checkpoint
from fassd.core.labels import CAMVID
from fassd.core.recipe import recipe_from
from fassd.networks.specs import NETWORKS
from fassd.segmenter import Segmenter

LARGEST_MIB = 12


@pytest.fixture(scope="module", params=list(WEIGHTS))
def name(request: pytest.FixtureRequest) -> str:
    """Each row of the catalog."""
    return str(request.param)


@pytest.fixture(scope="module")
def checkpoint(name: str) -> Checkpoint:
    """What its file holds."""
    return read_checkpoint(WEIGHTS[name].path)


def test_the_digest_of_the_row_is_that_of_the_file(name: str) -> None:
    assert hashlib.sha256(WEIGHTS[name].path.read_bytes()).hexdigest() == WEIGHTS[name].digest


def test_the_files_there_are_those_of_the_catalog() -> None:
    there = {path.stem for path in WEIGHTS[DEFAULT_WEIGHTS].path.parent.glob("*.safetensors")}
    assert there == set(WEIGHTS)


def test_weights_are_finite_float16(checkpoint: Checkpoint) -> None:
    assert {str(array.dtype) for array in checkpoint.arrays.values()} == {"float16"}
    assert all(np.isfinite(array).all() for array in checkpoint.arrays.values())


def test_the_file_is_small(name: str) -> None:
    assert WEIGHTS[name].path.stat().st_size < LARGEST_MIB * 2**20


def test_the_header_is_complete(name: str, checkpoint: Checkpoint) -> None:
    header = checkpoint.header
    assert header.content == "network"
    assert header.network in NETWORKS
    assert name.startswith(f"{header.network}-")
    assert header.label_space == CAMVID
    assert header.origin
    assert header.version
    assert recipe_from(header.recipe or {}, name).network == header.network


def test_the_header_tells_data_and_terms(checkpoint: Checkpoint) -> None:
    header = checkpoint.header
    assert header.data
    assert all({"name", "split", "images"} <= one.keys() for one in header.data)
    assert all(one["split"] == "train" and one["images"] > 0 for one in header.data)
    assert "commercial" in header.terms


def test_the_header_tells_scores_as_fractions_with_their_commands(checkpoint: Checkpoint) -> None:
    assert checkpoint.header.scores
    for score in checkpoint.header.scores:
        assert 0 < score.mean_iou < 1
        assert score.pixel_accuracy is None or 0.5 < score.pixel_accuracy < 1
        assert score.images > 0
        assert score.command


def test_no_path_of_the_machine_that_trained_is_inside(checkpoint: Checkpoint) -> None:
    said = repr(checkpoint.header)
    assert "/work" not in said
    assert "/home" not in said
    assert "/root" not in said


def test_it_labels_an_image_by_name(name: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (128, 160, 3)).astype(np.uint8)
    prediction = Segmenter(name)(image)
    assert prediction.class_map.shape == (128, 160)
    assert prediction.label_space == CAMVID


def test_the_default_is_the_weights_for_anybodys_street() -> None:
    assert DEFAULT_WEIGHTS == "fassd-net-l2-street"
