"""Files, patterns and folders become pictures in a stable order, each with a name of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fassd.core.errors import FileError, UsageError
from fassd.media.formats import SUFFIXES
from fassd.media.source import find_images

TREE = [
    "b.JPG",
    "a.png",
    "notes.txt",
    ".hidden.png",
    "day/c.jpeg",
    "day/v1.2.webp",
    "day/deep/d.tif",
    ".cache/e.png",
    "odd[1].jpg",
    "empty/keep.txt",
]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in TREE:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["a.png"], ["a"]),
        (["b.JPG", "a.png"], ["b", "a"]),  # the sources' order is kept
        (["notes.txt"], ["notes"]),  # a file named outright is taken at its word
        ([".hidden.png"], [".hidden"]),
        (["day"], ["c", "deep/d", "v1.2"]),
        (["day/"], ["c", "deep/d", "v1.2"]),
        (["."], ["a", "b", "day/c", "day/deep/d", "day/v1.2", "odd[1]"]),
        (["day", "a.png"], ["c", "deep/d", "v1.2", "a"]),
        (["*.png"], ["a"]),
        (["*"], ["a", "b", "odd[1]"]),  # without notes.txt and the folders
        (["day/*"], ["c", "v1.2"]),
        (["*/*.jpeg"], ["day/c"]),
        (["**/*.tif"], ["day/deep/d"]),
        (["day/**"], ["c", "deep/d", "v1.2"]),
        (["./day/../day/d*/*.tif"], ["deep/d"]),
        (["odd[1].jpg"], ["odd[1]"]),  # a file, although it looks like a pattern
        (["[ab].*"], ["a", "b"]),
        (["a.png", "./a.png", "*.png"], ["a"]),  # one file, found three times
    ],
)
def test_sources_become_names(tree: Path, sources: list[str], names: list[str]) -> None:
    found = find_images(sources)
    assert [picture.relative.as_posix() for picture in found] == names
    assert all(picture.path.is_file() for picture in found)


def test_absolute_sources_have_names_below_them(tree: Path) -> None:
    for source in (f"{tree}/day", f"{tree}/day/**/*.*"):
        names = {picture.relative.as_posix() for picture in find_images([source])}
        assert names == {"c", "deep/d", "v1.2"}
    assert [picture.relative for picture in find_images([f"{tree}/day/c.jpeg"])] == [Path("c")]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("a.pgn", "^a.pgn: does not exist; did you mean 'a.png'?"),
        ("B.jpeg", "did you mean 'b.JPG'?"),
        ("dya", "did you mean 'day'?"),
        ("entirely different", "does not exist; check the name"),
        ("dya/c.jpeg", "does not exist, nor does the folder dya"),
        ("empty", r"holds other files but no images; looked for names ending in .*\.jpg.*\.png"),
        ("void", "holds no files; looked for"),
        ("*.bmp", "matches no files; looked for"),
        ("*.txt", "matches other files but no images; looked for"),
        ("x" * 300, "cannot be reached .*too long"),
    ],
)
def test_sources_without_images_are_refused(tree: Path, source: str, reason: str) -> None:
    (tree / "void").mkdir()
    with pytest.raises(FileError, match=reason):
        find_images(["a.png", source])


@pytest.mark.parametrize("sources", [[], [""], ["a.png", ""]])
def test_no_source_is_refused(tree: Path, sources: list[str]) -> None:
    with pytest.raises(UsageError, match="no source is given"):
        find_images(sources)


@pytest.mark.parametrize(
    ("names", "sources"),
    [
        (["x.png", "x.jpg"], ["x.png", "x.jpg"]),
        (["x.png", "x.jpg"], ["."]),
        (["one/x.png", "two/x.png"], ["one", "two"]),
        (["one/x.png", "two/x.png"], ["one/x.png", "two/*.png"]),
    ],
)
def test_two_images_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], sources: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    with pytest.raises(UsageError, match="would both be written as 'x'") as caught:
        find_images(sources)
    assert all(str(Path(name)) in str(caught.value) for name in names)


def test_one_file_named_in_two_ways_counts_once(tree: Path) -> None:
    assert len(find_images(["a.png", f"{tree}/a.png", "day/../a.png"])) == 1


def test_linked_folders_below_a_folder_are_not_followed(tree: Path) -> None:
    (tree / "day" / "circle").symlink_to(tree)
    assert len(find_images(["day"])) == 3


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_a_folder_that_cannot_be_listed_is_refused(tree: Path) -> None:
    (tree / "day" / "deep").chmod(0)
    with pytest.raises(FileError, match="cannot be listed"):
        find_images(["day"])


@given(
    names=st.sets(st.lists(st.text("ab1", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join), max_size=6),
    suffix=st.sampled_from(sorted(SUFFIXES)),
)
def test_a_folder_gives_each_image_once_and_in_order(
    names: set[str], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("folder")
    for name in {*names, "always"}:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / f"{name}{suffix}").touch()
    found = find_images([str(root)])
    assert {picture.relative.as_posix() for picture in found} == {*names, "always"}
    assert [picture.path for picture in found] == sorted(picture.path for picture in found)
    assert all(picture.path == root / f"{picture.relative}{suffix}" for picture in found)
