"""What every runtime keeps, whatever executes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fassd.core.arrays import Images
from fassd.core.checkpoint import read_checkpoint
from fassd.core.errors import UsageError
from fassd.core.labels import CAMVID
from fassd.networks.specs import network_by_name
from fassd.runtimes.open import open_runtime
from fassd.runtimes.openvino_core import has_bfloat16
from fassd.runtimes.rows import RUNTIMES
from fassd.runtimes.runtime import CLASS_MAP, NETWORK, Runtime, Stages

# Random weights leave many pixels between two classes, where rounding decides.
AGREEMENT = {"float32": 0.999, "bfloat16": 0.9, "int8": 0.8}
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.2}
"""Largest difference of a logit from PyTorch's in float32, in parts of the largest."""


@dataclass(frozen=True)
class Kind:
    """A runtime and the form in which it is given the network."""

    runtime: str
    precision: str
    form: Callable[[Path, Path], Path] = lambda checkpoint, folder: checkpoint
    few_images: bool = False


def _as_openvino(checkpoint: Path, folder: Path) -> Path:
    from fassd.runtimes.openvino_file import write_model
    from fassd.runtimes.openvino_graph import build_logits, with_class_map

    read = read_checkpoint(checkpoint)
    write_model(with_class_map(build_logits(read.header, read.arrays)), folder / "net.xml")
    return folder / "net.xml"


