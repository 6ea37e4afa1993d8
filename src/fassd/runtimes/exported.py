"""The formats that networks are exported to, one row each, and what their writers and files have in common.

An exported file is judged as others will run it: read from disk and executed by its library alone, without the faster
ways that `open_runtime` has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fassd.core.arrays import Images
from fassd.core.checkpoint import Checkpoint
from fassd.core.errors import MissingExtra

Array = np.ndarray[Any, Any]

LayerMaps = dict[str, Array]
"""The output of each convolution after its BatchNorm layer, by the name of its weights, in the order of computation:
(N, channels, height, width). Where a graph computes a convolution in two halves, this is their sum."""

Facts = dict[str, Any]
"""Facts about a written file for its report, by name."""


class ExportedFile(Protocol):
    """A file of a network, executed by its library alone."""

    def run(self, images: Images) -> Array:
        """The file's output: (N, H, W) class maps or (N, classes, h, w) logits.

        Args:
            images: (N, H, W, 3) uint8 RGB.
        """
        ...

    def layers(self, images: Images) -> LayerMaps:
        """The maps of its layers for images; empty if the file's layers have no names."""
        ...


@dataclass(frozen=True)
class AccuracyBound:
    """How much int8 may cost; layers that cost more stay in floating point.

    Attributes:
        score: of a file that ends in logits, for example its mean IoU (0 to 1) on labeled images; higher is better.
        largest_drop: of that score, compared with the network in floating point.
    """

    score: Callable[[ExportedFile], float]
    largest_drop: float


@dataclass(frozen=True)
class ExportSpec:
    """What is to be written.

    Attributes:
        checkpoint: header and weights of a complete network.
        ending: `graph.LOGITS` or `graph.CLASS_MAP`.
        precision: "float32", "bfloat16" or "int8".
        calibration: for int8, the images that ranges are measured on, (1, H, W, 3) uint8 each.
        bound: for int8, how much it may cost; None: no bound.
    """

    checkpoint: Checkpoint
    ending: str
    precision: str
    calibration: Sequence[Images] = ()
    bound: AccuracyBound | None = None


@dataclass(frozen=True)
class ExportKind:
    """One format of exported files.

    Attributes:
        name: what users type.
        module: loaded on use; it has `write(spec, path)` and `open_alone(path, precision)`.
        suffixes: of the files that belong together; users name the first.
        precisions: that it can be written in.
        packages: (package, extra that installs it) for what writing and executing need.
        instead: what to do if a precision is not supported.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    precisions: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]
    instead: str

    def write(self, spec: ExportSpec, path: Path) -> Facts:
        """Writes the file or files, and returns facts about them.

        Raises:
            MissingExtra: a package is not installed.
            FileError: the folder cannot be written.
        """
        facts: Facts = self._call("write", spec, path)
        return facts

    def open_alone(self, path: Path, precision: str) -> ExportedFile:
        """Opens a written file as others will run it.

        Args:
            path: the first of its files.
            precision: that it was written in. Where the library lets the caller choose, it computes in this one.
        """
        opened: ExportedFile = self._call("open_alone", path, precision)
        return opened

    def _call(self, name: str, *arguments: object) -> Any:
        try:
            return getattr(import_module(self.module), name)(*arguments)
        except ModuleNotFoundError as error:
            extra = dict(self.packages).get(str(error.name).partition(".")[0])
            if extra is None:
                raise
            raise MissingExtra(str(error.name), extra, f"export to {self.name}") from None


_ROWS = (
    ExportKind(
        "openvino",
        "fassd.runtimes.openvino_export",
        (".xml", ".bin"),
        ("float32", "bfloat16", "int8"),
        (("nncf", "quantize"),),
        "",
    ),
    ExportKind(
        "onnx",
        "fassd.runtimes.onnx_export",
        (".onnx",),
        ("float32", "int8"),
        (("onnx", "onnx"), ("onnxruntime", "onnx")),
        "ONNX Runtime computes convolutions on CPUs in float32 or int8; for bfloat16 use --to openvino",
    ),
    ExportKind(
        "torch",
        "fassd.runtimes.torch_export",
        (".pt2",),
        ("float32", "bfloat16"),
        (("torch", "torch"),),
        "for int8 use --to openvino or --to onnx",
    ),
)

EXPORT_KINDS = {row.name: row for row in _ROWS}
