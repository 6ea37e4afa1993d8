from __future__ import annotations

import json
from pathlib import Path

import pytest

from fassd.core.errors import FileError, UsageError
from fassd.core.recipe import Recipe, read_recipe
from fassd.training.readme import readme_of
from fassd.training.run import Run, RunInfo

BEGINNING = RunInfo("camvid", {"batch_size": 2}, ["camvid:here"], "1.2.3")


@pytest.fixture
def run(tmp_path: Path, recipe: Recipe) -> Run:
    """A folder with a run that was just begun."""
    run = Run(tmp_path / "deep" / "run")
    run.start(recipe, BEGINNING, "what this is")
    return run


def _logged(run: Run) -> Run:
    for step in (1, 2, 3):
        run.log_iteration(step, step / 2, 1.5, 0.01, 7.0)
    run.log_validation(2, {"mean_iou": 0.25}, 0.25, {"a, b": 0.5, "c": None})
    run.log_validation(3, {"mean_iou": 0.2}, 0.25, {"a, b": 0.4, "c": 0.0})
    return run


def test_the_folder_knows_how_the_run_was_started(run: Run, recipe: Recipe) -> None:
    assert run.recipe() == recipe == read_recipe(run.recipe_path)
    assert run.info() == BEGINNING
    assert run.readme_path.read_text() == "what this is"


@pytest.mark.parametrize("name", ["states/state-00000001.safetensors", "best.safetensors"])
def test_a_folder_that_holds_a_run_is_not_started_again(tmp_path: Path, recipe: Recipe, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(UsageError, match="holds a run already: add --resume"):
        Run(tmp_path).start(recipe, BEGINNING, "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]


def test_a_run_that_stopped_before_its_first_state_may_start_again_with_empty_logs(run: Run, recipe: Recipe) -> None:
    _logged(run).start(recipe, BEGINNING, "")
    assert (run.iterations(), run.validations()) == ([], [])


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(FileError, match="cannot be written"):
        Run(tmp_path / "run").start(recipe, BEGINNING, "")


@pytest.mark.parametrize("name", ["updates.csv", "log.jsonl"])
def test_a_log_that_cannot_be_written_is_named(run: Run, name: str) -> None:
    (run.folder / name).mkdir()
    with pytest.raises(FileError, match=f"{name}: cannot be written .*--resume"):
        run.log_iteration(1, 0.5, 1.0, 0.01, 2.0)


def test_what_is_logged_is_read_back(run: Run) -> None:
    _logged(run)
    assert run.iterations()[1] == {"iteration": 2, "loss": 1.0, "grad_norm": 1.5, "lr": 0.01, "images_per_second": 7.0}
    assert run.validations() == [
        {"iteration": 2, "mean_iou": 0.25, "best": 0.25, "a, b": 0.5},
        {"iteration": 3, "mean_iou": 0.2, "best": 0.25, "a, b": 0.4, "c": 0.0},
    ]
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert lines[3] == {
        "event": "validated",
        "iteration": 2,
        "mean_iou": 0.25,
        "best": 0.25,
        "iou": {"a, b": 0.5, "c": None},
    }


@pytest.mark.parametrize("torn", ["", "4,0.5", "4,0."])
def test_truncating_removes_later_and_incomplete_lines_from_every_log(run: Run, torn: str) -> None:
    _logged(run)
    for name in ("updates.csv", "validations.csv", "log.jsonl"):
        with (run.folder / name).open("a") as stream:
            stream.write(torn)
    for folder in (run.folder, run.states.folder, run.samples_folder / "a"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".best-01234567.safetensors").touch()
    run.truncate_logs(2, 2)
    assert [row["iteration"] for row in run.iterations()] == [1, 2]
    assert [row["iteration"] for row in run.validations()] == [2]
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    assert [(one["event"], one["iteration"]) for one in lines] == [("iteration", 1), ("iteration", 2), ("validated", 2)]
    assert not list(run.folder.rglob(".*"))
    _logged(run)
    assert [row["iteration"] for row in run.iterations()] == [1, 2, 1, 2, 3]


def test_truncating_to_the_start_empties_the_logs(run: Run) -> None:
    _logged(run).truncate_logs(0, 0)
    assert (run.iterations(), run.validations(), (run.folder / "log.jsonl").read_text()) == ([], [], "")
    assert _logged(run).iterations()[0]["iteration"] == 1


def test_without_a_run_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no training state to resume"):
        Run(tmp_path).recipe()


def test_a_damaged_note_is_named(run: Run) -> None:
    (run.folder / "run.json").write_text("{")
    with pytest.raises(FileError, match=r"run\.json: is damaged .* give recipe and --data again"):
        run.info()


def test_the_page_says_how_to_resume_and_how_to_use_the_result(run: Run, recipe: Recipe) -> None:
    page = readme_of(run.folder, recipe, BEGINNING, 11, (4, 2), "research only")
    for said in (
        f"fassd train --resume --out {run.folder}",
        f"fassd predict IMAGE --weights {run.folder}/best.safetensors",
        "`baseline` for 11 classes, 6 iterations of 2 images, seed 5",
        "with batch_size 2",
        "camvid:here",
        "research only",
        "2 `val` images every 3 iterations",
    ):
        assert said in page
