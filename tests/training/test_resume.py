"""Going on with a training that was stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.short_trainings import Stopped, arrays_in, recipe, stop_after

from fassd.core.errors import FileError, UsageError
from fassd.core.recipe import override_recipe, recipe_as_toml
from fassd.core.types import Event
from fassd.tasks.train import train
from fassd.training.resume import continue_run
from fassd.training.run import Run
from fassd.training.setup import TrainConfig


def test_a_run_that_was_stopped_resumes_to_the_same_weights(
    config: TrainConfig, finished: tuple[Path, list[Event]]
) -> None:
    with pytest.raises(Stopped):
        train(config, stop_after(2))
    events: list[Event] = []
    progress = train(replace(config, resume=True), events.append)
    assert [event.values["iteration"] for event in events if event.kind == "iteration"] == [3, 4]
    assert progress.iteration == 4
    assert arrays_in(config.out / "best.safetensors") == arrays_in(finished[0] / "best.safetensors")


def test_a_finished_run_that_is_resumed_has_nothing_to_do(config: TrainConfig) -> None:
    first = train(config)
    assert train(replace(config, resume=True)).iteration == first.iteration


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"batch_size": 4}, "batch"),
        ({"seed": 5}, "seed"),
        ({"loss": {"min_kept": 511}}, "loss"),
        ({"network": "baseline"}, "network"),
    ],
)
def test_resuming_with_another_recipe_is_refused_and_the_change_named(
    config: TrainConfig, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(Stopped):
        train(config, stop_after(2))
    state = Run(config.out).states.paths()[0].read_bytes()
    with pytest.raises(UsageError, match=rf"other values \({named}"):
        train(replace(config, recipe=recipe(**changes), resume=True))
    assert Run(config.out).states.paths()[0].read_bytes() == state


def test_resuming_with_other_data_is_refused(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    with pytest.raises(Stopped):
        train(config, stop_after(2))
    other = make_camvid(tmp_path / "other", {"train": 3, "val": 1})
    with pytest.raises(UsageError, match=r"are not those that the run was started with \(4 training images"):
        train(replace(config, data=[f"camvid:{other}"], resume=True))


@pytest.mark.parametrize("change", ["rename", "rewrite", "remove"])
def test_resuming_with_changed_files_is_refused(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path], change: str
) -> None:
    root = make_camvid(tmp_path / "mine", {"train": 3})
    mine = replace(config, data=[f"camvid:{root}"])
    with pytest.raises(Stopped):
        train(mine, stop_after(2))
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


def test_data_that_moved_are_the_same_data(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "mine", {"train": 2})
    with pytest.raises(Stopped):
        train(replace(config, data=[f"camvid:{root}"]), stop_after(2))
    moved = root.rename(tmp_path / "elsewhere")
    assert train(replace(config, data=[f"camvid:{moved}"], resume=True)).iteration == 4


def test_a_damaged_state_is_set_aside_with_a_note_and_the_one_before_used(
    config: TrainConfig, finished: tuple[Path, list[Event]]
) -> None:
    with pytest.raises(Stopped):
        train(config, stop_after(2))
    newest = Run(config.out).states.paths()[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    events: list[Event] = []
    train(replace(config, resume=True), events.append)
    notes = [event.values["text"] for event in events if event.kind == "note"]
    assert notes[0].startswith(f"set aside: {newest}: is damaged")
    assert "resuming from" in notes[1]
    assert [event.values["iteration"] for event in events if event.kind == "iteration"] == [1, 2, 3, 4]
    assert arrays_in(config.out / "best.safetensors") == arrays_in(finished[0] / "best.safetensors")


def test_resuming_where_there_is_no_run_is_refused(config: TrainConfig) -> None:
    with pytest.raises(UsageError, match="no training state to resume"):
        train(replace(config, resume=True))
    assert not config.out.exists()


def test_starting_where_there_is_a_run_is_refused(config: TrainConfig) -> None:
    with pytest.raises(Stopped):
        train(config, stop_after(2))
    with pytest.raises(UsageError, match="--resume"):
        train(config)


@pytest.fixture
def begun(config: TrainConfig) -> TrainConfig:
    """A run begun by a recipe file with two values replaced, and stopped."""
    page = config.out.parent / "mine.toml"
    page.write_text(recipe_as_toml(recipe()), encoding="utf-8")
    overrides = {"batch_size": 4, "optimizer.lr": 0.01}
    changed = replace(config, recipe=override_recipe(recipe(), overrides), recipe_name=str(page), overrides=overrides)
    with pytest.raises(Stopped):
        train(changed, stop_after(2))
    return changed


@pytest.mark.parametrize("given", [{}, {"batch_size": 4}, {"optimizer.lr": 0.01, "seed": None}])
@pytest.mark.parametrize("named", [True, False])
def test_a_run_resumes_without_its_options(begun: TrainConfig, given: dict[str, Any], named: bool) -> None:
    went = continue_run(begun.out, begun.recipe_name if named else None, given, [])
    assert (went.recipe, went.data) == (begun.recipe, tuple(begun.data))
    assert (went.info.recipe_name, went.info.overrides) == (begun.recipe_name, begun.overrides)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"batch_size": 2}, "batch_size 4, not 2"), ({"optimizer.lr": 0.5}, "optimizer.lr 0.01, not 0.5")],
)
@pytest.mark.parametrize("named", [True, False])
def test_what_contradicts_the_run_is_named(begun: TrainConfig, given: dict[str, Any], said: str, named: bool) -> None:
    with pytest.raises(UsageError, match=said):
        continue_run(begun.out, begun.recipe_name if named else None, given, [])


@pytest.mark.parametrize(("given", "named"), [(("x", None), "--init-weights"), ((None, "x"), "--encoder-weights")])
def test_other_initial_weights_than_the_run_s_are_refused(
    begun: TrainConfig, given: tuple[str | None, str | None], named: str
) -> None:
    with pytest.raises(UsageError, match=f"started without {named}: omit {named} to resume"):
        continue_run(begun.out, None, {}, [], given)


def test_another_recipe_than_the_run_s_is_named_by_what_differs(begun: TrainConfig) -> None:
    with pytest.raises(UsageError, match=r"started with other values \(.*iterations 4, not 4600"):
        continue_run(begun.out, "camvid", {}, [])


def test_data_that_vanish_during_training_end_the_run_with_a_sentence_and_its_states(
    config: TrainConfig, tmp_path: Path, make_camvid: Callable[..., Path]
) -> None:
    root = make_camvid(tmp_path / "mine", {"train": 9})

    def vanish(event: Event) -> None:
        if event.kind == "iteration":
            root.rename(tmp_path / "gone")

    said = r"train_00\d\.png: does not exist.*iteration 0 is intact: restore the original data, then use --resume"
    with pytest.raises(FileError, match=said):
        train(replace(config, data=[f"camvid:{root}"]), vanish)
    assert Run(config.out).states.load().progress.iteration == 0
