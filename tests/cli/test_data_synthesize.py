"""`fassd data synthesize`: files on disk, and sentences where there can be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from fassd.cli.main import run
from fassd.data.open_dataset import open_dataset


def test_writes_images_and_says_what_is_in_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "streets"
    arguments = ["data", "synthesize", str(out), "--images", "1", "--size", "64x128", "--seed", "3", "--split", "val"]
    assert run(arguments) == 0
    assert len(list(out.rglob("*.png"))) == 5
    printed = capsys.readouterr().out
    assert "1 image of 64x128, split val" in printed
    assert "road" in printed

    assert run(arguments) == 0
    assert "1 image of 64x128, split val; already rendered: 1" in capsys.readouterr().out

    assert run([*arguments, "--seed", "4"]) == 2
    message = capsys.readouterr().err
    assert "of --images 1 --size 64x128 --seed 3 already; nothing is overwritten" in message
    assert len(message.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--size", "512", "give height x width"),
        ("--size", "-512x1024", "give height x width"),
        ("--size", "10x10", "the smallest is 64x128"),
        ("--size", "99999x99999", "the largest is 2048x4096"),
        ("--images", "0", "--images is 0"),
        ("--seed", "-5", "--seed is -5"),
        ("--split", "a/b", "--split is 'a/b'"),
    ],
)
def test_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, says: str
) -> None:
    assert run(["data", "synthesize", str(tmp_path / "out"), option, value]) == 2
    message = capsys.readouterr().err
    assert says in message
    assert len(message.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_second_split_joins_the_first_and_the_folder_says_whose_pictures_they_are(tmp_path: Path) -> None:
    common = ["data", "synthesize", str(tmp_path / "streets"), "--images", "1", "--size", "64x128"]
    assert run(common) == 0
    assert run([*common, "--split", "val", "--seed", "1"]) == 0
    terms = {open_dataset(f"cityscapes:{tmp_path / 'streets'}", split).terms for split in ("train", "val")}
    assert terms == {"rendered by fassd, free for any use"}
