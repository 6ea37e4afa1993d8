"""The first layer in which an export drifts from its source: the maps of every layer of both, compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fassd.core.arrays import Images
from fassd.core.checkpoint import Checkpoint
from fassd.runtimes.exported import Array, ExportedFile, LayerMaps
from fassd.runtimes.rows import RUNTIMES

LIMITS = {"float32": 1e-4, "bfloat16": 0.04, "int8": 0.2}
"""Relative error above which a layer drifts, by precision: root mean square of the difference over root mean square of
the source's map. In correct exports every layer stays below a third of it (docs/export.md)."""


@dataclass(frozen=True)
class LayerError:
    """A layer's relative error, as `LIMITS` defines it; infinite if its values are not finite or of another shape."""

    layer: str
    error: float


@dataclass(frozen=True)
class LayerDrift:
    """Where an export drifts from its source.

    Attributes:
        layers: that both have, in the order of computation.
        precision: of the export; it decides the limit.
        first: the first layer above the limit; None if no layer is.
    """

    layers: tuple[LayerError, ...]
    precision: str
    first: str | None

    @property
    def limit(self) -> float:
        """The relative error above which a layer drifts."""
        return LIMITS[self.precision]

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.layers:
            return "its layers cannot be compared: they have no names, or cannot be executed"
        if self.first is not None:
            error = next(one.error for one in self.layers if one.layer == self.first)
            return f"the first layer that drifts is {self.first} (relative error {error:.2g}, limit {self.limit:g})"
        largest = max(self.layers, key=lambda one: one.error)
        return (
            f"up to the logits every layer is within the limit of {self.precision} (largest relative error "
            f"{largest.error:.2g}, in {largest.layer}, limit {self.limit:g}): what follows them differs, or many small "
            "errors add up"
        )


def find_layer_drift(
    checkpoint: Checkpoint, path: Path, export: ExportedFile, images: Images, precision: str
) -> LayerDrift:
    """Compares every layer of an export with its checkpoint in float32: in PyTorch if installed, else in OpenVINO.

    Args:
        checkpoint: a complete network.
        path: names it in messages.
        export: the exported file.
        images: (N, H, W, 3) uint8 RGB.
        precision: of the export.
    """
    source: LayerMaps
    if RUNTIMES["pytorch"].version is not None:
        from fassd.runtimes.torch_export import layer_maps

        source = layer_maps(checkpoint, path, images)
    else:
        from fassd.runtimes.openvino_file import OpenVINOFile
        from fassd.runtimes.openvino_graph import build_logits

        source = OpenVINOFile(build_logits(checkpoint.header, checkpoint.arrays), "float32").layers(images)
    try:
        found = export.layers(images)
    except Exception:
        # A file that its library cannot execute shows no layers. `compare` has reported the reason.
        found = {}
    return compare_layers(source, found, precision)


def compare_layers(source: LayerMaps, export: LayerMaps, precision: str) -> LayerDrift:
    """The drift between the layers' maps.

    Args:
        source: maps in float32, in the order of computation.
        export: of the same images.
        precision: of the export.
    """
    limit = LIMITS[precision]
    layers = tuple(LayerError(name, _error(maps, export[name])) for name, maps in source.items() if name in export)
    return LayerDrift(layers, precision, next((one.layer for one in layers if one.error > limit), None))


def _error(expected: Array, found: Array) -> float:
    if expected.shape != found.shape:
        return float("inf")
    difference = float(np.sqrt(np.square(found.astype(np.float64) - expected).mean()))
    size = float(np.sqrt(np.square(expected, dtype=np.float64).mean()))
    return difference / size if np.isfinite(difference) and size else 0.0 if difference == 0 else float("inf")
