from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from fassd.core.catalog import DEFAULT_WEIGHTS
from fassd.core.errors import FassdError, MissingExtra, UnknownName, UsageError
from fassd.runtimes import open as choosing
from fassd.runtimes import openvino_core
from fassd.runtimes.open import choose_runtime, open_runtime
from fassd.runtimes.rows import RUNTIMES

CHECKPOINT = ".safetensors"


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_a_checkpoint_is_answered_in_what_the_processor_computes_natively(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    monkeypatch.setattr(openvino_core, "has_bfloat16", lambda: native)
    choice = choose_runtime(CHECKPOINT, device="cpu")
    assert (choice.row.name, choice.device, choice.precision) == ("openvino", "cpu", precision)
    assert "bfloat16" in choice.why


def test_a_gpu_is_taken_where_pytorch_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_has_gpu", lambda: True)
    assert (choose_runtime(CHECKPOINT).row.name, choose_runtime(CHECKPOINT).device) == ("pytorch", "cuda")
    assert choose_runtime(CHECKPOINT, device="cpu").row.name == "openvino"
    assert choose_runtime(CHECKPOINT, runtime="openvino").device == "cpu"
    assert choose_runtime(".xml").row.name == "openvino"


@pytest.mark.parametrize(
    ("suffix", "asked", "expected"),
    [
        (".xml", {}, ("openvino", "cpu", "auto")),
        (".xml", {"precision": "int8"}, ("openvino", "cpu", "int8")),
        (".onnx", {}, ("onnx", "cpu", "auto")),
        (CHECKPOINT, {"runtime": "onnx"}, ("onnx", "cpu", "float32")),
        (CHECKPOINT, {"runtime": "pytorch"}, ("pytorch", "cpu", "float32")),
        (CHECKPOINT, {"runtime": "pytorch-compiled", "precision": "bfloat16"}, ("pytorch-compiled", "cpu", "bfloat16")),
        (CHECKPOINT, {"device": "cuda:1", "precision": "float32"}, ("pytorch", "cuda:1", "float32")),
    ],
)
def test_what_was_asked_for_stays(suffix: str, asked: dict[str, str], expected: tuple[str, ...]) -> None:
    choice = choose_runtime(suffix, **asked)
    assert (choice.row.name, choice.device, choice.precision) == expected


@pytest.mark.parametrize(
    ("suffix", "asked", "complaint"),
    [
        (CHECKPOINT, {"device": "gpu"}, "device 'gpu' is not one that fassd uses"),
        (CHECKPOINT, {"device": None}, "device 'None' is not one that fassd uses"),
        (
            CHECKPOINT,
            {"device": "cuda", "runtime": "openvino"},
            "openvino runs on the cpu only; omit --runtime",
        ),
        (CHECKPOINT, {"device": "cuda", "precision": "int8"}, "int8 runs on the cpu only; omit --device"),
        (CHECKPOINT, {"precision": "int8"}, "not an int8 network: make one with 'fassd export"),
        (
            CHECKPOINT,
            {"runtime": "onnx", "precision": "int8"},
            "not an int8 network: make one with 'fassd .* --to onnx",
        ),
        (CHECKPOINT, {"runtime": "pytorch", "precision": "int8"}, "pytorch computes in float32 or bfloat16, not in"),
        (
            CHECKPOINT,
            {"runtime": "onnx", "precision": "bfloat16"},
            "float32 or int8, not in bfloat16; omit --precision",
        ),
        (".pt2", {"precision": "int8"}, "pytorch computes in float32 or bfloat16, not in int8; omit --precision"),
        (
            ".onnx",
            {"runtime": "openvino"},
            r"\.onnx files run on onnx, not on openvino; omit --runtime",
        ),
        (".pt2", {"runtime": "pytorch-compiled"}, "files run on pytorch, not on pytorch-compiled"),
        (".xml", {"device": "cuda"}, r"exported files \(\.xml\) run on the cpu only; omit --device"),
        (".pt2", {"device": "cuda:1"}, r"exported files \(\.pt2\) run on the cpu only; omit --device"),
        (".xml", {"device": "cuda", "precision": "int8"}, "int8 runs on the cpu only; omit --device"),
    ],
)
def test_what_does_not_go_together_is_refused(suffix: str, asked: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        choose_runtime(suffix, **asked)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean openvino"):
        choose_runtime(CHECKPOINT, "openvin")
    with pytest.raises(UnknownName, match="did you mean float32"):
        choose_runtime(CHECKPOINT, precision="float")


def test_bfloat16_is_refused_where_the_processor_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_core, "has_bfloat16", lambda: False)
    with pytest.raises(UsageError, match="does not multiply in bfloat16; use --precision float32"):
        choose_runtime(CHECKPOINT, device="cpu", precision="bfloat16")


@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
@pytest.mark.parametrize("most", ["AVX2", "avx512_core", "AVX512_CORE_VNNI"])
def test_a_processor_that_may_not_multiply_in_bfloat16_is_not_asked_to(
    monkeypatch: pytest.MonkeyPatch, variable: str, most: str
) -> None:
    """oneDNN obeys these variables; OpenVINO, which asks it, does not know of them."""
    unlimited = openvino_core.processor.__wrapped__()
    monkeypatch.setenv(variable, most)
    assert not openvino_core.has_bfloat16.__wrapped__()
    assert openvino_core.processor.__wrapped__() != unlimited
    monkeypatch.undo()
    monkeypatch.setenv(variable, "DEFAULT")
    assert openvino_core.has_bfloat16.__wrapped__() == openvino_core.has_bfloat16()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_with_avx2_alone_the_shipped_weights_answer_alike(precision: str) -> None:
    program = """
import sys, numpy
from fassd import open_runtime
with open_runtime(device="cpu", precision=sys.argv[1]) as runtime:
    images = numpy.random.default_rng(0).integers(0, 256, (1, 5, 6, 3), numpy.uint8).repeat(24, 1).repeat(24, 2)
    sys.stdout.buffer.write(runtime.segment(images).tobytes())
"""
    answers = [
        np.frombuffer(
            subprocess.run(
                [sys.executable, "-c", program, precision], env=os.environ | limit, check=True, capture_output=True
            ).stdout,
            np.uint8,
        )
        for limit in ({}, {"ONEDNN_MAX_CPU_ISA": "AVX2"})
    ]
    assert (answers[0] == answers[1]).mean() > 0.97


@pytest.mark.parametrize(
    ("name", "package"), [("pytorch", "torch"), ("pytorch-compiled", "torch"), ("onnx", "onnxruntime")]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert RUNTIMES[name].version is None
    with pytest.raises(MissingExtra, match=rf"'{package}'.*pip install 'fassd\[{RUNTIMES[name].extra}\]'"):
        choose_runtime(CHECKPOINT, name)


def test_without_openvino_the_next_best_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    choice = choose_runtime(CHECKPOINT, device="cpu")
    assert (choice.row.name, choice.device, choice.precision) == ("onnx", "cpu", "float32")
    assert "openvino is not" in choice.why
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert choose_runtime(CHECKPOINT, device="cpu").row.name == "pytorch"
    monkeypatch.setitem(sys.modules, "torch", None)
    for suffix in (CHECKPOINT, ".xml"):
        with pytest.raises(FassdError, match=r"the runtime openvino needs the package 'openvino'.* reinstall fassd"):
            choose_runtime(suffix, device="cpu")


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_int8_of_a_missing_package_is_not_offered_that_package(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Installing it would not help."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UsageError, match=r"in int8 .* runs on openvino only, not on pytorch"):
        open_runtime(DEFAULT_WEIGHTS, device, "int8", "pytorch")
