"""OpenVINO's core on the CPU: what the processor computes in, and how a model is compiled for a precision."""

from __future__ import annotations

import os
from functools import cache

from fassd.runtimes.openvino_without_telemetry import openvino

# Instruction sets without bfloat16, by oneDNN's names for its limit. OpenVINO computes with oneDNN but reads the
# processor's abilities itself: under such a limit it would ask for bfloat16 in vain, and give NaN beside int8.
_WITHOUT_BFLOAT16 = ("sse41", "avx", "avx2", "avx2_vnni", "avx512_core", "avx512_core_vnni")
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


@cache
def core() -> openvino.Core:
    """OpenVINO's core, made once."""
    return openvino.Core()


def precision_hint(precision: str) -> dict[str, str]:
    """The setting for the arithmetic of what is not quantized, "float32" or "bfloat16"."""
    return {"INFERENCE_PRECISION_HINT": _HINTS[precision]}


def compile_model(model: openvino.Model, precision: str, **settings: str) -> openvino.CompiledModel:
    """A model compiled for the CPU.

    Args:
        model: as read or built.
        precision: of what is not quantized, "float32" or "bfloat16".
        settings: others, by OpenVINO's names.
    """
    return core().compile_model(model, "CPU", {**precision_hint(precision), **settings})


@cache
def has_bfloat16() -> bool:
    """Whether the processor multiplies in bfloat16 natively, and is allowed to."""
    return _instruction_limit() not in _WITHOUT_BFLOAT16 and "BF16" in core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    )


def best_precision() -> str:
    """The fastest precision that the processor computes natively."""
    return "bfloat16" if has_bfloat16() else "float32"


@cache
def processor() -> str:
    """The processor's name, abilities and limit: a compiled graph fits no other."""
    found = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return f"{core().get_property('CPU', 'FULL_DEVICE_NAME')} {' '.join(sorted(found))} {_instruction_limit()}"


def _instruction_limit() -> str:
    """The largest instruction set that oneDNN may use; empty without a limit."""
    return (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "").lower()
