"""Training end to end on a handful of made pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.short_trainings import arrays_in, recipe

import fassd
from fassd.core.checkpoint import read_checkpoint, read_header
from fassd.core.errors import CheckpointError, DataError, FassdError, FileError, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.core.recipe import read_recipe, recipe_from, shipped_recipes
from fassd.core.types import Event
from fassd.data.dataset import file_list_digest
from fassd.data.open_dataset import open_dataset
from fassd.runtimes.open import open_runtime
from fassd.scoring.evaluate import evaluate
from fassd.segmenter import Segmenter
from fassd.tasks.train import train
from fassd.training.setup import TrainConfig


def test_the_best_checkpoint_loads_and_labels_a_picture(finished: tuple[Path, list[Event]]) -> None:
    prediction = Segmenter(finished[0] / "best.safetensors")(np.zeros((96, 128, 3), np.uint8))
    assert prediction.class_map.shape == (96, 128)
    assert prediction.label_space == CAMVID


def test_the_header_says_how_the_checkpoint_was_made(finished: tuple[Path, list[Event]], camvid_root: Path) -> None:
    header = read_header(finished[0] / "best.safetensors")
    assert (header.network, header.alpha, header.label_space) == ("fassd-net-l2", 2, CAMVID)
    assert recipe_from(header.recipe or {}, "header") == recipe()
    assert [(one["name"], one["split"], one["images"]) for one in header.data] == [(camvid_root.name, "train", 4)]
    assert header.data[0]["files_sha256"] == file_list_digest([open_dataset(f"camvid:{camvid_root}", "train")])
    assert header.version.startswith(fassd.__version__)
    assert "not commercial" in header.terms
    assert "trained by fassd" in header.origin


def test_the_score_in_the_checkpoint_is_what_evaluation_finds(
    finished: tuple[Path, list[Event]], camvid_root: Path
) -> None:
    best = finished[0] / "best.safetensors"
    score = read_header(best).scores[0]
    with open_runtime(best, "cpu", "float32", "pytorch") as runtime:
        report = evaluate(runtime, open_dataset(f"camvid:{camvid_root}", "val"))
    assert (score.split, score.images, score.classes) == ("val", 2, 11)
    assert score.mean_iou == pytest.approx(report.parts[0].mean_iou, abs=1e-9)
    assert "one view of each image" in score.conventions


def test_watch_gets_every_iteration_and_validation(finished: tuple[Path, list[Event]]) -> None:
    kinds = [event.kind for event in finished[1]]
    once = ["iteration", "iteration", "saved", "validated", "saved"]
    assert kinds == ["note", "started", "saved", *once, *once]
    assert [event.values["iteration"] for event in finished[1] if event.kind == "iteration"] == [1, 2, 3, 4]
    assert all(np.isfinite(event.values["loss"]) for event in finished[1] if event.kind == "iteration")


def test_the_folder_holds_what_its_page_says_and_nothing_else(finished: tuple[Path, list[Event]]) -> None:
    page = (finished[0] / "README.md").read_text()
    for path in finished[0].iterdir():
        assert path.name == "README.md" or f"`{path.name}{'/' * path.is_dir()}`" in page
    assert {path.name for path in finished[0].iterdir()} >= {"states", "samples", "best.safetensors", "updates.csv"}
    assert read_recipe(finished[0] / "recipe.toml") == recipe()


def test_the_curves_are_drawn(finished: tuple[Path, list[Event]]) -> None:
    pytest.importorskip("matplotlib")
    with Pillow.open(finished[0] / "curves.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 30


def test_tensorboard_gets_its_file_where_it_is_installed(finished: tuple[Path, list[Event]]) -> None:
    pytest.importorskip("tensorboard")
    assert len(list((finished[0] / "tensorboard").rglob("events.*"))) == 1


def test_the_same_validation_frames_are_drawn_each_time(finished: tuple[Path, list[Event]]) -> None:
    drawn = sorted(path.relative_to(finished[0] / "samples") for path in (finished[0] / "samples").rglob("*.jpg"))
    assert [path.name for path in drawn] == ["00000002.jpg", "00000004.jpg"] * 2
    assert [path.parent.name for path in drawn] == ["val_val_000"] * 2 + ["val_val_001"] * 2


def test_the_same_order_gives_the_same_weights(config: TrainConfig, finished: tuple[Path, list[Event]]) -> None:
    train(config)
    assert arrays_in(config.out / "best.safetensors") == arrays_in(finished[0] / "best.safetensors")


def test_training_starts_from_a_checkpoint(config: TrainConfig, tiny_weights: Path) -> None:
    gentle = recipe(iterations=1, optimizer={"lr": 1e-12, "weight_decay": 0.0})
    train(replace(config, recipe=gentle, init_weights=str(tiny_weights)))
    begun, trained = read_checkpoint(tiny_weights).arrays, read_checkpoint(config.out / "best.safetensors")
    for name, array in trained.arrays.items():
        if "running" not in name:
            assert np.allclose(array, begun[name], atol=1e-6), name
    assert "tiny" in trained.header.origin


def test_training_starts_from_an_encoder(config: TrainConfig, tmp_path: Path, tiny_weights: Path) -> None:
    gentle = recipe(iterations=1, seed=9, optimizer={"lr": 1e-12, "weight_decay": 0.0})
    train(replace(config, recipe=gentle, encoder_weights=tiny_weights))
    begun, trained = read_checkpoint(tiny_weights).arrays, read_checkpoint(config.out / "best.safetensors").arrays
    kept = {name for name in trained if "weight" in name and np.allclose(trained[name], begun[name], atol=1e-6)}
    assert all(name in kept for name in trained if name.startswith("encoder.") and name.endswith("conv.weight"))
    assert "classifier.weight" not in kept


def test_starting_from_another_network_is_refused_before_the_folder_is_made(
    config: TrainConfig, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    start = make_checkpoint(tmp_path / "start.safetensors", "baseline", CAMVID)
    with pytest.raises(
        CheckpointError, match=r"start\.safetensors: is baseline .* but fassd-net-l2 .*--encoder-weights"
    ):
        train(replace(config, init_weights=str(start)))
    assert not config.out.exists()


def test_starting_from_other_classes_keeps_those_that_share_a_name_and_says_so(
    config: TrainConfig, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    start = make_checkpoint(tmp_path / "start.safetensors", space=CITYSCAPES, seed=7)
    gentle = recipe(iterations=1, optimizer={"lr": 1e-15, "weight_decay": 0.0})
    events: list[Event] = []
    train(replace(config, recipe=gentle, init_weights=str(start)), events.append)
    begun, trained = read_checkpoint(start).arrays, read_checkpoint(config.out / "best.safetensors").arrays
    shared = [name for name in CAMVID.names if name.casefold() in map(str.casefold, CITYSCAPES.names)]
    assert {"Road", "Car", "Sky"} <= set(shared)
    places = {name.casefold(): place for place, name in enumerate(CITYSCAPES.names)}
    for place, name in enumerate(CAMVID.names):
        kept = name in shared and np.allclose(
            trained["classifier.weight"][place], begun["classifier.weight"][places[name.casefold()]], atol=1e-6
        )
        assert kept == (name in shared), name
    assert np.allclose(trained["encoder.stem.0.conv.weight"], begun["encoder.stem.0.conv.weight"], atol=1e-6)
    said = next(event.values["text"] for event in events if event.kind == "note")
    assert said.startswith("started from start: all weights but the classifier were loaded")
    assert f"rows of {', '.join(shared)}; the classes Pavement" in said


@pytest.mark.parametrize("wrong", ["init_weights", "encoder_weights"])
def test_starting_from_weights_that_want_other_colors_is_refused(
    config: TrainConfig, tiny_weights: Path, wrong: str
) -> None:
    given: dict[str, Any] = {wrong: str(tiny_weights) if wrong == "init_weights" else tiny_weights}
    with pytest.raises(UsageError, match=r'in the order rgb, .* is bgr; set channel_order = "rgb"'):
        train(replace(config, recipe=recipe(channel_order="bgr"), **given))
    assert not config.out.exists()


@pytest.mark.parametrize("wrong", ["init_weights", "encoder_weights"])
def test_starting_from_a_missing_file_is_refused_before_the_folder_is_made(
    config: TrainConfig, tmp_path: Path, wrong: str
) -> None:
    missing = tmp_path / "missing.safetensors"
    given: dict[str, Any] = {wrong: str(missing) if wrong == "init_weights" else missing}
    with pytest.raises(CheckpointError, match=r"missing\.safetensors: there is no such file"):
        train(replace(config, **given))
    assert not config.out.exists()


def test_an_alpha_that_cannot_be_is_refused_before_the_folder_is_made(config: TrainConfig) -> None:
    with pytest.raises(UsageError, match="alpha is 9999"):
        train(replace(config, recipe=recipe(alpha=9999)))
    assert not config.out.exists()


@pytest.mark.parametrize("device", ["cuda:77", "toaster"])
def test_a_device_that_is_not_there_is_refused_before_the_folder_is_made(config: TrainConfig, device: str) -> None:
    with pytest.raises(UsageError, match=device):
        train(replace(config, device=device))
    assert not config.out.exists()


def test_a_crop_below_the_networks_minimum_is_refused(config: TrainConfig) -> None:
    small = recipe(augmentation={"crop_size": (40, 64)})
    with pytest.raises(UsageError, match=r"augmentation\.crop_size is 64x40"):
        train(replace(config, recipe=small))


def test_a_crop_that_no_image_can_fill_is_refused_before_the_folder_is_made(config: TrainConfig) -> None:
    large = recipe(augmentation={"crop_size": (96, 129), "scale": (0.5, 1.0)})
    with pytest.raises(UsageError, match=r"crop_size is 129x96, but no .*the largest is 128x96, .*by 1.0 at most"):
        train(replace(config, recipe=large))
    assert not config.out.exists()


def test_an_out_folder_that_is_a_file_is_refused(config: TrainConfig) -> None:
    config.out.write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        train(config)
    assert config.out.read_text() == "in the way"


def test_a_set_without_validation_frames_is_trained_on_to_the_end(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    only = make_camvid(tmp_path / "only", {"train": 3})
    progress = train(replace(config, data=[f"camvid:{only}"]))
    assert progress.iteration == 4
    assert read_header(config.out / "best.safetensors").scores == []


def test_there_is_no_score_unless_every_set_has_validation_frames(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    only = make_camvid(tmp_path / "only", {"train": 3})
    train(replace(config, data=[*config.data, f"camvid:{only}"]))
    assert read_header(config.out / "best.safetensors").scores == []


def test_validation_frames_that_are_at_fault_are_not_passed_over(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "faulty", {"train": 2, "val": 2})
    (root / "valannot/val_001.png").unlink()
    with pytest.raises(DataError, match=r"val_001\.png: has no mask"):
        train(replace(config, data=[f"camvid:{root}"]))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_faulty_mask_ends_the_training_with_its_name(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path], workers: int
) -> None:
    root = make_camvid(tmp_path / "faulty", {"train": 1})
    (root / "trainannot/train_000.png").write_bytes((root / "train/train_000.png").read_bytes())
    with pytest.raises(FassdError, match=r"trainannot/train_000\.png"):
        train(replace(config, data=[f"camvid:{root}"], workers=workers))


def test_two_sets_one_of_them_partially_annotated_are_learned_together(
    config: TrainConfig, tmp_path: Path, make_folder: Callable[..., Path]
) -> None:
    text = 'label_space = "camvid"\n[[partially_annotated]]\nframes = "*"\nannotated = ["Sky", "Road"]\n'
    root = make_folder(tmp_path / "partly", text, {"train": ["a", "b"], "val": ["c"]}, values=11)
    events: list[Event] = []
    train(replace(config, data=[*config.data, f"folder:{root}"]), events.append)
    assert [event.values["iteration"] for event in events if event.kind == "iteration"] == [1, 2, 3, 4]
    header = read_header(config.out / "best.safetensors")
    assert [one["images"] for one in header.data] == [4, 2]
    assert header.scores[0].images == 3


def test_an_encoder_and_weights_to_start_from_exclude_each_other(tmp_path: Path) -> None:
    recipe = read_recipe(shipped_recipes()["camvid"])
    config = TrainConfig(
        recipe, ["camvid:x"], tmp_path / "run", encoder_weights=tmp_path / "e", init_weights="fassd-net-l2-camvid"
    )
    with pytest.raises(UsageError, match="give one of them"):
        train(config)
    assert not (tmp_path / "run").exists()


def test_a_single_image_whose_coarsest_map_is_one_pixel_is_refused(config: TrainConfig) -> None:
    with pytest.raises(UsageError, match="BatchNorm layers a single value"):
        train(replace(config, recipe=recipe(batch_size=1)))
    assert not config.out.exists()
