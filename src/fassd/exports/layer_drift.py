"""Where an export leaves its source: the maps of every layer of the two, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fassd.core.arrays import Images
from fassd.core.checkpoint import Checkpoint
from fassd.runtimes.exported import Array, ExportedFile, LayerMaps
from fassd.runtimes.rows import RUNTIMES

LIMITS = {"float32": 1e-4, "bfloat16": 0.04, "int8": 0.2}
"""The relative error from which a layer counts as drifting: root of the mean squared difference, in parts of the root
of the mean square. Sound exports stay below a third of it in every layer (docs/export.md)."""


@dataclass(frozen=True)
class LayerError:
    """One layer and how far it is from the source's, as `LIMITS` measures it; infinite where no number was given."""

    layer: str
    error: float


@dataclass(frozen=True)
class Drift:
    """Where an export leaves its source.

    Attributes:
        layers: that both name, in the order of computation.
        precision: of the export, which says from where a layer counts as drifting.
        first: the first layer that does; None where none does.
    """

    layers: tuple[LayerError, ...]
    precision: str
    first: str | None

    @property
    def limit(self) -> float:
        """The relative error from which a layer counts as drifting."""
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
            f"up to the logits no layer is farther off than {self.precision} may be (largest relative error "
            f"{largest.error:.2g}, in {largest.layer}, limit {self.limit:g}): what follows them differs, or many small "
            "errors add up"
        )


def find_drift(source: LayerMaps, export: LayerMaps, precision: str) -> Drift:
    """Compares layer by layer.

    Args:
        source: maps in float32, in the order of computation.
        export: of the same images.
        precision: of the export.
    """
    limit = LIMITS[precision]
    layers = tuple(LayerError(name, _error(maps, export[name])) for name, maps in source.items() if name in export)
    return Drift(layers, precision, next((one.layer for one in layers if one.error > limit), None))


def _error(expected: Array, found: Array) -> float:
    if expected.shape != found.shape:
        return float("inf")
    difference = float(np.sqrt(np.square(found.astype(np.float64) - expected).mean()))
    size = float(np.sqrt(np.square(expected, dtype=np.float64).mean()))
    return difference / size if np.isfinite(difference) and size else 0.0 if difference == 0 else float("inf")


def source_layers(checkpoint: Checkpoint, path: Path, images: Images) -> Mapping[str, Array]:
    """Every layer of a checkpoint in float32: by PyTorch where it is there, else by OpenVINO.

    Args:
        checkpoint: a whole network.
        path: names it in messages.
        images: (N, H, W, 3) uint8 RGB.
    """
    if RUNTIMES["pytorch"].version is not None:
        from fassd.runtimes.torch_layers import layer_maps

        return layer_maps(checkpoint, path, images)
    from fassd.runtimes.openvino_export import OpenVINOFile
    from fassd.runtimes.openvino_graph import build_logits

    return OpenVINOFile(build_logits(checkpoint.header, checkpoint.arrays), "float32").layers(images)


def drift_of(checkpoint: Checkpoint, path: Path, export: ExportedFile, images: Images, precision: str) -> Drift:
    """Where an export leaves its checkpoint, on given images."""
    try:
        found = export.layers(images)
    except Exception:
        # What its library cannot execute shows no layers; why is told where it was to answer.
        found = {}
    return find_drift(dict(source_layers(checkpoint, path, images)), found, precision)
