from __future__ import annotations

import hashlib
import os
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


def test_keys_differ_where_any_part_does() -> None:
    keys = {cache.key_of(*parts) for parts in (("a", 1), ("a", 2), ("b", 1), ("a1",), ("a", "1", ""), (("a", 1),))}
    assert len(keys) == 6
    assert cache.key_of("a", 1) == cache.key_of("a", 1)
    assert {len(key) for key in keys} == {40}
    assert all(set(key) <= set("0123456789abcdef") for key in keys)


@pytest.mark.parametrize(("limit", "kept"), [(3 * 42, 3), (3 * 42 - 1, 2), (42, 1), (41, 0)])
def test_as_many_are_kept_as_fit(folder: Path, monkeypatch: pytest.MonkeyPatch, limit: int, kept: int) -> None:
    """Of 10 bytes each and their digests of 32."""
    assert cache._LIMIT == 256 * 1024**2
    monkeypatch.setattr(cache, "_LIMIT", limit)
    for number in range(3):
        cache.store(f"{number}", b"0123456789")
        if (folder / f"{number}.blob").exists():
            os.utime(folder / f"{number}.blob", (number, number))
    cache._drop_oldest(folder)
    assert sorted(file.stem for file in folder.glob("*.blob")) == [f"{number}" for number in range(3 - kept, 3)]


def test_a_stored_graph_is_its_digest_and_its_content(folder: Path) -> None:
    cache.store("one", b"graph")
    assert (folder / "one.blob").read_bytes() == hashlib.sha256(b"graph").digest() + b"graph"


def test_loading_renews_the_age(folder: Path) -> None:
    cache.store("one", b"graph")
    os.utime(folder / "one.blob", (1, 1))
    assert cache.load("one") == b"graph"
    assert (folder / "one.blob").stat().st_mtime > 1000


def test_without_a_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "cache_folder", lambda: None)
    cache.store("one", b"graph")
    cache.forget("one")
    assert cache.load("one") is None
