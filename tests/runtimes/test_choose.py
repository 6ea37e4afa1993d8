from __future__ import annotations

import sys

import pytest

from fassd.core.errors import MissingExtra, UnknownName, UsageError
from fassd.runtimes import choose as choosing
from fassd.runtimes import openvino
from fassd.runtimes.choose import choose
from fassd.runtimes.rows import RUNTIMES

CHECKPOINT = ".safetensors"


@pytest.mark.parametrize(("native", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_a_checkpoint_is_answered_in_what_the_processor_computes_natively(
    monkeypatch: pytest.MonkeyPatch, native: bool, precision: str
) -> None:
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: native)
    choice = choose(CHECKPOINT, device="cpu")
    assert (choice.row.name, choice.device, choice.precision) == ("openvino", "cpu", precision)
    assert "bfloat16" in choice.why


def test_a_gpu_is_taken_where_pytorch_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_has_gpu", lambda: True)
    assert (choose(CHECKPOINT).row.name, choose(CHECKPOINT).device) == ("pytorch", "cuda")
    assert choose(CHECKPOINT, device="cpu").row.name == "openvino"
    assert choose(CHECKPOINT, runtime="openvino").device == "cpu"
    assert choose(".xml").row.name == "openvino"


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
    choice = choose(suffix, **asked)
    assert (choice.row.name, choice.device, choice.precision) == expected


@pytest.mark.parametrize(
    ("suffix", "asked", "complaint"),
    [
        (CHECKPOINT, {"device": "gpu"}, "device 'gpu' is not one that fassd uses"),
        (CHECKPOINT, {"device": "cuda", "runtime": "openvino"}, "answers on the cpu alone"),
        (CHECKPOINT, {"precision": "int8"}, "fassd export"),
        (CHECKPOINT, {"runtime": "pytorch", "precision": "int8"}, "computes in float32 or bfloat16, not in int8"),
        (CHECKPOINT, {"runtime": "onnx", "precision": "bfloat16"}, "computes in float32 or int8"),
        (".onnx", {"runtime": "openvino"}, r"opens \.safetensors and \.xml files, not \.onnx"),
        (".xml", {"device": "cuda"}, "answers on the cpu alone"),
    ],
)
def test_what_does_not_go_together_is_refused(suffix: str, asked: dict[str, str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        choose(suffix, **asked)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean openvino"):
        choose(CHECKPOINT, "openvin")
    with pytest.raises(UnknownName, match="did you mean float32"):
        choose(CHECKPOINT, precision="float")


def test_bfloat16_is_refused_where_the_processor_lacks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "has_bfloat16", lambda: False)
    with pytest.raises(UsageError, match="does not multiply in bfloat16; use --precision float32"):
        choose(CHECKPOINT, device="cpu", precision="bfloat16")


@pytest.mark.parametrize(
    ("name", "package"), [("pytorch", "torch"), ("pytorch-compiled", "torch"), ("onnx", "onnxruntime")]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert RUNTIMES[name].version is None
    with pytest.raises(MissingExtra, match=rf"'{package}'.*pip install 'fassd\[{RUNTIMES[name].extra}\]'"):
        choose(CHECKPOINT, name)
