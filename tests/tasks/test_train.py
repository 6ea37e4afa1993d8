"""Training end to end on a handful of made pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

import fassd
from fassd.core.checkpoint import read_checkpoint, read_header
from fassd.core.errors import CheckpointError, DataError, FassdError, FileError, UsageError
from fassd.core.labels import CAMVID, CITYSCAPES
from fassd.core.recipe import Recipe, override_recipe, read_recipe, recipe_as_toml, recipe_from, shipped_recipes
from fassd.core.types import Event
from fassd.data.fingerprint import digest_of
from fassd.data.kinds import open_dataset
from fassd.runtimes.open import open_runtime
from fassd.tasks.evaluate import evaluate
from fassd.tasks.resume import continue_run
from fassd.tasks.segmenter import Segmenter
from fassd.tasks.train import train
from fassd.tasks.training_order import TrainingOrder
from fassd.training.curves import Curves
from fassd.training.run import Run

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


@pytest.fixture(scope="module")
def finished(camvid_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Event]]:
    """The folder of a run that went through, with curves and TensorBoard, and its events; not to be changed."""
    out, events = tmp_path_factory.mktemp("finished") / "run", list[Event]()
    train(TrainingOrder(recipe(), [f"camvid:{camvid_root}"], out, workers=0), events.append)
    return out, events


@pytest.fixture
def order(
    finished: tuple[Path, list[Event]], camvid_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainingOrder:
    """Train on the made CamVid, into a fresh folder, without what takes longer than the training."""
    monkeypatch.setattr(Curves, "draw", lambda self: None)
    return TrainingOrder(recipe(), [f"camvid:{camvid_root}"], tmp_path / "run", workers=0, trackers=())


def _arrays(path: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in read_checkpoint(path).arrays.items()}


class _Stopped(Exception):
    """Stands for whatever ends a run from outside."""


def _stop_after(step: int) -> Callable[[Event], None]:
    def watch(event: Event) -> None:
        if event.kind == "step" and event.values["step"] == step + 1:
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
    assert header.data[0]["files_sha256"] == digest_of([open_dataset(f"camvid:{camvid_root}", "train")])
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
    assert "one look at each image" in score.conventions


def test_the_watcher_sees_every_update_and_validation(finished: tuple[Path, list[Event]]) -> None:
    kinds = [event.kind for event in finished[1]]
    once = ["step", "step", "saved", "validated", "saved"]
    assert kinds == ["begun", "saved", *once, *once]
    assert [event.values["step"] for event in finished[1] if event.kind == "step"] == [1, 2, 3, 4]
    assert all(np.isfinite(event.values["loss"]) for event in finished[1] if event.kind == "step")


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
        ({"batch": 4}, "batch"),
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
    state = Run(order.out).states.paths()[0].read_bytes()
    with pytest.raises(UsageError, match=rf"another recipe \({named}"):
        train(replace(order, recipe=recipe(**changes), resume=True))
    assert Run(order.out).states.paths()[0].read_bytes() == state


def test_resuming_with_other_data_is_refused(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    with pytest.raises(_Stopped):
        train(order, _stop_after(2))
    other = make_camvid(tmp_path / "other", {"train": 3, "val": 1})
    with pytest.raises(UsageError, match=r"are not those that the run was begun with \(4 training images"):
        train(replace(order, data=[f"camvid:{other}"], resume=True))


@pytest.mark.parametrize("change", ["rename", "rewrite", "remove"])
def test_resuming_with_changed_files_is_refused(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path], change: str
) -> None:
    root = make_camvid(tmp_path / "mine", {"train": 3})
    mine = replace(order, data=[f"camvid:{root}"])
    with pytest.raises(_Stopped):
        train(mine, _stop_after(2))
    image, mask = root / "train/train_002.png", root / "trainannot/train_002.png"
    if change == "rename":
        image.rename(image.with_name("x.png"))
        mask.rename(mask.with_name("x.png"))
    elif change == "rewrite":
        mask.write_bytes(mask.read_bytes() + b"\0")
    else:
        image.unlink()
        mask.unlink()
    with pytest.raises(UsageError, match="added, removed or rewritten"):
        train(replace(mine, resume=True))


def test_a_set_that_moved_is_the_same_set(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "mine", {"train": 2})
    with pytest.raises(_Stopped):
        train(replace(order, data=[f"camvid:{root}"]), _stop_after(2))
    moved = root.rename(tmp_path / "elsewhere")
    assert train(replace(order, data=[f"camvid:{moved}"], resume=True)).step == 4


def test_a_broken_state_is_set_aside_aloud_and_the_one_before_used(
    order: TrainingOrder, finished: tuple[Path, list[Event]]
) -> None:
    with pytest.raises(_Stopped):
        train(order, _stop_after(2))
    newest = Run(order.out).states.paths()[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    events: list[Event] = []
    train(replace(order, resume=True), events.append)
    notes = [event.values["text"] for event in events if event.kind == "note"]
    assert notes[0].startswith(f"set aside: {newest}: is damaged")
    assert "going on from" in notes[1]
    assert [event.values["step"] for event in events if event.kind == "step"] == [1, 2, 3, 4]
    assert _arrays(order.out / "best.safetensors") == _arrays(finished[0] / "best.safetensors")


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


def test_starting_from_another_network_is_refused_before_the_folder_is_made(
    order: TrainingOrder, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    start = make_checkpoint(tmp_path / "start.safetensors", "baseline", CAMVID)
    with pytest.raises(CheckpointError, match=r"start\.safetensors: is baseline .* but fassd-net-l2 .*--encoder"):
        train(replace(order, start=str(start)))
    assert not order.out.exists()


def test_starting_from_other_classes_keeps_those_that_share_a_name_and_says_so(
    order: TrainingOrder, tmp_path: Path, make_checkpoint: Callable[..., Path]
) -> None:
    start = make_checkpoint(tmp_path / "start.safetensors", space=CITYSCAPES, seed=7)
    gentle = recipe(iterations=1, optimiser={"rate": 1e-15, "decay": 0.0})
    events: list[Event] = []
    train(replace(order, recipe=gentle, start=str(start)), events.append)
    begun, trained = read_checkpoint(start).arrays, read_checkpoint(order.out / "best.safetensors").arrays
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
    assert said.startswith("started from start: every weight but the classifier was kept")
    assert f"rows of {', '.join(shared)} were kept; fresh are the classes Pavement" in said


@pytest.mark.parametrize("wrong", ["start", "encoder"])
def test_starting_from_weights_that_want_other_colours_is_refused(
    order: TrainingOrder, tiny_weights: Path, wrong: str
) -> None:
    given: dict[str, Any] = {"start": str(tiny_weights)} if wrong == "start" else {"encoder": tiny_weights}
    with pytest.raises(UsageError, match=r'in the order rgb, .* is bgr; set channel_order = "rgb"'):
        train(replace(order, recipe=recipe(channel_order="bgr"), **given))
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


@pytest.fixture
def begun(order: TrainingOrder) -> TrainingOrder:
    """A run begun by a recipe file with two values replaced, and stopped."""
    page = order.out.parent / "mine.toml"
    page.write_text(recipe_as_toml(recipe()), encoding="utf-8")
    overrides = {"batch": 4, "optimiser.rate": 0.01}
    changed = replace(order, recipe=override_recipe(recipe(), overrides), recipe_name=str(page), overrides=overrides)
    with pytest.raises(_Stopped):
        train(changed, _stop_after(2))
    return changed


@pytest.mark.parametrize("given", [{}, {"batch": 4}, {"optimiser.rate": 0.01, "seed": None}])
@pytest.mark.parametrize("named", [True, False])
def test_a_run_goes_on_without_being_told_again_how_it_was_begun(
    begun: TrainingOrder, given: dict[str, Any], named: bool
) -> None:
    went = continue_run(begun.out, begun.recipe_name if named else None, given, [])
    assert (went.recipe, went.data) == (begun.recipe, tuple(begun.data))
    assert (went.beginning.recipe_name, went.beginning.overrides) == (begun.recipe_name, begun.overrides)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"batch": 2}, "batch 2 instead of 4"), ({"optimiser.rate": 0.5}, "optimiser.rate 0.5 instead of 0.01")],
)
@pytest.mark.parametrize("named", [True, False])
def test_what_contradicts_the_run_is_named(begun: TrainingOrder, given: dict[str, Any], said: str, named: bool) -> None:
    with pytest.raises(UsageError, match=said):
        continue_run(begun.out, begun.recipe_name if named else None, given, [])


@pytest.mark.parametrize(("given", "named"), [(("x", None), "--start"), ((None, "x"), "--encoder")])
def test_another_beginning_than_the_run_s_is_refused(
    begun: TrainingOrder, given: tuple[str | None, str | None], named: str
) -> None:
    with pytest.raises(UsageError, match=f"{named} left away"):
        continue_run(begun.out, None, {}, [], given)


def test_another_recipe_than_the_run_s_is_named_by_what_differs(begun: TrainingOrder) -> None:
    with pytest.raises(UsageError, match=r"begun with another recipe \(.*iterations 4600 instead of 4"):
        continue_run(begun.out, "camvid", {}, [])


def test_a_single_image_whose_coarsest_map_is_one_pixel_is_refused(order: TrainingOrder) -> None:
    with pytest.raises(UsageError, match="norms a single value"):
        train(replace(order, recipe=recipe(batch=1)))
    assert not order.out.exists()


def test_a_set_that_vanishes_while_it_is_learned_ends_the_run_with_a_sentence_and_its_states(
    order: TrainingOrder, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "mine", {"train": 9})

    def vanish(event: Event) -> None:
        if event.kind == "step":
            root.rename(tmp_path / "gone")

    with pytest.raises(FileError, match=r"train_00\d\.png"):
        train(replace(order, data=[f"camvid:{root}"]), vanish)
    assert Run(order.out).states.progress().step == 0
