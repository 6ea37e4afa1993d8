"""`fassd data show` and `fassd data init` as users call them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image as Pillow

Fassd = Callable[..., tuple[int, str, str]]


def test_a_sheet_says_where_it_is(fassd: Fassd, camvid_root: Path, tmp_path: Path) -> None:
    code, out, err = fassd("data", "show", f"camvid:{camvid_root}", "--split", "val", "--out", tmp_path / "a.png")
    assert (code, out, err) == (0, f"{tmp_path / 'a.png'}: 2 of 2 images, split val\n", "")


def test_damaged_frames_are_named_and_the_exit_code_says_so(
    fassd: Fassd, make_camvid: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_camvid(tmp_path / "set", {"val": 2})
    Pillow.new("L", (128, 96), 200).save(root / "valannot/val_001.png")
    code, _, err = fassd("data", "show", f"camvid:{root}", "--out", tmp_path / "a.jpg")
    assert code == 1
    assert err == "  val/val_001: val_001.png holds unknown values: 200\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "camvid:nowhere"), "nowhere: has no split with images"),
        (("show", "nowhere"), "expected kind:PATH"),
        (("show", "camvid:x", "--out", "a.bmp"), "must end in .png"),
        (("init", "nowhere"), "nowhere: there is no such folder"),
    ],
)
def test_bad_input_gets_one_sentence(
    fassd: Fassd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = fassd("data", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_check_writes_its_page(fassd: Fassd, make_camvid: Callable[..., Path], tmp_path: Path) -> None:
    root = make_camvid(tmp_path / "set", {"train": 2, "val": 1})
    Pillow.new("L", (128, 96), 200).save(root / "valannot/val_000.png")
    page = tmp_path / "page.html"
    code, out, _ = fassd("data", "check", f"camvid:{root}", "--workers", 1, "--html", page)
    assert code == 1
    assert f"{page}: the findings with images" in out
    assert "valannot/val_000.png" in page.read_text(encoding="utf-8")
    code, _, err = fassd("data", "check", f"camvid:{root}", "--html", tmp_path / "set/train/train_000.png/page.html")
    assert (code, "cannot be written" in err) == (2, True)
    code, out, _ = fassd("data", "check", f"camvid:{root}", "--workers", 1, "--html", page, "--json")
    assert json.loads(out)["errors"]


def test_a_draft_is_told_and_the_commands_it_offers_run(
    fassd: Fassd, make_pairs: Callable[..., None], tmp_path: Path
) -> None:
    root = tmp_path / "my set"
    for split in ("train", "val"):
        make_pairs(root / "images" / split, root / "masks" / split, [f"{split}_0", f"{split}_1"], 3)
    code, out, err = fassd("data", "init", root)
    assert (code, err) == (0, "")
    assert "splits   train 2, val 2" in out
    assert f"fassd data check 'folder:{root}'" in out
    assert fassd("data", "show", f"folder:{root}", "--out", tmp_path / "a.png")[0] == 0
    assert fassd("data", "check", f"folder:{root}")[0] in (0, 1)
    assert fassd("data", "init", root)[0] == 2
    assert fassd("data", "init", root, "--force")[:2] == (0, out)
