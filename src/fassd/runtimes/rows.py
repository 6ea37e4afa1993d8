"""The runtimes, one row each: what each needs, can do, and when it is picked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

AUTO = "auto"
PRECISIONS = ("float32", "bfloat16", "int8")
CHECKPOINT = ".safetensors"


@dataclass(frozen=True)
class RuntimeRow:
    """One way to execute a network.

    Attributes:
        name: what users type.
        module: that opens files for it; loaded on use.
        package: that it needs.
        extra: of this project that installs the package; None where every installation has it.
        suffixes: of the files it opens.
        gpu: whether it runs on GPUs too.
        precisions: it computes in.
        summary: a few words for tables.
    """

    name: str
    module: str
    package: str
    extra: str | None
    suffixes: tuple[str, ...]
    gpu: bool
    precisions: tuple[str, ...]
    summary: str

    @property
    def version(self) -> str | None:
        """Of its package; None where that is not installed."""
        try:
            return version(self.package) if find_spec(self.package) else None
        except (PackageNotFoundError, ValueError):  # ValueError: a module that was switched off
            return None


_ROWS = (
    RuntimeRow(
        "openvino",
        "fassd.runtimes.openvino",
        "openvino",
        None,
        (CHECKPOINT, ".xml"),
        False,
        PRECISIONS,
        "the fastest on processors; the default",
    ),
    RuntimeRow(
        "onnx",
        "fassd.runtimes.onnx",
        "onnxruntime",
        "onnx",
        (CHECKPOINT, ".onnx"),
        False,
        ("float32", "int8"),
        "exported files as others run them",
    ),
    RuntimeRow(
        "pytorch",
        "fassd.runtimes.pytorch",
        "torch",
        "torch",
        (CHECKPOINT, ".pt2"),
        True,
        ("float32", "bfloat16"),
        "the reference; the default on GPUs",
    ),
    RuntimeRow(
        "pytorch-compiled",
        "fassd.runtimes.pytorch",
        "torch",
        "torch",
        (CHECKPOINT,),
        True,
        ("float32", "bfloat16"),
        "compiled for one size of images, which takes a minute",
    ),
)

RUNTIMES = {row.name: row for row in _ROWS}
