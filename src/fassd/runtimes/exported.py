"""The kinds of files that networks are exported to, one row each, and what each can be asked.

An exported file is judged as others will run it: by its library alone, from its own bytes, whatever `open_runtime`
would do faster with it.
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
"""What each convolution gives, its norm included, by the name of its weights, in the order of computation:
(N, channels, height, width). Halves of a convolution that a graph computes apart are added up."""


Facts = dict[str, Any]
"""What is worth telling about a written file, by name, for a report."""


class ExportedFile(Protocol):
    """A file of a network, executed by its library alone."""

    def answer(self, images: Images) -> Array:
        """uint8 (N, H, W, 3) RGB images to what the file ends in: (N, H, W) class maps or (N, classes, h, w) logits."""
        ...

    def layers(self, images: Images) -> LayerMaps:
        """What its layers give for images; none where the file's layers have no names."""
        ...


@dataclass(frozen=True)
class Bound:
    """How much int8 may cost; layers that cost more stay in floating point.

    Attributes:
        score: of a file that ends in logits, for example its mean IoU (0 to 1) on labeled images; higher is better.
        largest_drop: of that score, below the network in float32.
    """

    score: Callable[[ExportedFile], float]
    largest_drop: float


@dataclass(frozen=True)
class ExportSpec:
    """What is to be written.

    Attributes:
        checkpoint: header and weights, a whole network.
        ending: `graph.LOGITS` or `graph.CLASS_MAP`.
        precision: "float32", "bfloat16" or "int8".
        calibration: for int8, the images that ranges are measured on, (1, H, W, 3) uint8 each.
        bound: for int8, what it may cost; None: whatever it costs.
    """

    checkpoint: Checkpoint
    ending: str
    precision: str
    calibration: Sequence[Images] = ()
    bound: Bound | None = None


@dataclass(frozen=True)
class ExportKind:
    """One kind of file.

    Attributes:
        name: what users type.
        module: that writes and executes it, loaded on use: `write(draft, path)`, `open_alone(path, precision)`.
        suffixes: of the files that belong together; the first is what users name.
        precisions: that it can be written in.
        packages: that writing and checking need, with the extra that brings each.
        instead: what to do where a precision cannot be had.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    precisions: tuple[str, ...]
    packages: tuple[tuple[str, str], ...]
    instead: str

    def write(self, draft: ExportSpec, path: Path) -> Facts:
        """Writes the file or files, and returns what is worth telling about them.

        Raises:
            MissingExtra: a package is not installed.
            FileError: the folder cannot be written.
        """
        facts: Facts = self._call("write", draft, path)
        return facts

    def open_alone(self, path: Path, precision: str) -> ExportedFile:
        """A file of this kind that was written, as others will run it.

        Args:
            path: the first of its files.
            precision: that it was written in; where its library leaves the choice to whoever opens it, this one.
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
        "on processors ONNX Runtime computes convolutions in float32 or int8; for bfloat16 use --to openvino",
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
