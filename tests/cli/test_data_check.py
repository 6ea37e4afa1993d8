"""`fassd data check` as people and scripts meet it: exit codes, both forms of the report, the corrected copy."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image as Pillow
from tests.checks.scenes import make_values

from fassd.cli.main import run


@pytest.fixture
def town(tmp_path: Path) -> Path:
    make_values(tmp_path / "town")
    return tmp_path / "town"


def test_a_clean_set_is_0(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", f"folder:{town}"]) == 0
    text = capsys.readouterr().out
    assert "no errors" in text
    assert "160x120" in text
    assert "pavement" in text or "sidewalk" in text


def test_errors_are_1_and_named(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (town / "masks/train/train_1.png").write_bytes(b"")
    assert run(["data", "check", f"folder:{town}"]) == 1
    text = capsys.readouterr().out
    assert "empty files" in text
    assert "masks/train/train_1.png" in text
    assert "fix" in text
    assert "1 error," in text


def test_a_note_is_0(town: Path) -> None:
    shutil.copy(town / "images/train/train_0.jpg", town / "images/train/again.jpg")
    shutil.copy(town / "masks/train/train_0.png", town / "masks/train/again.png")
    assert run(["data", "check", f"folder:{town}"]) == 0


@pytest.mark.parametrize("spec", ["folder:{}/nowhere", "camvid:{}", "{}", "moon:{}"])
def test_no_data_set_is_2(spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", spec.format(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("fassd: ")


def test_long_lists_are_shortened_in_the_terminal_and_whole_in_json(
    town: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(9):
        shutil.copy(town / "masks/train/train_0.png", town / f"masks/train/left_{number}.png")
    assert run(["data", "check", f"folder:{town}"]) == 1
    assert "and 5 more" in " ".join(capsys.readouterr().out.split())
    assert run(["data", "check", f"folder:{town}", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"]
    assert len(next(one for one in found if one["kind"] == "extra-mask")["files"]) == 9


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_any_width_will_do(town: Path, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    (town / "masks/train/train_1.png").unlink()
    assert run(["data", "check", f"folder:{town}"]) == 1


@pytest.mark.parametrize("name", ["[bold]x[/]", "caf\udce9", "a\x1b[31mb"])
def test_names_of_every_kind_are_printed(town: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        (town / f"images/train/{name}.jpg").write_bytes(b"")
    except OSError:
        pytest.skip("this file system has no such names")
    shutil.copy(town / "masks/train/train_0.png", town / f"masks/train/{name}.png")
    assert run(["data", "check", f"folder:{town}"]) == 1
    text = capsys.readouterr().out
    assert "\x1b[31m" not in text
    assert "empty files" in text
    assert run(["data", "check", f"folder:{town}", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"]


def test_the_copy_is_fixed_and_reported(town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (town / "masks/train/train_1.png").write_bytes(b"")
    assert run(["data", "check", f"folder:{town}", "--fix", str(tmp_path / "copy")]) == 1
    assert "corrected copy" in capsys.readouterr().out
    assert run(["data", "check", f"folder:{tmp_path / 'copy'}"]) == 0


def test_a_bad_place_for_the_copy_is_refused_first(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "check", f"folder:{town}", "--fix", str(town / "copy")]) == 2
    assert "--fix" in capsys.readouterr().err


def test_ctrl_c_ends_all_processes_quietly(town: Path) -> None:
    for number in range(400):
        for folder, suffix in (("images", "jpg"), ("masks", "png")):
            source = town / f"{folder}/train/train_{number % 8}.{suffix}"
            os.link(source, town / f"{folder}/train/more_{number:03}.{suffix}")
    command = [sys.executable, "-m", "fassd", "data", "check", f"folder:{town}", "--workers", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        time.sleep(2.0)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.splitlines()[-1:]) in ((130, "", ["fassd: interrupted"]), (0, out, []))
    assert "Traceback" not in err


@pytest.fixture
def broken_camvid(camvid_root: Path, tmp_path: Path) -> Path:
    """A CamVid with one mask of another size in each split."""
    root = Path(shutil.copytree(camvid_root, tmp_path / "camvid"))
    for split in ("train", "val"):
        mask = sorted((root / f"{split}annot").iterdir())[-1]
        Pillow.open(mask).resize((64, 48)).save(mask)
    return root


def test_training_refuses_at_once_what_would_fail_later(
    broken_camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(["train", "camvid", "--data", f"camvid:{broken_camvid}", "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "train_003.png: is 64x48 but its image train_003.png is 128x96" in said
    assert "fassd data check" in said
    assert not out.exists()


def test_evaluation_refuses_at_once_what_would_fail_later(
    broken_camvid: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(tiny_weights), "--data", f"camvid:{broken_camvid}"]) == 2
    said = capsys.readouterr().err
    assert "val_001.png: is 64x48" in said
    assert "fassd data check" in said
