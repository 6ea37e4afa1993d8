"""Pairs that files list, a line of image and mask for each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fassd.core.errors import DataError, MissingSplit
from fassd.data.open_dataset import open_dataset, splits_of

Listed = Callable[[str], str]


@pytest.fixture
def listed(tmp_path: Path, make_pairs: Callable[..., None]) -> Listed:
    """Writes two pairs and a list; gives the set's name."""

    def write(text: str) -> str:
        make_pairs(tmp_path / "seen", tmp_path / "marked", ["a", "b"], 3)
        (tmp_path / "train.csv").write_bytes(text.encode())
        (tmp_path / "dataset.toml").write_text('pairs = "{split}.csv"\nlabel_space = "cityscapes"\n')
        return f"folder:{tmp_path}"

    return write


@pytest.mark.parametrize(
    "text",
    [
        "seen/a.png,marked/a.png\nseen/b.png,marked/b.png\n",
        "# image,mask\n\nseen/a.png, marked/a.png\r\nseen/b.png,marked/b.png",
        '"seen/a.png","marked/a.png"\nseen/b.png,marked/b.png\n\n',
        "\ufeffseen/a.png,marked/a.png\n seen/b.png ,marked/b.png \n",
    ],
    ids=["plain", "comment, empty line, spaces", "quoted", "byte order mark"],
)
def test_a_file_of_lines_lists_the_pairs(tmp_path: Path, listed: Listed, text: str) -> None:
    dataset = open_dataset(listed(text), "train")
    assert [pair.name for pair in dataset.pairs] == ["train/seen/a", "train/seen/b"]
    assert [pair.mask for pair in dataset.pairs] == [tmp_path / "marked/a.png", tmp_path / "marked/b.png"]
    assert splits_of(f"folder:{tmp_path}") == ["train"]
    assert dataset[0].labels.shape == (96, 128)


@pytest.mark.parametrize(
    ("text", "kind", "named"),
    [
        ("seen/a.png\n", DataError, r"train\.csv: line 1 is 'seen/a\.png'; expected two paths"),
        ("seen/a.png,marked/a.png,1\n", DataError, "line 1 is .*; expected two paths"),
        ("seen/a.png marked/a.png\n", DataError, "line 1 is .*; expected two paths"),
        ("#\nseen/c.png,marked/c.png\n", DataError, r"line 2 names seen/c\.png, which is not a file below"),
        ("seen/a.png,marked/c.png\n", DataError, r"a\.png: has no mask: .*marked/c\.png was expected"),
        ("seen/a.png,marked/a.png\nseen/a.png,marked/b.png\n", DataError, r"has the stem of a\.png"),
        ("# nothing\n", MissingSplit, "lists no pairs"),
        ("", MissingSplit, "lists no pairs"),
    ],
    ids=["one path", "three paths", "a blank between", "no such image", "no such mask", "twice", "comments", "empty"],
)
def test_a_faulty_list_is_refused_with_the_line(listed: Listed, text: str, kind: type, named: str) -> None:
    with pytest.raises(kind, match=named):
        open_dataset(listed(text), "train")


@pytest.mark.parametrize("content", [b"\xff\xfe\xfa,\x80", b"a\0b,c\n", b'"never closed,\n'])
def test_a_list_of_other_bytes_is_refused_in_a_sentence(tmp_path: Path, listed: Listed, content: bytes) -> None:
    spec = listed("")
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"train\.csv") as caught:
        open_dataset(spec, "train")
    assert "\n" not in str(caught.value)


def test_a_missing_list_is_refused_and_those_there_are_offered(listed: Listed) -> None:
    with pytest.raises(MissingSplit, match=r"there is no val\.csv; there are: train$"):
        open_dataset(listed("seen/a.png,marked/a.png\n"), "val")
