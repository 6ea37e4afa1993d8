"""Decoded samples kept in memory that worker processes share."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fassd.core.errors import ImageError
from fassd.core.recipe import Augmentation, Recipe
from fassd.data import sample_cache as memory
from fassd.data import shared_memory as sharing
from fassd.data.batches import Samples, training_batches
from fassd.data.open_dataset import open_dataset
from fassd.data.sample_cache import SampleCache, cache_bytes
from fassd.data.shared_memory import SharedBatches, SharedBytes

ONE = 96 * 128 * 4
"""Bytes of an image and its labels."""


def _samples(root: Path, room: int) -> Samples:
    return Samples([open_dataset(f"camvid:{root}", "train")], room=room)


def _read(samples: Samples, positions: list[int]) -> None:
    for position in positions:
        samples[position]


def _in_a_process(work: Callable[..., None], *arguments: object) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (ONE - 1, 0), (ONE, 1), (3 * ONE + 5, 3), (99 * ONE, 4)])
def test_as_many_samples_are_kept_as_have_room(camvid_root: Path, room: int, kept: int) -> None:
    samples = _samples(camvid_root, room)
    assert samples.cached == kept
    first = [samples[position] for position in range(4)]
    again = [samples[position] for position in range(4)]
    for position, (one, other) in enumerate(zip(first, again, strict=True)):
        assert one.name == other.name
        assert np.array_equal(one.image, other.image)
        assert np.array_equal(one.labels, other.labels)
        # Both views of a slot, once it is filled; decoded anew otherwise.
        third = samples[position]
        assert np.shares_memory(other.image, third.image) == (position < kept)


def test_what_one_process_read_the_others_have(camvid_root: Path) -> None:
    samples = _samples(camvid_root, 3 * ONE)
    expected = [samples._pairs[0][0][index] for index in range(4)]
    assert _in_a_process(_read, samples, [1, 3]) == 0
    held = [samples._cache.get(position) for position in range(4)]
    assert [one is not None for one in held] == [False, True, False, False]
    assert held[1] is not None
    assert np.array_equal(held[1][0], expected[1].image)
    assert np.array_equal(held[1][1], expected[1].labels)


def test_a_process_killed_while_it_fills_a_slot_leaves_it_empty() -> None:
    cache = SampleCache([((4, 4), (4, 4))], 1 << 20)

    def die() -> None:
        cache._slot(0)[0][:2] = 7
        os.kill(os.getpid(), signal.SIGKILL)

    assert _in_a_process(die) == -signal.SIGKILL
    assert cache.get(0) is None
    image, labels = np.full((4, 4, 3), 9, np.uint8), np.full((4, 4), 1, np.uint8)
    cache.put(0, image, labels)
    found = cache.get(0)
    assert found is not None
    assert np.array_equal(found[0], image)
    assert np.array_equal(found[1], labels)


def test_pixels_of_another_size_than_announced_are_not_cached() -> None:
    cache = SampleCache([((4, 4), (4, 4)), None, ((2, 2), (2, 2))], 1 << 20)
    for position, side in ((0, 3), (1, 4), (2, 2), (3, 2)):
        cache.put(position, np.ones((side, side, 3), np.uint8), np.ones((side, side), np.uint8))
    assert [cache.get(position) is not None for position in range(4)] == [False, False, True, False]


def test_headers_are_read_only_while_there_is_room() -> None:
    asked = list[int]()

    def sizes() -> object:
        for number in range(1000):
            asked.append(number)
            yield (10, 10), (10, 10)

    assert len(SampleCache(sizes(), 2500)) == 6  # type: ignore[arg-type]
    assert len(asked) == 7


def test_a_damaged_image_is_reported_when_it_is_read(tmp_path: Path, make_camvid: Callable[..., Path]) -> None:
    root = make_camvid(tmp_path, {"train": 3})
    (root / "train/train_001.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    samples = _samples(root, 99 * ONE)
    assert samples.cached == 3
    assert samples[2].name == "train/train_002"
    with pytest.raises(ImageError, match="train_001"):
        samples[1]


@pytest.mark.parametrize(
    ("free", "whole", "trainings", "expected"),
    [(1000, 9000, None, 500), (1000, 9000, "5", 100), (None, 8000, None, 2000), (None, None, None, 0)],
)
def test_half_of_the_free_memory_is_shared_by_the_trainings_of_a_machine(
    monkeypatch: pytest.MonkeyPatch, free: int | None, whole: int | None, trainings: str | None, expected: int
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: free)
    monkeypatch.setattr(memory, "memory_bytes", lambda: whole)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if trainings is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", trainings)
    assert cache_bytes() == expected


def _leave(shared: SharedBatches, number: int) -> None:
    stacks = [[np.full((2, 3), number + index, np.uint8) for index in range(2)], [np.array(number), np.array(5)]]
    assert shared.put(number, stacks) == [((2, 2, 3), "|u1"), ((2,), "<i8")]


def test_batches_come_out_of_an_exchange_as_they_went_in() -> None:
    shared = SharedBatches(2, 28)
    layouts = [((2, 2, 3), "|u1"), ((2,), "<i8")]
    for number in (0, 1, 2, 7):
        assert _in_a_process(_leave, shared, number) == 0
        images, classes = shared.take(number, layouts)
        assert images.tolist() == [[[number] * 3] * 2, [[number + 1] * 3] * 2]
        assert classes.tolist() == [number, 5]
        assert not np.shares_memory(images, shared._memory.array)


def test_shared_memory_leaves_no_file_and_no_descriptor() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    shared = SharedBytes(1 << 36)  # more than many machines have, and nobody touches it
    shared.array[-1] = 3
    assert len(set(Path("/proc/self/fd").iterdir()) - before) <= 2
    del shared
    assert set(Path("/proc/self/fd").iterdir()) <= before


@pytest.mark.parametrize("workers", [0, 1])
def test_systems_without_anonymous_files_work_as_well(
    camvid_root: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    recipe = Recipe(network="fassd-net-l2", iterations=3, batch_size=2, augmentation=Augmentation((64, 80)))
    expected = list(training_batches(_samples(camvid_root, 99 * ONE), recipe, 0, workers))
    monkeypatch.setattr(sharing.SharedBytes, "picklable", False)
    samples = _samples(camvid_root, 99 * ONE)
    for one, other in zip(training_batches(samples, recipe, 0, workers), expected, strict=True):
        assert one.names == other.names
        assert one.images.equal(other.images)
        assert one.labels.equal(other.labels)
    assert len(pickle.loads(pickle.dumps(samples))._cache) == 0, "a spawned worker keeps nothing"


def test_under_a_limit_of_the_shell_nothing_is_kept_and_pipes_serve(camvid_root: Path) -> None:
    recipe = Recipe(network="fassd-net-l2", iterations=3, batch_size=2, augmentation=Augmentation((64, 80)))
    expected = list(training_batches(_samples(camvid_root, 0), recipe, 0, 0))

    def learn() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ONE // 2, ONE // 2))
        samples = _samples(camvid_root, 99 * ONE)
        assert samples.cached == 0
        for one, other in zip(training_batches(samples, recipe, 0, 1), expected, strict=True):
            assert one.images.equal(other.images)

    assert _in_a_process(learn) == 0
