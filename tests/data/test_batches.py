"""Samples to batches: what batch number n holds depends on the seed and n alone."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
import torch
from PIL import Image as Pillow
from torch.utils.data import DataLoader

from fassd.core.errors import DataError, FassdError
from fassd.core.labels import CAMVID
from fassd.core.recipe import Augmentation, Recipe
from fassd.data.batches import Batch, Samples, order_of, training_batches
from fassd.data.open_dataset import open_dataset


def _recipe(seed: int = 0) -> Recipe:
    crop = Augmentation((64, 80), color_jitter=0.3)
    return Recipe(network="fassd-net-l2", iterations=5, batch_size=3, seed=seed, augmentation=crop)


def _batches(root: Path, start: int = 0, workers: int = 0, seed: int = 0) -> list[Batch]:
    samples = Samples([open_dataset(f"camvid:{root}", "train")])
    return list(training_batches(samples, _recipe(seed), start, workers))


def _same(one: Batch, other: Batch) -> bool:
    return one.names == other.names and torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_a_batch_holds_crops_of_its_samples(camvid_root: Path) -> None:
    first = _batches(camvid_root)[0]
    assert first.images.shape == (3, 64, 80, 3)
    assert first.labels.shape == (3, 64, 80)
    assert first.images.dtype == first.labels.dtype == torch.uint8
    assert first.annotated is None
    assert len(first.names) == 3


def test_every_epoch_uses_every_sample_once() -> None:
    drawn = [position for step in range(14) for position in order_of(5, step, 3, 7)]
    assert len(drawn) == 6 * 7
    for passed in range(6):
        assert sorted(drawn[7 * passed : 7 * passed + 7]) == list(range(7))
    assert drawn[:7] != drawn[7:14]


def test_a_batch_larger_than_the_data_takes_from_several_epochs() -> None:
    assert Counter(order_of(0, 0, 8, 4)) == {0: 2, 1: 2, 2: 2, 3: 2}


@pytest.mark.parametrize("start", [1, 4])
def test_a_resumed_run_gets_the_same_batches(camvid_root: Path, start: int) -> None:
    whole, rest = _batches(camvid_root), _batches(camvid_root, start)
    assert len(whole) == 5
    assert len(rest) == 5 - start
    assert all(_same(one, other) for one, other in zip(whole[start:], rest, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("room", [0, 2 * 96 * 128 * 4, 1 << 30])
def test_neither_worker_processes_nor_kept_samples_change_anything(camvid_root: Path, workers: int, room: int) -> None:
    long = msgspec.structs.replace(_recipe(), iterations=8)
    alone, helped = (
        list(training_batches(Samples([open_dataset(f"camvid:{camvid_root}", "train")], room=room), long, 0, several))
        for room, several in ((0, 0), (room, workers))
    )
    assert len(alone) == 8
    assert all(_same(one, other) for one, other in zip(alone, helped, strict=True))


@pytest.mark.slow
def test_batches_are_the_same_from_spawned_workers(camvid_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = _batches(camvid_root)[:2]
    monkeypatch.setattr("fassd.data.batches.DataLoader", partial(DataLoader, multiprocessing_context="spawn"))
    samples = Samples([open_dataset(f"camvid:{camvid_root}", "train")])
    short = msgspec.structs.replace(_recipe(), iterations=2)
    spawned = list(training_batches(samples, short, 0, 1))
    assert all(_same(one, other) for one, other in zip(alone, spawned, strict=True))
    assert all(samples._cache.get(position) is not None for position in range(4)), "the worker filled this memory"


def test_another_seed_gives_other_batches(camvid_root: Path) -> None:
    assert not _same(_batches(camvid_root)[0], _batches(camvid_root, seed=1)[0])


def test_one_sample_is_cropped_anew_each_time(camvid_root: Path) -> None:
    seen: dict[str, list[torch.Tensor]] = {}
    for batch in _batches(camvid_root):
        for name, image in zip(batch.names, batch.images, strict=True):
            seen.setdefault(name, []).append(image)
    assert all(not torch.equal(crops[0], crops[1]) for crops in seen.values())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_is_reported_as_it_is(tmp_path: Path, make_camvid: Callable[..., Path], workers: int) -> None:
    root = make_camvid(tmp_path, {"train": 1})
    mask = root / "trainannot/train_000.png"
    mask.write_bytes((root / "train/train_000.png").read_bytes())
    with pytest.raises(DataError, match=str(mask)):
        _batches(root, workers=workers)


def test_a_killed_worker_is_a_reason_to_resume_with_fewer(camvid_root: Path) -> None:
    samples = Samples([open_dataset(f"camvid:{camvid_root}", "train")])
    endless = msgspec.structs.replace(_recipe(), iterations=100_000)
    batches = training_batches(samples, endless, 0, 1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    with pytest.raises(FassdError, match=r"prepares batches was killed.*use --resume .*fewer --workers"):
        list(batches)


def test_marks_are_given_for_every_image_as_soon_as_one_is_partially_annotated(
    tmp_path: Path, camvid_root: Path, make_folder: Callable[..., Path]
) -> None:
    text = 'label_space = "camvid"\n[[partially_annotated]]\nframes = "*"\nannotated = ["Sky", "Road"]\n'
    root = make_folder(tmp_path, text, {"train": ["a", "b"]}, values=11)
    sets = [open_dataset(spec, "train", CAMVID) for spec in (f"camvid:{camvid_root}", f"folder:{root}")]
    for batch in training_batches(Samples(sets), _recipe(), 0, 0):
        partly = [name in ("train/a", "train/b") for name in batch.names]
        if batch.annotated is None:
            assert not any(partly)
        else:
            assert batch.annotated.sum(1).tolist() == [2 if part else 11 for part in partly]


def test_samples_of_several_sets_follow_each_other(
    camvid_root: Path, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    other = make_camvid(tmp_path, {"train": 2})
    samples = Samples([open_dataset(f"camvid:{root}", "train") for root in (camvid_root, other)])
    assert len(samples) == 6
    assert samples[5].name == "train/train_001"


@pytest.mark.parametrize("room", [0, 2 * 96 * 128 * 4, 1 << 30])
def test_labels_alone_come_without_their_images(tmp_path: Path, make_camvid: Callable[..., Path], room: int) -> None:
    root = make_camvid(tmp_path, {"train": 3})
    samples = Samples([open_dataset(f"camvid:{root}", "train")], room=room)
    expected = [sample.labels for sample in samples]
    for image in (root / "train").iterdir():
        image.write_bytes(b"")
    assert [labels.tolist() for labels in samples.labels()] == [labels.tolist() for labels in expected]


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_large_photos_come_reduced_where_all_crops_are_small(
    tmp_path: Path, make_folder: Callable[..., Path], room: int
) -> None:
    root = make_folder(
        tmp_path, 'label_space = "camvid"\nimages = "images/{split}/*.jpg"\n', {"train": ["a"]}, values=11
    )
    for path in (root / "images" / "train").iterdir():
        with Pillow.open(path) as picture:
            picture.convert("RGB").resize((127, 95)).save(path.with_suffix(".jpg"), quality=95)
    mask = root / "masks" / "train" / "a.png"
    with Pillow.open(mask) as picture:
        picture.resize((127, 95), Pillow.Resampling.NEAREST).save(mask)
    recipe = msgspec.structs.replace(_recipe(), batch_size=1, augmentation=Augmentation((20, 24), scale=(0.2, 0.25)))
    dataset = open_dataset(f"folder:{root}", "train")
    reduced, full = Samples([dataset], 0.25, room), Samples([dataset], room=room)
    assert reduced[0].image.shape == (24, 32, 3)
    assert reduced[0].labels.shape == full[0].labels.shape == (95, 127)
    for one, other in zip(*(training_batches(samples, recipe, 0, 0) for samples in (reduced, full)), strict=True):
        assert one.labels.equal(other.labels)
        assert (one.images.float() - other.images.float()).abs().mean() < 4
