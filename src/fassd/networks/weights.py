"""Names and shapes of the weights that a checkpoint must hold, from a network's row, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fassd.core.checkpoint import Checkpoint
from fassd.core.errors import CheckpointError, UsageError
from fassd.networks.specs import (
    ASPP_WIDTH,
    DAPF_DILATIONS,
    LIGHT_DECODER_WIDTH,
    STEM_WIDTHS,
    NetworkSpec,
    Stage,
    check_alpha,
    network_by_name,
    plan_hard_block,
)

COUNTER = "num_batches_tracked"
"""Suffix of the names of BatchNorm layers' batch counters. They may be missing and are not used."""

Shapes = dict[str, tuple[int, ...]]


def check_checkpoint(checkpoint: Checkpoint, path: Path) -> NetworkSpec:
    """Checks that a checkpoint holds a complete network, and returns its row.

    Args:
        checkpoint: header and weights.
        path: names the file in messages.

    Raises:
        CheckpointError: an encoder-only file, or weights that do not fit the header's network.
    """
    header = checkpoint.header
    if header.content != "network" or header.label_space is None:
        raise CheckpointError(path, "holds an encoder only: train a network on it with 'fassd train --encoder-weights'")
    try:
        spec = network_by_name(header.network)
        check_alpha(spec, header.alpha)
    except UsageError as error:
        raise CheckpointError(path, f"its header is damaged or from another version: {error}") from None
    classes = len(header.label_space)
    shapes = shapes_of(spec, classes, header.alpha)
    check_arrays(shapes, checkpoint.arrays, path, f"{spec.name} with {classes} classes")
    return spec


def check_arrays(expected: Shapes, arrays: Mapping[str, np.ndarray[Any, Any]], path: Path, what: str) -> None:
    """Checks that arrays are exactly those expected.

    Args:
        expected: shapes by name, without batch counters.
        arrays: by name; batch counters are ignored.
        path: names the file in messages.
        what: names the network in messages.

    Raises:
        CheckpointError: an array is missing, unexpected, or of another shape.
    """
    given = {name: array.shape for name, array in arrays.items() if not name.endswith(COUNTER)}
    missing, extra = sorted(expected.keys() - given.keys()), sorted(given.keys() - expected.keys())
    if missing or extra:
        example = f"lacks {missing[0]}" if missing else f"has {extra[0]} besides"
        raise CheckpointError(
            path,
            f"does not hold {what}: {len(missing)} weights are missing and {len(extra)} do not belong "
            f"({example}); name the network it was made for",
        )
    for name, shape in expected.items():
        if shape != given[name]:
            raise CheckpointError(
                path,
                f"does not hold {what}: {name} is {list(given[name])} in the file and {list(shape)} "
                "in the network; name the right network, alpha and number of classes",
            )


def shapes_of(spec: NetworkSpec, classes: int, alpha: int) -> Shapes:
    """The shape of every weight by name, without batch counters."""
    shapes: Shapes = {}
    inputs = 3
    for number, width in enumerate(STEM_WIDTHS):
        inputs = _unit(shapes, f"encoder.stem.{number}", inputs, width, (3, 3))
    skips = []
    for number, stage in enumerate(spec.stages):
        place = f"encoder.stages.{number}"
        skips.append(_hard_block(shapes, f"{place}.block", inputs, stage))
        inputs = _unit(shapes, f"{place}.transition", skips[-1], stage.width, (1, 1))
    _context(shapes, spec, inputs, alpha)
    for number, (stage, skip) in enumerate(list(zip(spec.stages, skips, strict=True))[-2::-1]):
        place = f"decoder.{number}"
        inputs = _unit(shapes, f"{place}.reduce", inputs + skip, (inputs + skip) // 2, (1, 1))
        if spec.refine_dilations:
            _refine(shapes, f"{place}.refine", inputs)
        if spec.decoder == "hard-block":
            inputs = _hard_block(shapes, f"{place}.block", inputs, stage)
        else:
            inputs = _unit(shapes, f"{place}.block", inputs, LIGHT_DECODER_WIDTH, (3, 3))
    return {**shapes, "classifier.weight": (classes, inputs, 1, 1), "classifier.bias": (classes,)}


def _hard_block(shapes: Shapes, place: str, inputs: int, stage: Stage) -> int:
    plan = plan_hard_block(inputs, stage.growth, stage.layers)
    for number, layer in enumerate(plan.layers):
        _unit(shapes, f"{place}.layers.{number}", layer.in_channels, layer.out_channels, (3, 3))
    return plan.out_channels


def _context(shapes: Shapes, spec: NetworkSpec, width: int, alpha: int) -> None:
    if spec.context == "none":
        return
    inner = width // alpha if spec.context == "dapf" else ASPP_WIDTH
    branches = [_unit(shapes, "context.near", width, inner, (1, 1))]
    for number in range(len(DAPF_DILATIONS)):
        place = f"context.far.{number}"
        if spec.context == "dapf":
            _unit(shapes, f"{place}.0", width, inner, (3, 1))
            branches.append(_unit(shapes, f"{place}.1", inner, inner, (1, 3)))
        else:
            branches.append(_unit(shapes, place, width, inner, (3, 3)))
    if spec.context == "aspp":
        branches.append(_unit(shapes, "context.whole", width, inner, (1, 1)))
    _unit(shapes, "context.fuse", sum(branches), width, (1, 1))


def _refine(shapes: Shapes, place: str, width: int) -> None:
    inner = width // 2
    _norm(shapes, f"{place}.enter", width, prelu=True)
    _unit(shapes, f"{place}.shrink", width, inner, (3, 3), prelu=True)
    _unit(shapes, f"{place}.detail", inner, inner, (3, 3), prelu=True)
    _unit(shapes, f"{place}.context.0", inner, inner, (3, 1), prelu=True)
    _unit(shapes, f"{place}.context.1", inner, inner, (1, 3), prelu=True)
    _norm(shapes, f"{place}.join", inner, prelu=True)
    shapes[f"{place}.expand.weight"] = (width, inner, 1, 1)


def _unit(shapes: Shapes, place: str, inputs: int, outputs: int, kernel: tuple[int, int], prelu: bool = False) -> int:
    shapes[f"{place}.conv.weight"] = (outputs, inputs, *kernel)
    _norm(shapes, place, outputs, prelu)
    return outputs


def _norm(shapes: Shapes, place: str, width: int, prelu: bool) -> None:
    shapes.update({f"{place}.norm.{name}": (width,) for name in ("weight", "bias", "running_mean", "running_var")})
    if prelu:
        shapes[f"{place}.activation.weight"] = (width,)
