from __future__ import annotations

import pytest

from fassd.core.errors import (
    CheckpointError,
    DataError,
    FassdError,
    FileError,
    ImageError,
    MissingExtra,
    MissingSplit,
    UnknownName,
    UsageError,
)


@pytest.mark.parametrize(
    ("member", "parents"),
    [
        (UsageError, (FassdError, ValueError)),
        (UnknownName, (UsageError,)),
        (FileError, (FassdError,)),
        (ImageError, (FileError,)),
        (CheckpointError, (FileError,)),
        (DataError, (FileError,)),
        (MissingSplit, (DataError,)),
        (MissingExtra, (FassdError, ImportError)),
    ],
)
def test_every_error_has_its_place_in_the_family(member: type[Exception], parents: tuple[type[Exception], ...]) -> None:
    assert all(issubclass(member, parent) for parent in parents)


def test_an_unknown_name_is_offered_the_nearest_ones() -> None:
    error = UnknownName("fruit", "appel", ["pear", "apple", "maple"])
    assert str(error) == "there is no fruit named 'appel'; did you mean apple or maple?"


def test_a_name_like_no_other_lists_all_known_names() -> None:
    assert "known: pear, apple." in str(UnknownName("fruit", "zzz", ["pear", "apple"]))


def test_a_file_error_opens_with_the_file_and_keeps_both_parts() -> None:
    error = FileError("a/b.png", "is empty")
    assert str(error) == "a/b.png: is empty"
    assert (error.path.name, error.problem) == ("b.png", "is empty")


def test_a_missing_extra_says_what_to_install() -> None:
    assert "pip install 'fassd[torch]'" in str(MissingExtra("torch", "torch", "running a network"))
