"""The page of a check: complete, self-contained, harmless whatever files are called, and small."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image as Pillow

from fassd.checks.check import CheckResult, check_dataset
from fassd.checks.findings import FINDING_KINDS, Finding
from fassd.checks.page import write_page

EVIL = '<script>alert("1")</script>&amp;\u202e\n'
DESCRIPTION = """
[[classes]]
name = "<b>way</b>"
color = [1, 2, 3]
[[classes]]
name = "wall"
color = [4, 5, 6]
[[classes]]
name = "tree"
color = [7, 8, 9]
"""
VOID = {"meta", "img", "!doctype"}


class _Reader(HTMLParser):
    """Tags, attributes, text, and whether every tag is closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def close(self) -> None:
        super().close()
        assert not self._open


def read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    return reader


def sources(page: _Reader) -> list[str]:
    return [value for name, value in page.attributes if name == "src"]


@pytest.fixture
def root(tmp_path: Path, make_folder: Callable[..., Path]) -> Path:
    """A set with a fault of each look: unknown values, another size, no mask, no image."""
    root = make_folder(tmp_path / "set", DESCRIPTION, {"train": ["a", "b", "c", "d"], "val": ["e"]})
    Pillow.new("L", (128, 96), 77).save(root / "masks/train/a.png")
    Pillow.new("L", (64, 48), 1).save(root / "masks/train/b.png")
    (root / "masks/train/c.png").rename(root / "masks/train/z.png")
    return root


@pytest.fixture
def checked(root: Path) -> CheckResult:
    """Its check."""
    return check_dataset(f"folder:{root}")


def test_the_page_tells_every_finding(checked: CheckResult, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", checked)
    page = read(tmp_path / "page.html")
    assert f"{len(checked.errors)} errors" in page.text
    for one in checked.findings:
        for said in (one.kind.title, one.found, one.expected, one.fix, *(path.name for path in one.files)):
            assert " ".join(said.split()) in " ".join(page.text.split())
    for summary in checked.splits:
        assert summary.split in page.text


def test_a_clean_set_is_told_so(checked: CheckResult, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", replace(checked, findings=()))
    assert "Nothing was found" in read(tmp_path / "page.html").text


def test_nothing_comes_from_elsewhere(checked: CheckResult, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", checked)
    page = read(tmp_path / "page.html")
    assert sources(page)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources(page))
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert all(value.startswith("#") for name, value in page.attributes if name == "href")
    assert "url(" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_pictures_are_drawn_at_the_size_stated(checked: CheckResult, tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", checked)
    tags = re.findall(r'<img src="[^,]*,([^"]*)" width="(\d+)" height="(\d+)"', (tmp_path / "page.html").read_text())
    for data, width, height in tags:
        assert Pillow.open(io.BytesIO(base64.b64decode(data))).size == (int(width), int(height))


def test_names_cannot_change_the_page(checked: CheckResult, tmp_path: Path) -> None:
    kind = FINDING_KINDS["unknown-values"]
    bad = Finding(kind, EVIL, (Path(EVIL), Path("a\udcffb")), EVIL, EVIL, EVIL, related_file=Path(EVIL))
    one = replace(bad, related_file=None, files=(Path(EVIL), Path(EVIL)))
    write_page(tmp_path / "page.html", replace(checked, findings=(bad, one)))
    page = read(tmp_path / "page.html")
    assert "script" not in page.tags
    assert 'alert("1")' in page.text
    assert "<b>way</b>" in page.text
    assert "\u202e" not in page.text


def test_a_leak_shows_both_frames(checked: CheckResult, root: Path, tmp_path: Path) -> None:
    frames = root / "images/train/d.png", root / "images/val/e.png"
    leak = Finding(FINDING_KINDS["leak"], "train", frames[:1], "the picture of val", "one", "take one out", frames[1])
    write_page(tmp_path / "page.html", replace(checked, findings=(leak,)))
    page = read(tmp_path / "page.html")
    assert [value for name, value in page.attributes if name == "alt"] == ["train/d.png", "val/e.png"]


def test_thousands_of_findings_stay_small_and_are_counted(checked: CheckResult, root: Path, tmp_path: Path) -> None:
    masks = tuple(sorted((root / "masks/train").iterdir())) * 300
    findings = tuple(
        Finding(kind, "train", masks, f"the values {number}", "0-2", "correct the masks")
        for kind in list(FINDING_KINDS.values())[:12]
        for number in range(400)
    )
    write_page(tmp_path / "page.html", replace(checked, findings=findings))
    page = read(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 5_000_000
    assert "370 more findings of this kind are omitted" in page.text
    assert page.text.count(f" of {400 * len(masks):,} files are shown as images") == 12
    assert f"and {len(masks) - 1:,} more" in page.text
    assert 12 <= page.attributes.count(("class", "three")) <= 12 * 4


def test_damaged_files_are_drawn_as_far_as_they_go(checked: CheckResult, root: Path, tmp_path: Path) -> None:
    (root / "images/train/d.png").write_bytes(b"")
    (root / "masks/train/z.png").write_bytes(b"")
    gone = root / "images/train/none.png"
    files = (root / "images/train/d.png", root / "masks/train/z.png", root / "images/train/c.png", gone)
    findings = tuple(Finding(FINDING_KINDS["empty-file"], "train", (file,), "0", "1", "2") for file in files)
    write_page(tmp_path / "page.html", replace(checked, findings=findings))
    page = read(tmp_path / "page.html")
    assert [value for name, value in page.attributes if name == "alt"] == ["mask", "as stored"]
