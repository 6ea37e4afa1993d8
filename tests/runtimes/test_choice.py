from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fassd.core.catalog import DEFAULT_WEIGHTS
from fassd.core.errors import FassdError, MissingExtra, UnknownName, UsageError
from fassd.runtimes import open as choosing
from fassd.runtimes import openvino_core
from fassd.runtimes.open import choose_runtime, open_runtime
from fassd.runtimes.rows import RUNTIMES, weights_suffix

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


@pytest.mark.parametrize(
    ("suffix", "asked", "complaint"),
    [
        (CHECKPOINT, {"runtime": "onnx", "precision": "bfloat16"}, "omit --precision or --runtime$"),
        (".onnx", {"precision": "bfloat16"}, "the runtime onnx computes in float32 or int8, .*; omit --precision$"),
        (CHECKPOINT, {"runtime": "openvino", "precision": "int8"}, "--to openvino --precision int8 --calibrate"),
        (CHECKPOINT, {"device": "cuda:"}, "device 'cuda:' is not one that fassd uses"),
        (CHECKPOINT, {"device": "xcpu"}, "device 'xcpu' is not one that fassd uses"),
    ],
)
def test_a_refusal_names_the_options_to_omit(suffix: str, asked: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        choose_runtime(suffix, **asked)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize(
    ("suffix", "asked", "why"),
    [
        (CHECKPOINT, {"device": "cpu"}, ("the fastest on a processor; this processor ", "")),
        (CHECKPOINT, {"device": "cpu", "precision": "float32"}, ("the fastest on a processor; float32 as asked",) * 2),
        (CHECKPOINT, {"runtime": "openvino"}, ("as asked; this processor ", "")),
        (".xml", {}, ("the runtime of .xml files; the precision is the file's",) * 2),
        (".onnx", {"precision": "int8"}, ("the runtime of .onnx files; int8 as asked",) * 2),
    ],
)
def test_the_reasons_are_told(
    monkeypatch: pytest.MonkeyPatch, suffix: str, asked: dict[str, str], why: tuple[str, str], native: bool
) -> None:
    monkeypatch.setattr(openvino_core, "has_bfloat16", lambda: native)
    monkeypatch.setattr(choosing, "_has_gpu", lambda: False)
    processor = "multiplies in bfloat16" if native else "does not multiply in bfloat16"
    choice = choose_runtime(suffix, **asked)
    assert choice.why == (why[0] if why[1] else f"{why[0]}{processor}")
    assert not choice.few_images


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1"])
def test_the_reasons_for_a_gpu_are_told(monkeypatch: pytest.MonkeyPatch, device: str, native: bool) -> None:
    monkeypatch.setattr(choosing, "_has_gpu", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native and not including_emulation)
    choice = choose_runtime(CHECKPOINT, device=device)
    why = "there is a GPU and PyTorch can use it" if device == "auto" else f"the runtime for {device}"
    reason = "the GPU multiplies in bfloat16" if native else "the reference's precision"
    assert choice.why == f"{why}; {reason}"
    assert choice.device == ("cuda" if device == "auto" else device)
    assert choice.precision == ("bfloat16" if native else "float32")
    assert choose_runtime(CHECKPOINT, "pytorch").device == "cpu"  # a runtime asked for alone stays on the CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_runtime(CHECKPOINT, device=device).precision == "float32"


@pytest.mark.parametrize(
    ("driver", "program", "torch_finds", "found"),
    [
        (True, None, True, True),
        (True, None, False, False),
        (False, "/usr/bin/nvidia-smi", True, True),
        (False, "/usr/bin/nvidia-smi", False, False),
        (False, None, True, False),
    ],
)
def test_pytorch_is_asked_for_a_gpu_only_where_there_is_a_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: bool, program: str | None, torch_finds: bool, found: bool
) -> None:
    asked = []

    def available() -> bool:
        asked.append(True)
        return torch_finds

    there = tmp_path / "nvidiactl"
    there.touch()
    monkeypatch.setattr(choosing, "Path", lambda path: there if driver else tmp_path / "missing")
    monkeypatch.setattr(shutil, "which", lambda name: program if name == "nvidia-smi" else None)
    monkeypatch.setattr(torch.cuda, "is_available", available)
    assert choosing._has_gpu() == found
    assert len(asked) == (driver or program is not None)
    monkeypatch.setitem(RUNTIMES, "pytorch", replace(RUNTIMES["pytorch"], package="not_installed_here"))
    assert not choosing._has_gpu()


@pytest.mark.parametrize("few", [None, True, False])
def test_kernels_are_spared_only_when_few_images_are_announced(
    monkeypatch: pytest.MonkeyPatch, tiny_weights: Path, few: bool | None
) -> None:
    opened: list[Any] = []
    module = SimpleNamespace(open_file=lambda path, choice, streams: opened.append((choice.few_images, streams)))
    monkeypatch.setattr(choosing, "import_module", lambda name: module)
    announced: dict[str, Any] = {} if few is None else {"few_images": few}
    choosing.open_runtime(tiny_weights, "cpu", **announced)
    assert opened == [(bool(few), 1)]


@pytest.mark.parametrize("package", ["torch", "onnx", "onnxruntime", "openvino", "something_else"])
def test_a_package_missing_at_opening_is_named(
    monkeypatch: pytest.MonkeyPatch, tiny_weights: Path, package: str
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)

    monkeypatch.setattr(choosing, "import_module", missing)
    known = package != "something_else"
    with pytest.raises(MissingExtra if known else ModuleNotFoundError, match=package):
        choosing.open_runtime(tiny_weights, "cpu", "float32", "onnx")


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.xml", ".xml"),
        ("a.ONNX", ".onnx"),
        ("a.pt2", ".pt2"),
        ("a.safetensors", CHECKPOINT),
        ("a.bin", CHECKPOINT),
        ("a", CHECKPOINT),
    ],
)
def test_unknown_suffixes_are_opened_as_checkpoints(name: str, suffix: str) -> None:
    assert weights_suffix(Path(name)) == suffix


def test_the_table_of_runtimes_is_as_documented() -> None:
    """Which files each opens, and whether on a GPU."""
    assert {row.name: (tuple(row.modules), row.gpu, row.extra, row.precisions) for row in RUNTIMES.values()} == {
        "openvino": ((CHECKPOINT, ".xml"), False, None, ("float32", "bfloat16", "int8")),
        "onnx": ((CHECKPOINT, ".onnx"), False, "onnx", ("float32", "int8")),
        "pytorch": ((CHECKPOINT, ".pt2"), True, "torch", ("float32", "bfloat16")),
        "pytorch-compiled": ((CHECKPOINT,), True, "torch", ("float32", "bfloat16")),
    }


@pytest.mark.parametrize("limit", ["sse41", "avx", "avx2", "avx2_vnni", "avx512_core", "avx512_core_vnni", "", "other"])
@pytest.mark.parametrize("found", [["FP32", "BF16"], ["FP32"]])
def test_bfloat16_needs_the_processor_and_no_lower_limit(
    monkeypatch: pytest.MonkeyPatch, limit: str, found: list[str]
) -> None:
    monkeypatch.setattr(openvino_core, "core", lambda: SimpleNamespace(get_property=lambda device, name: found))
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit.upper())
    monkeypatch.delenv("DNNL_MAX_CPU_ISA", raising=False)
    assert openvino_core.has_bfloat16.__wrapped__() == ("BF16" in found and limit in ("", "other"))
