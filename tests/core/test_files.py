from __future__ import annotations

import os
from pathlib import Path

import pytest

from fassd.core.errors import FileError
from fassd.core.files import check_writable, written_whole


def test_the_file_appears_under_its_name_and_nothing_else_does(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "note.txt"
    with written_whole(out) as temporary:
        temporary.write_text("new")
        assert not out.exists()
    assert out.read_text() == "new"
    assert list(out.parent.iterdir()) == [out]


def test_a_failure_in_the_middle_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "note.txt"
    out.write_text("old")
    with pytest.raises(RuntimeError, match="halfway"), written_whole(out) as temporary:
        temporary.write_text("half")
        raise RuntimeError("halfway")
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_the_temporary_name_keeps_the_suffix_and_lies_beside(tmp_path: Path) -> None:
    with written_whole(tmp_path / "note.txt") as temporary:
        assert (temporary.suffix, temporary.parent) == (".txt", tmp_path)
        temporary.touch()


def test_the_file_is_as_readable_as_the_user_wants_files_to_be(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with written_whole(tmp_path / "note.txt") as temporary:
            temporary.write_text("new")
    finally:
        os.umask(old)
    assert (tmp_path / "note.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(FileError, match=r"file/note\.txt: cannot be written"),
        written_whole(tmp_path / "file/note.txt"),
    ):
        pytest.fail("the block must not run")


def test_a_name_that_a_folder_has_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FileError, match="taken: cannot be written"), written_whole(tmp_path / "taken") as temporary:
        temporary.write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_whether_a_file_can_be_written_is_checked_without_a_trace(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("old")
    check_writable(tmp_path / "note.txt")
    check_writable(tmp_path / "deep" / "er" / "note.txt")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("note.txt", "old")]
    for impossible in (tmp_path / "note.txt" / "x", tmp_path / "note.txt" / "deep" / "x", Path("/proc/x/y")):
        with pytest.raises(FileError, match="cannot be written"):
            check_writable(impossible)
