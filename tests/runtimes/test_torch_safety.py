"""What a .pt2 archive may hold, on made archives: no program is traced."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from fassd.core.errors import CheckpointError
from fassd.runtimes import torch_safety
from fassd.runtimes.torch_safety import _OPERATIONS, _SIZE, _strings, header_of

MODEL = "models/model.json"
WEIGHTS, CONSTANTS = "data/weights/model_weights_config.json", "data/constants/model_constants_config.json"


def _config(**changes: Any) -> bytes:
    entry = {"path_name": "weight_0", "use_pickle": False, **changes}
    return json.dumps({"config": {"network.kernel": entry}}).encode()


SOUND = {
    MODEL: json.dumps(
        {
            "guards_code": [],
            "graph": [
                {"target": "torch.ops.aten.conv2d.default", "name": "anything goes"},
                {"expr_str": "Max(1, Symbol('s0', positive=True, integer=True))"},
                {"inner": [{"target": "_operator.floordiv", "sizes": [1, None, {"expr_str": "-12"}]}]},
            ],
        }
    ).encode(),
    WEIGHTS: _config(),
    CONSTANTS: _config(path_name="tensor_12"),
    "extra/fassd": b"the header",
    "data/weights/weight_0": b"1",
    "data/constants/tensor_12": b"2",
    "byteorder": b"little",
    "archive_version": b"0",
    ".data/version": b"3",
}


def _written(path: Path, entries: dict[str, bytes], root: str = "net") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{root}/{name}", content)
    return path


def _model(**changes: Any) -> dict[str, bytes]:
    return {MODEL: json.dumps({**json.loads(SOUND[MODEL]), **changes}).encode()}


def _sample(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data/sample_inputs/model.pt": b""},
        {"data/sample_inputs/model.pt": _sample((torch.zeros(2),))},
        _model(guards_code=None),
        _model(other="__import__('os')"),
    ],
)
def test_a_sound_archive_gives_its_header(tmp_path: Path, changes: dict[str, bytes]) -> None:
    assert header_of(_written(tmp_path / "net.pt2", SOUND | changes)) == b"the header"


@pytest.mark.parametrize("config", [WEIGHTS, CONSTANTS])
@pytest.mark.parametrize("changes", [{"use_pickle": True}, {"path_name": "../x"}, {"path_name": "weight_0.pt"}])
def test_pickled_or_foreign_weights_are_refused(tmp_path: Path, config: str, changes: dict[str, Any]) -> None:
    path = _written(tmp_path / "net.pt2", SOUND | {config: _config(**changes)})
    with pytest.raises(
        CheckpointError, match=r"holds the weights network\.kernel as a pickle, which .* could run code"
    ):
        header_of(path)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"data/weights/other": b""}, "holds the entry data/weights/other, which"),
        ({"data/weights/weight_0x": b""}, "holds the entry data/weights/weight_0x, which"),
        ({"data/sample_inputs/model.pt": b"no archive"}, "holds sample inputs as a pickle"),
        ({"data/sample_inputs/model.pt": _sample(Path)}, "holds sample inputs as a pickle"),
        (_model(guards_code=["x"]), "holds code, which"),
        (_model(expr_str="f()"), r"holds the size f\(\), which"),
        (_model(expr_str="x" * 99), f"holds the size {'x' * 60}, which"),
        (
            _model(target="torch.ops.aten.from_file.default"),
            r"holds the operation torch\.ops\.aten\.from_file\.default,",
        ),
        (_model(target="y" * 99), f"holds the operation {'y' * 60}, which"),
        (_model(inner=[[{"deep": {"target": "os.system"}}]]), r"holds the operation os\.system"),
        (_model(target=["eval"]), "holds the operation eval"),
    ],
)
def test_what_could_run_code_is_refused(tmp_path: Path, changes: dict[str, bytes], complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        header_of(_written(tmp_path / "net.pt2", SOUND | changes))


def test_archives_without_a_header_or_with_two_roots_are_foreign(tmp_path: Path) -> None:
    bare = {name: content for name, content in SOUND.items() if name != "extra/fassd"}
    two = _written(tmp_path / "two.pt2", SOUND)
    with zipfile.ZipFile(two, "a") as archive:
        archive.writestr("other/data/weights/weight_1", b"")
    for path in (_written(tmp_path / "bare.pt2", bare), two):
        with pytest.raises(CheckpointError, match="is a program without a fassd header"):
            header_of(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = _written(tmp_path / "net.pt2", SOUND)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"net/{MODEL}", b"{}")
    with pytest.raises(CheckpointError, match="holds the entry twice, which"):
        header_of(path)


@pytest.mark.parametrize(
    "changes",
    [{WEIGHTS: b"[]"}, {WEIGHTS: b"{"}, {WEIGHTS: b"{}"}, {MODEL: b"[]"}, {CONSTANTS: b'{"config": {"a": []}}'}],
)
def test_contents_of_another_shape_are_damage(tmp_path: Path, changes: dict[str, bytes]) -> None:
    with pytest.raises(CheckpointError, match=r"is not a \.pt2 file, or is damaged \(.*\); export it again"):
        header_of(_written(tmp_path / "net.pt2", SOUND | changes))


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pt2").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not a \.pt2 file, or is damaged"):
        header_of(tmp_path / "net.pt2")


def test_a_changed_byte_is_damage(tmp_path: Path) -> None:
    path = _written(tmp_path / "net.pt2", SOUND)
    path.write_bytes(path.read_bytes().replace(b"the header", b"the heaDer"))
    with pytest.raises(CheckpointError, match=r"net\.pt2.*is damaged; export it again"):
        header_of(path)


def test_an_archive_that_unpacks_to_more_than_the_largest_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert torch_safety._LARGEST == 1024**3
    path = _written(tmp_path / "net.pt2", SOUND)
    size = sum(map(len, SOUND.values()))
    monkeypatch.setattr(torch_safety, "_LARGEST", size)
    assert header_of(path) == b"the header"
    monkeypatch.setattr(torch_safety, "_LARGEST", size - 1)
    with pytest.raises(CheckpointError, match="is damaged; export it again"):
        header_of(path)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Symbol('s0', positive=True, integer=True)", True),
        ("Add(Integer(-3), Mul(2, Symbol('u12', positive=True, integer=True)))", True),
        ("", True),
        ("Symbol('x0', positive=True, integer=True)", False),
        ("Add(1).__class__", False),
        ("Pow(2, 3)", False),
    ],
)
def test_sizes_are_sums_and_products_of_sides(text: str, safe: bool) -> None:
    assert bool(_SIZE.fullmatch(text)) == safe


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("_operator.add", True),
        ("torch.ops.aten.relu_.default", True),
        ("torch.ops.aten.relu_.default.x", False),
        ("_operator.attrgetter", False),
        ("torch.ops.aten.save.default", False),
        ("torch_ops.aten.relu.default", False),
    ],
)
def test_only_operations_of_networks_are_safe(name: str, safe: bool) -> None:
    assert bool(_OPERATIONS.fullmatch(name)) == safe


def test_every_string_is_found_with_its_key() -> None:
    value = {"a": "1", "b": [{"c": "2"}, "3", ["4"]], "d": {"e": {"f": "5"}}, "g": 6, "h": None}
    assert list(_strings(value)) == [("a", "1"), ("c", "2"), ("b", "3"), ("b", "4"), ("f", "5")]
