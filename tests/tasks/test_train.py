"""Training end to end on a handful of made pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fassd.core.checkpoint import read_checkpoint, read_header
from fassd.core.errors import CheckpointError, DataError, FassdError, FileError, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.core.recipe import Recipe, read_recipe, recipe_from, shipped_recipes
from fassd.core.types import Event
from fassd.data.kinds import open_dataset
from fassd.runtimes.open import open_runtime
from fassd.tasks.evaluate import evaluate
from fassd.tasks.segmenter import Segmenter
from fassd.tasks.train import TrainingOrder, train

RECIPE = {
    "network": "fassd-net-l2",
    "iterations": 4,
    "batch": 2,
    "precision": "float32",
    "validate_every": 2,
    "augmentation": {"crop": (64, 64), "scale": (0.9, 1.5)},
    "loss": {"kept": 512},
}


def recipe(**changes: Any) -> Recipe:
    """A few updates on small crops."""
    return recipe_from({**RECIPE, **changes}, "test")


@pytest.fixture
def order(camvid_root: Path, tmp_path: Path) -> TrainingOrder:
    """Train on the made CamVid, into a fresh folder."""
    return TrainingOrder(recipe(), [f"camvid:{camvid_root}"], tmp_path / "run", workers=0)


@pytest.fixture(scope="module")
def finished(camvid_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """The folder of a run that went through, and its events; not to be changed."""
    out, events = tmp_path_factory.mktemp("finished") / "run", list[Event]()
    train(TrainingOrder(recipe(), [f"camvid:{camvid_root}"], out, workers=0), events.append)
    return out, events


def _arrays(path: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_checkpoint(path).arrays.items()}


class _Stopped(Exception):
    """Stands for whatever ends a run from outside."""


def _stop_after(step: int) -> Callable[[Event], None]:
    def watch(event: Event) -> None:
        if event.kind == "saved" and event.values["step"] == step:
            raise _Stopped

    return watch


def test_the_best_checkpoint_loads_and_labels_a_picture(finished: tuple[Path, list[Event]]) -> None:
    prediction = Segmenter(finished[0] / "best.safetensors")(np.zeros((96, 128, 3), np.uint8))
    assert prediction.class_map.shape == (96, 128)
    assert prediction.label_space == CAMVID


def test_the_checkpoint_tells_how_it_was_made(finished: tuple[Path, list[Event]], camvid_root: Path) -> None:
    header = read_header(finished[0] / "best.safetensors")
    assert (header.network, header.alpha, header.label_space) == ("fassd-net-l2", 2, CAMVID)
    assert recipe_from(header.recipe or {}, "header") == recipe()
    assert [(one["name"], one["split"], one["images"]) for one in header.data] == [(camvid_root.name, "train", 4)]
    assert "not commercial" in header.terms
    assert "trained by fassd" in header.origin


def test_the_score_in_the_checkpoint_is_what_evaluation_finds(
    finished: tuple[Path, list[Event]], camvid_root: Path
) -> None:
    best = finished[0] / "best.safetensors"
    score = read_header(best).scores[0]
    with open_runtime(best) as runtime:
        report = evaluate(runtime, open_dataset(f"camvid:{camvid_root}", "val"))
    assert (score.split, score.images, score.classes) == ("val", 2, 11)
    assert score.mean_iou == pytest.approx(report.parts[0].mean_iou, abs=1e-9)


def test_the_watcher_sees_every_update_and_validation(finished: tuple[Path, list[Event]]) -> None:
    kinds = [event.kind for event in finished[1]]
    once = ["step", "step", "validated", "saved"]
    assert kinds == ["begun", *once, *once]
    assert [event.values["step"] for event in finished[1] if event.kind == "step"] == [1, 2, 3, 4]
    assert all(np.isfinite(event.values["loss"]) for event in finished[1] if event.kind == "step")


def test_the_folder_holds_recipe_log_state_and_best_and_nothing_else(finished: tuple[Path, list[Event]]) -> None:
    names = {path.name for path in finished[0].iterdir()}
    assert names == {"recipe.json", "log.jsonl", "state.safetensors", "best.safetensors"}
    assert msgspec.json.decode((finished[0] / "recipe.json").read_bytes(), type=Recipe) == recipe()
    lines = (finished[0] / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if "validated" in line] == [2, 4]


def test_the_same_order_gives_the_same_weights(order: TrainingOrder, finished: tuple[Path, list[Event]]) -> None:
    train(order)
    assert _arrays(order.out / "best.safetensors") == _arrays(finished[0] / "best.safetensors")


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    order: TrainingOrder, finished: tuple[Path, list[Event]]
) -> None:
    with pytest.raises(_Stopped):
        train(order, _stop_after(2))
    events: list[Event] = []
    progress = train(replace(order, resume=True), events.append)
    assert [event.values["step"] for event in events if event.kind == "step"] == [3, 4]
    assert progress.step == 4
    assert _arrays(order.out / "best.safetensors") == _arrays(finished[0] / "best.safetensors")


def test_a_finished_run_that_is_resumed_has_nothing_to_do(order: TrainingOrder) -> None:
    first = train(order)
    assert train(replace(order, resume=True)).step == first.step


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch": 1}, "batch"),
        ({"seed": 5}, "seed"),
        ({"loss": {"kept": 511}}, "loss"),
        ({"network": "baseline"}, "network"),
    ],
)
def test_resuming_with_another_recipe_is_refused_and_the_change_named(
    order: TrainingOrder, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(_Stopped):
        train(order, _stop_after(2))
    state = (order.out / "state.safetensors").read_bytes()
    with pytest.raises(UsageError, match=rf"another recipe \({named}"):
        train(replace(order, recipe=recipe(**changes), resume=True))
    assert (order.out / "state.safetensors").read_bytes() == state


def test_resuming_with_other_data_is_refused(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    with pytest.raises(_Stopped):
        train(order, _stop_after(2))
    other = make_camvid(tmp_path / "other", {"train": 3, "val": 1})
    with pytest.raises(UsageError, match=r"4 samples, now there are 3"):
        train(replace(order, data=[f"camvid:{other}"], resume=True))


def test_resuming_where_nothing_was_begun_is_refused(order: TrainingOrder) -> None:
    with pytest.raises(UsageError, match="no training state to resume"):
        train(replace(order, resume=True))
    assert not order.out.exists()


def test_beginning_where_a_run_stands_is_refused(order: TrainingOrder) -> None:
    with pytest.raises(_Stopped):
        train(order, _stop_after(2))
    with pytest.raises(UsageError, match="--resume"):
        train(order)


def test_training_starts_from_a_checkpoint(order: TrainingOrder, tiny_weights: Path) -> None:
    gentle = recipe(iterations=1, optimiser={"rate": 1e-12, "decay": 0.0})
    train(replace(order, recipe=gentle, start=str(tiny_weights)))
    begun, trained = read_checkpoint(tiny_weights).arrays, read_checkpoint(order.out / "best.safetensors")
    for name, array in trained.arrays.items():
        if "running" not in name:
            assert np.allclose(array, begun[name], atol=1e-6), name
    assert "tiny" in trained.header.origin


def test_training_starts_from_an_encoder(order: TrainingOrder, tmp_path: Path, tiny_weights: Path) -> None:
    gentle = recipe(iterations=1, seed=9, optimiser={"rate": 1e-12, "decay": 0.0})
    train(replace(order, recipe=gentle, encoder=tiny_weights))
    begun, trained = read_checkpoint(tiny_weights).arrays, read_checkpoint(order.out / "best.safetensors").arrays
    kept = {name for name in trained if "weight" in name and np.allclose(trained[name], begun[name], atol=1e-6)}
    assert all(name in kept for name in trained if name.startswith("encoder.") and name.endswith("conv.weight"))
    assert "classifier.weight" not in kept


@pytest.mark.parametrize(("network", "space"), [("baseline", CAMVID), ("fassd-net-l2", CITYSCAPES)])
def test_starting_from_another_network_or_class_count_is_refused_before_the_folder_is_made(
    order: TrainingOrder, tmp_path: Path, make_checkpoint: Callable[..., Path], network: str, space: Any
) -> None:
    start = make_checkpoint(tmp_path / "start.safetensors", network, space)
    with pytest.raises(CheckpointError, match=r"start\.safetensors.*fassd-net-l2 with 11 classes"):
        train(replace(order, start=str(start)))
    assert not order.out.exists()


@pytest.mark.parametrize("wrong", ["start", "encoder"])
def test_starting_from_a_missing_file_is_refused_before_the_folder_is_made(
    order: TrainingOrder, tmp_path: Path, wrong: str
) -> None:
    missing = tmp_path / "missing.safetensors"
    given: dict[str, Any] = {"start": str(missing)} if wrong == "start" else {"encoder": missing}
    with pytest.raises(CheckpointError, match=r"missing\.safetensors: there is no such file"):
        train(replace(order, **given))
    assert not order.out.exists()


def test_an_alpha_that_cannot_be_is_refused_before_the_folder_is_made(order: TrainingOrder) -> None:
    with pytest.raises(UsageError, match="alpha is 9999"):
        train(replace(order, recipe=recipe(alpha=9999)))
    assert not order.out.exists()


@pytest.mark.parametrize("device", ["cuda:77", "toaster"])
def test_a_device_that_is_not_there_is_refused_before_the_folder_is_made(order: TrainingOrder, device: str) -> None:
    with pytest.raises(UsageError, match=device):
        train(replace(order, device=device))
    assert not order.out.exists()


def test_a_crop_below_the_networks_minimum_is_refused(order: TrainingOrder) -> None:
    small = recipe(augmentation={"crop": (40, 64)})
    with pytest.raises(UsageError, match=r"augmentation\.crop is 64x40"):
        train(replace(order, recipe=small))


def test_an_out_folder_that_is_a_file_is_refused(order: TrainingOrder) -> None:
    order.out.write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        train(order)
    assert order.out.read_text() == "in the way"


def test_a_set_without_validation_frames_is_trained_on_to_the_end(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    only = make_camvid(tmp_path / "only", {"train": 3})
    progress = train(replace(order, data=[f"camvid:{only}"]))
    assert progress.step == 4
    assert read_header(order.out / "best.safetensors").scores == []


def test_there_is_no_score_unless_every_set_has_validation_frames(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    only = make_camvid(tmp_path / "only", {"train": 3})
    train(replace(order, data=[*order.data, f"camvid:{only}"]))
    assert read_header(order.out / "best.safetensors").scores == []


def test_validation_frames_that_are_at_fault_are_not_passed_over(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "faulty", {"train": 2, "val": 2})
    (root / "valannot/val_001.png").unlink()
    with pytest.raises(DataError, match=r"val_001\.png: has no mask"):
        train(replace(order, data=[f"camvid:{root}"]))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_faulty_mask_ends_the_training_with_its_name(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path], workers: int
) -> None:
    root = make_camvid(tmp_path / "faulty", {"train": 1})
    (root / "trainannot/train_000.png").write_bytes((root / "train/train_000.png").read_bytes())
    with pytest.raises(FassdError, match=r"trainannot/train_000\.png"):
        train(replace(order, data=[f"camvid:{root}"], workers=workers))


def test_two_sets_one_of_them_partly_marked_are_learned_together(
    order: TrainingOrder, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    text = 'label_space = "camvid"\n[[partial]]\nframes = "*"\nmarked = ["Sky", "Road"]\n'
    root = make_folder(tmp_path / "partly", text, {"train": ["a", "b"], "val": ["c"]}, values=11)
    events: list[Event] = []
    train(replace(order, data=[*order.data, f"folder:{root}"]), events.append)
    assert [event.values["step"] for event in events if event.kind == "step"] == [1, 2, 3, 4]
    header = read_header(order.out / "best.safetensors")
    assert [one["images"] for one in header.data] == [4, 2]
    assert header.scores[0].images == 3


def test_an_encoder_and_weights_to_start_from_exclude_each_other(tmp_path: Path) -> None:
    recipe = read_recipe(shipped_recipes()["camvid"])
    order = TrainingOrder(recipe, ["camvid:x"], tmp_path / "run", encoder=tmp_path / "e", start="fassd-net-l2-camvid")
    with pytest.raises(UsageError, match="give one of them"):
        train(order)
    assert not (tmp_path / "run").exists()
