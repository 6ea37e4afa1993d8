"""A .pt2 file can hold code; only what cannot is opened."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fassd.core.checkpoint import read_checkpoint, read_header
from fassd.core.errors import CheckpointError, UsageError
from fassd.networks.graph import CLASS_MAP
from fassd.runtimes.exported import EXPORT_KINDS, ExportSpec
from fassd.runtimes.open import open_runtime
from fassd.runtimes.torch_safety import header_of

pytestmark = pytest.mark.slow  # a program takes seconds to trace

Entries = dict[str, bytes]


@pytest.fixture(scope="module")
def program(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    EXPORT_KINDS["torch"].write(ExportSpec(read_checkpoint(tiny_weights), CLASS_MAP, "float32"), path)
    return path


def _altered(program: Path, out: Path, change: Callable[[Entries], object]) -> Path:
    """The program with its entries changed; `change` works on them by their names inside."""
    with zipfile.ZipFile(program) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"net/{name}", content)
    return out


def _edited(name: str, edit: Callable[[Any], object]) -> Callable[[Entries], None]:
    def change(entries: Entries) -> None:
        value = json.loads(entries[name])
        edit(value)
        entries[name] = json.dumps(value).encode()

    return change


def _first_node(model: Any) -> Any:
    return model["graph_module"]["graph"]["nodes"][0]


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("code in a file was run",)


def _saved_code() -> bytes:
    stream = io.BytesIO()
    torch.save((_Code(),), stream)
    return stream.getvalue()


MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"
EVIL = "__import__('os').system('true')"
STRANGE: dict[str, tuple[Callable[[Entries], object], str]] = {
    "no header": (lambda entries: entries.pop("extra/fassd"), "without a fassd header"),
    "a pickle beside": (lambda entries: entries.update({"data/constants/custom_obj_0": b"x"}), "custom_obj_0"),
    "pickled weights": (
        _edited(WEIGHTS, lambda config: next(iter(config["config"].values())).update(use_pickle=True)),
        "as a pickle",
    ),
    "weights elsewhere": (
        _edited(WEIGHTS, lambda config: next(iter(config["config"].values())).update(path_name="../x")),
        "as a pickle",
    ),
    "pickled sample": (lambda entries: entries.update({"data/sample_inputs/model.pt": _saved_code()}), "sample inputs"),
    "guards": (_edited(MODEL, lambda model: model.update(guards_code=[EVIL])), "holds code"),
    "a size that is code": (_edited(MODEL, lambda model: _first_node(model).update(expr_str=EVIL)), "the size"),
    "another operation": (
        _edited(MODEL, lambda model: _first_node(model).update(target="torch.ops.aten.from_file.default")),
        "from_file",
    ),
    "lists where tables belong": (
        lambda entries: entries.update({WEIGHTS: b"[]"}),
        "is not a .pt2 file, or is damaged",
    ),
    "a list for a program": (lambda entries: entries.update({MODEL: b"[]"}), "is not a .pt2 file, or is damaged"),
    "a program without a graph": (lambda entries: entries.update({MODEL: b"{}"}), "another version"),
    "a header of another version": (lambda entries: entries.update({"extra/fassd": b"{}"}), "another version"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_could_run_code_is_not_opened(program: Path, tmp_path: Path, name: str) -> None:
    change, complaint = STRANGE[name]
    with pytest.raises(CheckpointError, match=complaint):
        open_runtime(_altered(program, tmp_path / "net.pt2", change))


def test_the_same_file_unchanged_passes(program: Path, tmp_path: Path) -> None:
    assert header_of(_altered(program, tmp_path / "net.pt2", lambda entries: None)) == header_of(program)


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps(1)])
def test_what_is_no_program_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pt2").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not a \.pt2 file"):
        open_runtime(tmp_path / "net.pt2")


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_damaged_program_is_refused(program: Path, tmp_path: Path, place: float) -> None:
    data = bytearray(program.read_bytes())
    data[int(place * len(data))] ^= 1
    (tmp_path / "net.pt2").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        open_runtime(tmp_path / "net.pt2")


def test_a_program_says_what_it_is_and_names_no_file_of_the_machine_it_was_made_on(
    program: Path, tiny_weights: Path
) -> None:
    with open_runtime(program) as runtime:
        assert (runtime.name, runtime.precision, runtime.header) == ("pytorch", "float32", read_header(tiny_weights))
    with zipfile.ZipFile(program) as archive:
        assert not [name for name in archive.namelist() if str(Path.cwd()).encode() in archive.read(name)]


@pytest.mark.parametrize("asked", ["auto", "float32"])
def test_a_program_answers_in_its_own_precision_alone(program: Path, asked: str) -> None:
    with open_runtime(program, precision=asked) as runtime:
        assert runtime.precision == "float32"
    with pytest.raises(UsageError, match="computes in float32, not in bfloat16; omit --precision"):
        open_runtime(program, precision="bfloat16")


def test_a_program_that_fails_is_told_in_a_sentence(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(images: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shape '[1, 2]' is invalid")

    with open_runtime(program) as runtime:
        monkeypatch.setattr(runtime, "_program", broken)
        with pytest.raises(CheckpointError, match=r"pytorch cannot run it on an image of 96x64 .*is invalid"):
            runtime.segment(np.zeros((1, 64, 96, 3), np.uint8))
        monkeypatch.setattr(runtime, "_program", lambda images: torch.zeros(1, 3, 8, 12))
        with pytest.raises(CheckpointError, match="names 11 classes but predicts 3"):
            runtime.segment(np.zeros((1, 64, 96, 3), np.uint8))
