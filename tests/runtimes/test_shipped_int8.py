"""The int8 forms that ship: opened by name, when asked for, without what made them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fassd.core.catalog import WEIGHTS
from fassd.core.checkpoint import read_checkpoint
from fassd.core.errors import UsageError
from fassd.data.open_dataset import open_dataset
from fassd.media.images import read_image
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_file import read_model
from fassd.runtimes.openvino_without_telemetry import openvino
from fassd.scoring.evaluate import evaluate

PICTURE = Path(__file__).parents[2] / "src" / "fassd" / "assets" / "street.jpg"

ALONE = """
import sys
import numpy
from fassd import open_runtime
with open_runtime(precision="int8", device="cpu") as runtime:
    assert runtime.precision == "int8"
    runtime.segment(numpy.zeros((1, 96, 128, 3), numpy.uint8))
assert not {"torch", "nncf"} & set(sys.modules)
"""


@pytest.mark.parametrize("name", WEIGHTS)
def test_it_answers_as_its_checkpoint_does(name: str) -> None:
    """A form made of earlier weights would not."""
    images = np.ascontiguousarray(read_image(PICTURE)[None, ::2, ::2])
    with open_runtime(name, "cpu", "int8") as int8, open_runtime(name, "cpu", "float32", "openvino") as float32:
        found, expected = int8.logits(images), float32.logits(images)
        assert int8.label_space == float32.label_space
        assert int8.header.input_side == float32.header.input_side
    assert np.sqrt(np.square(found - expected).mean() / np.square(expected).mean()) < 0.08
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.97


@pytest.mark.parametrize("name", WEIGHTS)
def test_it_is_right_without_vnni_and_loses_little(name: str) -> None:
    model, header = read_model(WEIGHTS[name].int8)
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    kernels = [node for node in constants if node.get_element_type() == openvino.Type.i8]
    assert max(2 * 255 * np.abs(kernel.data.astype(np.int64)).max() for kernel in kernels) < 2**15
    before = {(score.data, score.split): score.mean_iou for score in read_checkpoint(WEIGHTS[name].path).header.scores}
    drops = [before[score.data, score.split] - score.mean_iou for score in header.scores]
    assert len(drops) == len(before)
    assert max(drops) <= 0.003


def test_nothing_but_the_default_packages_is_needed() -> None:
    subprocess.run([sys.executable, "-c", ALONE], check=True, capture_output=True)


def test_int8_is_never_picked_in_silence() -> None:
    with open_runtime(device="cpu") as runtime:
        assert runtime.precision in ("float32", "bfloat16")


def test_another_checkpoint_has_no_int8_form(tiny_weights: Path) -> None:
    with pytest.raises(UsageError, match="fassd export"):
        open_runtime(tiny_weights, precision="int8")


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_its_score_is_what_its_header_says(name: str, data_root: Path) -> None:
    with open_runtime(name, "cpu", "int8") as runtime:
        report = evaluate(runtime, open_dataset(f"camvid:{data_root / 'camvid'}", "val", runtime.label_space))
        said = next(score.mean_iou for score in runtime.header.scores if score.data == "camvid")
    # Without bfloat16 the little that is not in int8 is rounded otherwise.
    assert abs((report.parts[0].mean_iou or 0) - said) < 0.001