def _as_int8(checkpoint: Path, folder: Path) -> Path:
    """Some of the convolutions in int8, between ranges wide enough for random weights."""
    from fassd.runtimes import openvino_graph
    from fassd.runtimes.openvino_file import write_model

    read = read_checkpoint(checkpoint)
    model = openvino_graph.build_logits(read.header, read.arrays)
    for node in [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"][20:24]:
        largest = float(np.abs(node.input_value(1).get_node().data).max())
        ends = ((0.0, 2.0), (-largest, largest))
        for place, (low, high), levels in zip((0, 1), ends, (256, 255), strict=True):
            quantized = openvino_graph.op.fake_quantize(node.input_value(place), low, high, low, high, levels)
            node.input(place).replace_source_output(quantized.output(0))
    write_model(model, folder / "net.xml")
    return folder / "net.xml"


def _as_onnx(checkpoint: Path, folder: Path) -> Path:
    from fassd.runtimes.onnx import write_model
    from fassd.runtimes.onnx_graph import build_model

    read = read_checkpoint(checkpoint)
    write_model(build_model(read.header, read.arrays), folder / "net.onnx")
    return folder / "net.onnx"


def _as_onnx_int8(checkpoint: Path, folder: Path) -> Path:
    from fassd.runtimes.onnx import write_model
    from fassd.runtimes.onnx_graph import build_model
    from fassd.runtimes.onnx_quantize import quantize

    read = read_checkpoint(checkpoint)
    model = quantize(build_model(read.header, read.arrays), [_images(1, 96, 128, seed) for seed in range(4)])
    write_model(model, folder / "net.onnx")
    return folder / "net.onnx"


KINDS = {
    "openvino for a few images": Kind("openvino", "float32", few_images=True),
    "pytorch": Kind("pytorch", "float32"),
    "openvino": Kind("openvino", "float32"),
    "openvino in bfloat16": Kind("openvino", "bfloat16"),
    "openvino file": Kind("auto", "float32", _as_openvino),
    "onnx": Kind("onnx", "float32"),
    "onnx file in int8": Kind("auto", "int8", _as_onnx_int8),
}
SLOW_KINDS = {
    "pytorch in bfloat16": Kind("pytorch", "bfloat16"),
    "openvino file in int8": Kind("auto", "int8", _as_int8),
    "onnx file": Kind("auto", "float32", _as_onnx),
}


def _kinds() -> list[Any]:
    quick = [pytest.param(kind, id=name) for name, kind in KINDS.items()]
    return [*quick, *(pytest.param(kind, id=name, marks=pytest.mark.slow) for name, kind in SLOW_KINDS.items())]


@pytest.fixture(scope="module", params=_kinds())
def runtime(
    request: pytest.FixtureRequest, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runtime]:
    kind: Kind = request.param
    if kind == KINDS["openvino in bfloat16"] and not has_bfloat16():
        pytest.skip("this processor does not multiply in bfloat16")
    file = kind.form(tiny_weights, tmp_path_factory.mktemp("exported"))
    with open_runtime(
        file, runtime=kind.runtime, precision=kind.precision, device="cpu", few_images=kind.few_images
    ) as opened:
        assert opened.precision == kind.precision
        yield opened


@pytest.fixture(scope="module")
def exact(tiny_weights: Path) -> Iterator[Runtime]:
    """PyTorch in float32, which the others are compared with."""
    with open_runtime(tiny_weights, runtime="pytorch", precision="float32") as opened:
        yield opened


def _images(count: int, height: int, width: int, seed: int = 0) -> Images:
    """Smooth pictures: noise would average out to one class."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, height // 16 + 1, width // 16 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 1).repeat(16, 2)[:, :height, :width])


def _share_equal(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float((one == other).mean())


@pytest.mark.parametrize("size", [(96, 128), (57, 57), (97, 131), (64, 300), (301, 60)])
def test_every_pixel_gets_a_class(runtime: Runtime, size: tuple[int, int]) -> None:
    maps = runtime.segment(_images(2, *size))
    assert maps.dtype == np.uint8
    assert maps.shape == (2, *size)
    assert int(maps.max()) < len(runtime.label_space)


def test_the_answer_tells_pictures_apart(runtime: Runtime) -> None:
    maps = runtime.segment(_images(2, 96, 128))
    assert len(np.unique(maps)) > 1
    assert _share_equal(maps[0], maps[1]) < 0.99


@pytest.mark.parametrize("size", [(192, 256), (48, 64), (96, 128), (301, 127), (1, 1), (600, 20)])
def test_the_answer_has_the_size_asked_for(runtime: Runtime, size: tuple[int, int]) -> None:
    assert runtime.segment(_images(1, 96, 128), size).shape == (1, *size)


def test_the_images_own_size_is_the_default(runtime: Runtime) -> None:
    images = _images(1, 96, 128)
    assert (runtime.segment(images) == runtime.segment(images, (96, 128))).all()


def test_a_batch_is_answered_like_its_images_one_by_one(runtime: Runtime) -> None:
    images = _images(3, 96, 128)
    alone = np.concatenate([runtime.segment(image[None]) for image in images])
    assert _share_equal(runtime.segment(images), alone) >= AGREEMENT[runtime.precision]


def test_the_same_images_get_the_same_answer(runtime: Runtime) -> None:
    images = _images(2, 96, 128)
    assert (runtime.segment(images) == runtime.segment(images.copy())).all()


@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
def test_every_runtime_agrees_with_pytorch_in_float32(runtime: Runtime, exact: Runtime, size: tuple[int, int]) -> None:
    images = _images(2, *size)
    assert _share_equal(runtime.segment(images), exact.segment(images)) >= AGREEMENT[runtime.precision]


@pytest.mark.parametrize("size", [(96, 128), (97, 131)])
def test_logits_are_those_of_pytorch_in_float32(runtime: Runtime, exact: Runtime, size: tuple[int, int]) -> None:
    images = _images(2, *size)
    found, expected = runtime.logits(images), exact.logits(images)
    assert (found.dtype, found.shape) == (np.float32, expected.shape)
    assert float(np.abs(found - expected).max()) <= TOLERANCE[runtime.precision] * float(np.abs(expected).max())


def test_each_stage_is_timed(runtime: Runtime) -> None:
    stages = Stages()
    runtime.segment(_images(1, 96, 128), stages=stages)
    once = dict(stages.seconds)
    runtime.segment(_images(1, 96, 128), stages=stages)
    assert list(once) == [NETWORK, CLASS_MAP]
    assert all(0 < once[stage] < stages.seconds[stage] for stage in once)


def test_threads_may_share_a_runtime(runtime: Runtime) -> None:
    batches = [_images(1, 96, 128, seed) for seed in range(6)]
    alone = [runtime.segment(images) for images in batches]
    with ThreadPoolExecutor(3) as threads:
        together = list(threads.map(runtime.segment, batches))
    assert all((one == other).all() for one, other in zip(together, alone, strict=True))


@pytest.mark.parametrize("classes", [[3], [0, 10], [10, 0], (2, 5, 7)])
def test_only_the_classes_asked_for_are_answered(runtime: Runtime, classes: list[int]) -> None:
    assert set(np.unique(runtime.segment(_images(1, 96, 128), classes=classes))) <= set(classes)


def test_all_classes_asked_for_is_the_same_as_none_said(runtime: Runtime) -> None:
    images = _images(1, 96, 128)
    assert (runtime.segment(images, classes=range(11)) == runtime.segment(images)).all()


@pytest.mark.parametrize("view", ["flipped", "strided", "read-only", "transposed"])
def test_the_memory_behind_the_images_does_not_matter(runtime: Runtime, view: str) -> None:
    images = _images(1, 192, 256)
    given: Images = {
        "flipped": images[:, :, ::-1],
        "strided": images[:, ::2, ::2],
        "read-only": np.frombuffer(images.tobytes(), np.uint8).reshape(images.shape),
        "transposed": images.transpose(0, 2, 1, 3),
    }[view]
    before = given.copy()
    assert (runtime.segment(given) == runtime.segment(np.ascontiguousarray(given))).all()
    assert (given == before).all()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        ([[[[0, 0, 0]]]], "images are of type list; expected an array, uint8"),
        (None, "images are of type NoneType"),
        (np.zeros((1, 96, 128, 3), np.float32), r"float32 \(1, 96, 128, 3\)"),
        (np.zeros((1, 96, 128, 3), np.int64), "int64"),
        (np.zeros((96, 128, 3), np.uint8), r"\(96, 128, 3\); expected uint8"),
        (np.zeros((1, 3, 96, 128), np.uint8), r"\(1, 3, 96, 128\)"),
        (np.zeros((1, 96, 128, 4), np.uint8), r"\(1, 96, 128, 4\)"),
        (np.zeros((0, 96, 128, 3), np.uint8), "n at least 1"),
        (np.zeros((1, 0, 128, 3), np.uint8), r"\(1, 0, 128, 3\)"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(runtime: Runtime, images: Any, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        runtime.segment(images)


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 10)])
def test_an_answer_without_pixels_is_refused(runtime: Runtime, size: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=f"size is {size[0]}x{size[1]}; expected at least 1x1"):
        runtime.segment(_images(1, 96, 128), size)


def test_a_side_below_the_minimum_is_refused(runtime: Runtime) -> None:
    side = network_by_name(runtime.header.network).minimum_side
    with pytest.raises(UsageError, match=f"needs at least {side}"):
        runtime.segment(_images(1, side - 1, side))


def test_a_runtime_says_what_it_executes(runtime: Runtime) -> None:
    assert (runtime.label_space, runtime.header.network) == (CAMVID, "fassd-net-l2")
    assert runtime.name in RUNTIMES


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # PyTorch's compiler warns of what PyTorch does
def test_compiled_pytorch_answers_like_pytorch(tiny_weights: Path, exact: Runtime) -> None:
    """Apart from the rest: it takes a minute for each size of images."""
    images = _images(1, 96, 128)
    with open_runtime(tiny_weights, runtime="pytorch-compiled", precision="float32", device="cpu") as runtime:
        assert runtime.name == "pytorch-compiled"
        assert _share_equal(runtime.segment(images), exact.segment(images)) >= AGREEMENT["float32"]


@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_a_few_images_get_the_same_class_maps(tiny_weights: Path, name: str) -> None:
    images = _images(2, 96, 128)
    with (
        open_runtime(tiny_weights, "cpu", "float32", name) as many,
        open_runtime(tiny_weights, "cpu", "float32", name, few_images=True) as few,
    ):
        for size, classes in ((None, None), ((301, 127), None), ((96, 128), [0, 3, 7])):
            np.testing.assert_array_equal(few.segment(images, size, classes), many.segment(images, size, classes))
        with pytest.raises(UsageError, match="expected at least 1x1"):
            few.segment(images, (0, 5))
