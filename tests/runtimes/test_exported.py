"""The table of export formats, and what a missing package means for them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fassd.core.errors import MissingExtra
from fassd.runtimes import exported
from fassd.runtimes.exported import EXPORT_KINDS


def test_the_table_of_formats_is_as_documented() -> None:
    """The files of each, the precisions, and the packages with the extras that install them."""
    assert {row.name: (row.suffixes, row.precisions, row.packages) for row in EXPORT_KINDS.values()} == {
        "openvino": ((".xml", ".bin"), ("float32", "bfloat16", "int8"), (("nncf", "quantize"),)),
        "onnx": ((".onnx",), ("float32", "int8"), (("onnx", "onnx"), ("onnxruntime", "onnx"))),
        "torch": ((".pt2",), ("float32", "bfloat16"), (("torch", "torch"),)),
    }


@pytest.mark.parametrize("package", ["onnxruntime", "onnxruntime.quantization"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    monkeypatch.setattr(exported, "import_module", missing)
    with pytest.raises(MissingExtra, match=rf"export to onnx.*{package}|{package}.*fassd\[onnx\]"):
        EXPORT_KINDS["onnx"].open_alone(Path("net.onnx"), "float32")
    with pytest.raises(ModuleNotFoundError):
        EXPORT_KINDS["torch"].open_alone(Path("net.pt2"), "float32")


def test_formats_are_written_and_opened_by_their_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    module = SimpleNamespace(
        write=lambda *given: called.append(("write", *given)), open_alone=lambda *given: called.append(("open", *given))
    )
    monkeypatch.setattr(exported, "import_module", {EXPORT_KINDS["onnx"].module: module}.__getitem__)
    spec: Any = "spec"
    EXPORT_KINDS["onnx"].write(spec, Path("net.onnx"))
    EXPORT_KINDS["onnx"].open_alone(Path("net.onnx"), "int8")
    assert called == [("write", "spec", Path("net.onnx")), ("open", Path("net.onnx"), "int8")]
