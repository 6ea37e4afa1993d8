from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fassd.runtimes import cache
from fassd.runtimes.open import open_runtime

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 64, 80, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("FASSD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "graphs"


def _answer(weights: Path, precision: str = "float32") -> list[int]:
    with open_runtime(weights, "cpu", precision, "openvino") as runtime:
        return list(runtime.segment(IMAGES).ravel())


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FASSD_CACHE": "/a"}, "/a"),
        ({"FASSD_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/fassd"),
        ({"HOME": "/c"}, "/c/.cache/fassd"),
    ],
)
def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    for name in ("FASSD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_folder() == Path(expected)


def test_what_was_stored_is_loaded_under_its_key_alone(folder: Path) -> None:
    cache.store("one", b"graph")
    assert cache.load("one") == b"graph"
    assert cache.load("other") is None
    cache.forget("one")
    assert cache.load("one") is None


@pytest.mark.parametrize("damage", [b"", b"short", b"x" * 32 + b"graph"])
def test_what_is_damaged_is_not_loaded_and_removed(folder: Path, damage: bytes) -> None:
    cache.store("one", b"graph")
    (folder / "one.blob").write_bytes(damage)
    assert cache.load("one") is None
    assert not (folder / "one.blob").exists()


def test_the_oldest_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_LIMIT", 300)
    for name in ("first", "second", "third"):
        cache.store(name, name.encode() * 15)
        cache.load("first")
    assert sorted(file.stem for file in folder.glob("*.blob")) == ["first", "third"]


def test_a_folder_that_cannot_be_written_only_means_no_cache(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASSD_CACHE", str(tmp_path / "file"))
    assert _answer(tiny_weights) == _answer(tiny_weights)


def test_a_graph_is_compiled_once(folder: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _answer(tiny_weights)
    assert len(list(folder.glob("*.blob"))) == 1
    monkeypatch.setattr(cache, "store", lambda *_: pytest.fail("compiled again"))
    assert _answer(tiny_weights) == first


def test_other_weights_versions_processors_and_precisions_are_other_graphs(
    folder: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Path]
) -> None:
    from fassd.runtimes import openvino

    _answer(tiny_weights)
    _answer(make_checkpoint(tiny_weights.with_name("other.safetensors"), seed=5))
    for name in ("processor", "_graph_code"):
        monkeypatch.setattr(openvino, name, lambda: "another")
        _answer(tiny_weights)
    monkeypatch.setattr("openvino.get_version", lambda: "0.0.0")
    _answer(tiny_weights)
    assert len(list(folder.glob("*.blob"))) == 5


@pytest.mark.parametrize("stored", [b"", b"no graph at all", bytes(5000)])
def test_a_graph_that_cannot_be_read_is_compiled_anew(folder: Path, tiny_weights: Path, stored: bytes) -> None:
    """The digest is right, as if another program had written it."""
    first = _answer(tiny_weights)
    key = next(folder.glob("*.blob")).stem
    cache.store(key, stored)
    assert _answer(tiny_weights) == first
    assert len(cache.load(key) or b"") > 100_000


def test_whoever_has_no_home_has_no_cache(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("FASSD_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what it answers where there is none
    assert cache.cache_folder() is None
    assert _answer(tiny_weights) == _answer(tiny_weights)
    assert not list(tmp_path.iterdir())
