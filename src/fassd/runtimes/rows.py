"""The runtimes, one row each: the package, the files, the devices and the precisions of each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

AUTO = "auto"
PRECISIONS = ("float32", "bfloat16", "int8")
CHECKPOINT = ".safetensors"


@dataclass(frozen=True)
class RuntimeRow:
    """One way to execute a network.

    Attributes:
        name: what users type.
        package: that it needs.
        extra: of this project that installs the package; None if every installation has it.
        modules: that open its files, by the files' suffix; loaded on use.
        gpu: whether it runs on GPUs as well.
        precisions: that it computes in.
        summary: a few words for tables.
    """

    name: str
    package: str
    extra: str | None
    modules: dict[str, str]
    gpu: bool
    precisions: tuple[str, ...]
    summary: str

    @property
    def version(self) -> str | None:
        """Of its package; None if it is not installed."""
        try:
            return version(self.package) if find_spec(self.package) else None
        except (PackageNotFoundError, ValueError):  # ValueError: sys.modules holds None for it
            return None


@dataclass(frozen=True)
class RuntimeChoice:
    """A runtime chosen for a file.

    Attributes:
        row: the runtime.
        suffix: of the file, ".safetensors" for a checkpoint.
        device: "cpu", "cuda" or "cuda:N".
        precision: "float32", "bfloat16", or "auto" if the file decides.
        why: the reasons, for people.
        few_images: whether to compile nothing that only many images repay.
    """

    row: RuntimeRow
    suffix: str
    device: str
    precision: str
    why: str
    few_images: bool = False


_ROWS = (
    RuntimeRow(
        "openvino",
        "openvino",
        None,
        {CHECKPOINT: "fassd.runtimes.openvino", ".xml": "fassd.runtimes.openvino"},
        False,
        PRECISIONS,
        "the fastest on processors; the default",
    ),
    RuntimeRow(
        "onnx",
        "onnxruntime",
        "onnx",
        {CHECKPOINT: "fassd.runtimes.onnx", ".onnx": "fassd.runtimes.onnx"},
        False,
        ("float32", "int8"),
        "exported files as others run them",
    ),
    RuntimeRow(
        "pytorch",
        "torch",
        "torch",
        {CHECKPOINT: "fassd.runtimes.pytorch", ".pt2": "fassd.runtimes.torch_export"},
        True,
        ("float32", "bfloat16"),
        "the reference; the default on GPUs",
    ),
    RuntimeRow(
        "pytorch-compiled",
        "torch",
        "torch",
        {CHECKPOINT: "fassd.runtimes.pytorch"},
        True,
        ("float32", "bfloat16"),
        "compiled for one size of images, which takes a minute",
    ),
)

RUNTIMES = {row.name: row for row in _ROWS}


def weights_suffix(path: Path) -> str:
    """The suffix by which a file is opened: its own if a runtime opens such files, else a checkpoint's.

    A file without a known suffix is thus opened as a checkpoint, whose reader says what is wrong with it.
    """
    known = {suffix for row in RUNTIMES.values() for suffix in row.modules}
    return path.suffix.lower() if path.suffix.lower() in known else CHECKPOINT
