"""An interrupted rendering is resumed, and gives the same bytes as one that was not interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fassd.core.errors import FileError
from fassd.synthesis.record import prepare_folder
from fassd.synthesis.write import Streets, files_of_street
from fassd.tasks.synthesize import synthesize

STREETS = Streets(images=4, size=(64, 128), seed=5)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every file of a set made in one go, by its place."""
    out = tmp_path_factory.mktemp("whole")
    assert synthesize(out, STREETS).kept == 0
    return _files(out)


def _files(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def _images(out: Path) -> list[Path]:
    return sorted(out.glob("leftImg8bit/train/rendered/rendered_*.png"))


def _killed(out: Path) -> None:
    """Starts a rendering and kills it once an image is there."""
    command = [sys.executable, "-m", "fassd", "data", "synthesize", str(out), "--images", "4", "--size", "64x128"]
    with subprocess.Popen([*command, "--seed", "5"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not _images(out) and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    _killed(tmp_path)
    kept = {path: path.stat().st_mtime_ns for path in _images(tmp_path)}
    assert 1 <= len(kept) < STREETS.images
    # What a kill in the middle of a file leaves.
    (tmp_path / "gtFine/train/rendered/.rendered_000003_000019_gtFine_color-0123abcd.png").write_bytes(b"half")

    assert synthesize(tmp_path, STREETS).kept == len(kept)
    assert _files(tmp_path) == uninterrupted
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


@pytest.mark.parametrize(("kind", "damage"), [("image", "missing"), ("instanceIds", "cut")])
def test_a_street_that_lost_a_file_is_made_anew(
    tmp_path: Path, uninterrupted: dict[str, bytes], kind: str, damage: str
) -> None:
    for name, content in uninterrupted.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    lost = files_of_street(tmp_path, "train", 2)[kind]
    if damage == "missing":
        lost.unlink()
    else:
        lost.write_bytes(lost.read_bytes()[:-1])
    assert synthesize(tmp_path, STREETS).kept == STREETS.images - 1
    assert _files(tmp_path) == uninterrupted


@pytest.mark.parametrize(
    "other",
    [Streets(3, (64, 128), 5), Streets(5, (64, 128), 5), Streets(4, (72, 144), 5), Streets(4, (64, 128), 6)],
    ids=["fewer", "more", "size", "seed"],
)
def test_a_folder_made_from_other_values_is_refused(
    tmp_path: Path, uninterrupted: dict[str, bytes], other: Streets
) -> None:
    (tmp_path / "rendered_train.json").write_bytes(uninterrupted["rendered_train.json"])
    with pytest.raises(FileError, match=r"of --images 4 --size 64x128 --seed 5 already; nothing is overwritten: give "):
        synthesize(tmp_path, other)
    assert [path.name for path in tmp_path.iterdir()] == ["rendered_train.json"]


def test_another_version_does_not_resume(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    record = json.loads(uninterrupted["rendered_train.json"])
    (tmp_path / "rendered_train.json").write_text(json.dumps(record | {"program": "fassd 0.0.1"}))
    with pytest.raises(FileError, match=r"fassd \S+ may render differently than fassd 0\.0\.1"):
        synthesize(tmp_path, STREETS)


@pytest.mark.parametrize("content", ["", "[]", '{"streets": {"images": -1}, "program": ""}', "\xff"])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "rendered_train.json").write_text(content, encoding="latin-1")
    with pytest.raises(FileError, match=r"rendered_train\.json: is not a record"):
        synthesize(tmp_path, STREETS)


def test_streets_without_a_record_are_left_alone(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    (tmp_path / "terms.txt").write_bytes(uninterrupted["terms.txt"])
    (tmp_path / "gtFine/train").mkdir(parents=True)
    with pytest.raises(FileError, match=r"split 'train' without a record .* nothing is overwritten: remove "):
        synthesize(tmp_path, STREETS)


def test_records_of_earlier_versions_are_read(tmp_path: Path) -> None:
    record = '{"streets":{"images":4,"size":[64,128],"seed":5,"split":"train"},"program":"fassd 0.1.0"}\n'
    (tmp_path / "rendered_train.json").write_text(record)
    prepare_folder(tmp_path, STREETS, "fassd 0.1.0")
    assert json.loads((tmp_path / "rendered_train.json").read_text()) == json.loads(record)
    with pytest.raises(FileError, match=r"--images 4 --size 64x128 --seed 5 already"):
        prepare_folder(tmp_path, Streets(images=4, size=(64, 128), seed=6), "fassd 0.1.0")
