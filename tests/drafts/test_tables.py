"""Tables of classes in the forms that people keep beside their labels."""

from __future__ import annotations

from pathlib import Path

import pytest

from fassd.drafts.tables import class_tables


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("classes.txt", "road\ntraffic light\n", [("road", None, None), ("traffic light", None, None)]),
        ("classes.txt", "0 road\n1 wall", [("road", 0, None), ("wall", 1, None)]),
        ("names.txt", "class 3\nclass 4", [("class 3", None, None), ("class 4", None, None)]),
        ("palette.txt", "wall #0a0B0c", [("wall", None, (10, 11, 12))]),
        ("colormap.txt", "7 128 64 128 road", [("road", 7, (128, 64, 128))]),
        ("classes.csv", "Name;Id\nroad;3", [("road", 3, None)]),
        ("meta.json", '{"classes": [{"title": "road", "color": "#010203"}]}', [("road", None, (1, 2, 3))]),
        ("config.json", '{"labels": [{"name": "a--b", "color": [1, 2, 3]}]}', [("a--b", None, (1, 2, 3))]),
        ("british_labels.json", '[{"name": "road", "colour": [1, 2, 3], "grey": 4}]', [("road", 4, (1, 2, 3))]),
        ("label2id.json", '{"road": 0, "wall": 1}', [("road", 0, None), ("wall", 1, None)]),
        ("classes.json", '["road", "wall"]', [("road", 0, None), ("wall", 1, None)]),
        ("classes.json", "[" * 100_000, []),
        ("classes.csv", "name,r,g,b\nroad,300,0,0", [("road", None, None)]),
    ],
)
def test_tables_of_classes_are_read(
    tmp_path: Path, name: str, text: str, rows: list[tuple[str, int | None, tuple[int, int, int] | None]]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = [(row.name, row.value, row.color) for table in class_tables(tmp_path) for row in table.rows]
    assert found == rows
