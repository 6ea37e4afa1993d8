"""Reads tables of classes as found beside masks: CSV, lines of text, JSON."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fassd.data.mask_encoding import Color

_PROMISING = re.compile(
    r"class|label|colou?r|palette|categor|names|id2|meta|config|legend|ontology|objectinfo", re.IGNORECASE
)
_SUFFIXES = (".csv", ".txt", ".tsv", ".json", ".names")
_MAX_BYTES, _MAX_ROWS, _MAX_DEPTH = 1_000_000, 1000, 2
_NAME_KEYS = ("readable", "name", "class", "class_name", "classname", "label", "title", "category", "class_names")
_ID_KEYS = re.findall(
    r"[\w ]+", "id,trainid,train_id,value,pixel value,index,idx,class_id,classid,label_id,pixel,gray,grey"
)
_LABELME_IGNORED = "__ignore__"
_COLOR_KEYS = ("color", "colour", "rgb", "hex")


@dataclass(frozen=True)
class Row:
    """A class of a table: its name, and its mask value and color if given."""

    name: str
    value: int | None
    color: Color | None


@dataclass(frozen=True)
class Table:
    """A file of classes."""

    path: Path
    rows: tuple[Row, ...]


def class_tables(root: Path) -> list[Table]:
    """Every file at most 2 folders deep that reads as a table of classes, in the order of their names."""
    found = []
    for path in _candidates(root):
        try:
            text = path.read_text(encoding="utf-8-sig")
            rows = _from_json(json.loads(text)) if path.suffix.lower() == ".json" else _from_lines(text)
        except (OSError, ValueError, RecursionError, csv.Error):
            continue
        rows = [row for row in rows if row.name][:_MAX_ROWS]
        if rows:
            found.append(Table(path, tuple(rows)))
    return found


def _candidates(root: Path) -> Iterator[Path]:
    for place, below, names in os.walk(root):
        deep = len(Path(place).relative_to(root).parts)
        below[:] = sorted(name for name in below if name[0] != ".") if deep < _MAX_DEPTH else []
        for name in sorted(names):
            path = Path(place, name)
            promising = path.suffix.lower() in _SUFFIXES and _PROMISING.search(path.stem)
            if promising and path.is_file() and path.stat().st_size <= _MAX_BYTES:
                yield path


def _from_lines(text: str) -> list[Row]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "//"))]
    if not lines:
        return []
    header = [field.strip().strip('"').lower() for field in re.split(r"[,\t;]", lines[0])]
    if len(header) > 1 and any(field in _NAME_KEYS for field in header):
        separator = next(mark for mark in ",\t;" if mark in lines[0])
        records = csv.DictReader(lines[1:], fieldnames=header, delimiter=separator, skipinitialspace=True)
        return [row for record in records if (row := _from_record(record)) is not None]
    rows = [_from_words(line) for line in lines]
    if rows[0].name == _LABELME_IGNORED and all(row.value is None for row in rows):
        # LabelMe's exports count from -1, which becomes 255 in 8 bits.
        return [replace(row, value=place % 256) for place, row in enumerate(rows, -1)]
    return rows


def _from_words(line: str) -> Row:
    """A line of a table without a header: numbers are value and color, the rest is the name.

    Three numbers are a color, four a value and a color, one is a value if it stands first. CVAT's lines are
    "name:128,64,128:parts:actions".
    """
    fields = [field for field in re.split(r"[,\t;:|\s]+", line.strip()) if field]
    numbers = [int(field) for field in fields if re.fullmatch(r"\d{1,5}", field)]
    hexadecimal = next((field for field in fields if re.fullmatch("#[0-9a-fA-F]{6}", field)), None)
    color = _color(numbers[-3:]) if len(numbers) in (3, 4) else _color(hexadecimal)
    leading = len(numbers) == 4 or (len(numbers) == 1 and fields[0].isdigit())
    spent = leading or len(numbers) == 3  # else a number belongs to the name, as in "class 3"
    words = (field.strip("\"'") for field in fields if not (spent and field.isdigit()) and field != hexadecimal)
    return Row(" ".join(words), numbers[0] if leading else None, color)


def _from_json(data: Any) -> list[Row]:
    """Lists of names or records, also under a key such as "labels"; also {"0": "road"} and {"road": 0}."""
    if isinstance(data, dict):
        for key in ("classes", "labels", "categories", "names", "id2label", "label2id", "objects"):
            if isinstance(data.get(key), list | dict):
                return _from_json(data[key])
        rows = []
        for key, value in data.items():
            if isinstance(value, str) and str(key).isdigit():
                rows.append(Row(value, int(key), None))
            elif isinstance(value, int):
                rows.append(Row(str(key), value, None))
            elif isinstance(value, list) and _color(value):
                rows.append(Row(str(key), None, _color(value)))
        return rows
    if not isinstance(data, list):
        return []
    if all(isinstance(one, str) for one in data):
        return [Row(one, place, None) for place, one in enumerate(data)]
    return [row for one in data if isinstance(one, dict) and (row := _from_record(one)) is not None]


def _from_record(record: dict[Any, Any]) -> Row | None:
    """A record with known keys; None without a name."""
    known = {str(key).strip().lower(): value for key, value in record.items() if key is not None}
    name = next((str(known[key]).strip() for key in _NAME_KEYS if known.get(key)), "")
    value = next((number for key in _ID_KEYS if (number := _number(known.get(key))) is not None), None)
    color = _color([known.get(key, known.get(key[0])) for key in ("red", "green", "blue")])
    color = color or next((found for key in _COLOR_KEYS if (found := _color(known.get(key)))), None)
    return Row(name, value, color) if name else None


def _number(value: Any) -> int | None:
    text = str(value).strip()
    return int(text) if re.fullmatch(r"\d{1,5}", text) else None


def _color(value: Any) -> Color | None:
    """Three numbers of 0..255, as a list, as "128, 64, 128" or as "#804080"."""
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value.strip()):
        digits = value.strip()[1:]
        value = [int(digits[place : place + 2], 16) for place in (0, 2, 4)]
    if isinstance(value, str):
        value = re.findall(r"\d+", value)
    numbers = [_number(one) for one in value] if isinstance(value, list) else []
    if len(numbers) != 3 or any(number is None or number > 255 for number in numbers):
        return None
    red, green, blue = (number or 0 for number in numbers)
    return red, green, blue
