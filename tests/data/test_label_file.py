"""Classes of one's own, named in a TOML file."""

from __future__ import annotations

from pathlib import Path

import pytest

from fassd.core.errors import FassdError, FileError
from fassd.data.label_file import read_label_space

CLASSES = '[[classes]]\nname = "way"\ncolor = [1, 2, 3]\n[[classes]]\nname = "wall"\ncolor = [4, 5, 6]\n'


@pytest.mark.parametrize(("opening", "name"), [("", "mine"), ('name = "two"\n', "two")])
def test_classes_are_numbered_in_the_order_of_the_file(tmp_path: Path, opening: str, name: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(opening + CLASSES)
    space = read_label_space(path)
    assert space.name == name
    assert space.names == ("way", "wall")
    assert [label.label_id for label in space.classes] == [0, 1]


def test_the_description_of_a_data_set_will_do(tmp_path: Path) -> None:
    path = tmp_path / "dataset.toml"
    path.write_text('name = "three"\nimages = "img/*"\nignore = 9\n' + CLASSES)
    assert len(read_label_space(path)) == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "classes"),
        ("classes = []", "classes"),
        ("not TOML", "TOML"),
        (CLASSES.replace("wall", "way"), "twice"),
        (CLASSES.replace("6]", "256]"), "color"),
        (CLASSES + "id = 4\n", "id"),
    ],
)
def test_a_wrong_file_is_refused_and_the_fault_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(FassdError, match=named):
        read_label_space(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"missing\.toml"):
        read_label_space(tmp_path / "missing.toml")
