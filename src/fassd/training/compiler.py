"""Whether PyTorch can turn a network into code of its own here."""

from __future__ import annotations

import torch

from fassd.core.errors import UsageError


def check_compiler(device: torch.device) -> None:
    """Compiles something tiny, which takes seconds: what it needs (a C++ compiler, Triton) nobody can list for sure.

    Raises:
        UsageError: it cannot.
    """
    try:
        torch.compile(_tiny, dynamic=False)(torch.ones(8, device=device))
    except Exception as error:  # whatever the compiler's many layers raise
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        needed = "Triton" if device.type == "cuda" else "a C++ compiler (g++, or what CXX names) and Python's headers"
        raise UsageError(
            f"PyTorch cannot compile for {device.type} here ({reason}): it needs {needed}; install that, or set "
            "compile to false"
        ) from None


def _tiny(values: torch.Tensor) -> torch.Tensor:
    return (2 * values).sin()
