"""int8 forms made for a benchmark."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from fassd.speed.images import TimedImages
from fassd.speed.int8 import int8_request
from fassd.speed.protocol import Request, open_variant
from fassd.speed.report import Variant

SIZE = (64, 96)


def test_int8_is_made_once_for_the_benchmark_and_said(tmp_path: Path, tiny_weights: Path) -> None:
    variant = Variant(network="x", runtime="onnx", precision="int8", device="cpu", size=SIZE, batch=1)
    request = Request(variant, "user", str(tiny_weights))
    prepared, calibrated_on = int8_request(request, TimedImages(), tmp_path)
    assert calibrated_on == 1
    (made,) = tmp_path.glob("*.onnx")
    written = made.stat().st_mtime_ns
    other = msgspec.structs.replace(request, variant=msgspec.structs.replace(variant, batch=2))
    assert int8_request(other, TimedImages(), tmp_path)[0].file == prepared.file == str(made)
    assert made.stat().st_mtime_ns == written
    opened = open_variant(prepared, TimedImages())
    assert (opened.variant.runtime, opened.variant.precision) == ("onnx", "int8")
    assert np.asarray(opened.predict(0, None)).shape == (1, *SIZE)
    opened.close()
