"""int8 for a benchmark: the int8 form that ships, or a temporary one made for this benchmark alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from fassd.core.catalog import WEIGHTS
from fassd.core.checkpoint import read_checkpoint
from fassd.core.errors import UsageError
from fassd.networks.graph import LOGITS
from fassd.networks.specs import network_by_name
from fassd.networks.weights import check_checkpoint
from fassd.runtimes.exported import EXPORT_KINDS, ExportSpec
from fassd.runtimes.open import choose_runtime
from fassd.runtimes.rows import AUTO
from fassd.speed.images import TimedImages
from fassd.speed.protocol import Request, is_checkpoint

# The kind of exported file that each runtime executes in int8.
_KINDS = {AUTO: "openvino", "openvino": "openvino", "onnx": "onnx"}


def int8_request(request: Request, images: TimedImages, folder: Path) -> tuple[Request, int | None]:
    """Replaces a checkpoint in int8 by a file that computes in int8; other requests stay as they are.

    Args:
        request: what to measure.
        images: for calibration.
        folder: for the files that are made; an existing one is used again.

    Returns:
        The request, and the number of images that a file made here was calibrated on; None where none was made.

    Raises:
        UsageError: the runtime does not compute in int8 on that device.
        MissingExtra: the package that quantizes is not installed.
        ImageError: an image is damaged.
    """
    variant = request.variant
    if variant.precision != "int8" or request.file is None or not is_checkpoint(path := Path(request.file)):
        return request, None
    if variant.runtime not in _KINDS:
        raise UsageError(f"the runtime {variant.runtime} does not compute in int8; openvino and onnx do")
    kind = EXPORT_KINDS[_KINDS[variant.runtime]]
    choose_runtime(kind.suffixes[0], variant.runtime, variant.device, variant.precision)
    if kind.name == "openvino" and variant.weights in WEIGHTS:
        return msgspec.structs.replace(request, file=str(WEIGHTS[variant.weights].int8)), None
    made = folder / f"{hashlib.sha256(str(path).encode()).hexdigest()[:16]}-int8{kind.suffixes[0]}"
    if not made.exists():
        checkpoint = read_checkpoint(path)
        check_checkpoint(checkpoint, path)
        calibration = images.for_calibration(network_by_name(checkpoint.header.network).minimum_side)
        kind.write(ExportSpec(checkpoint, LOGITS, variant.precision, calibration), made)
    return msgspec.structs.replace(request, file=str(made)), len(images.files)
