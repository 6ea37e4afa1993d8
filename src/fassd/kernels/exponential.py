"""The exponential function, as vectors can take it."""

from __future__ import annotations

import numpy as np

from fassd.kernels.compiled import compiled

# exp(x) = 2^whole * exp(rest), with ln 2 in two parts so that `rest` keeps its digits; Taylor's terms for the latter.
_LOG2_E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_EXP_TERMS = tuple(np.float32(1 / factorial) for factorial in (720, 120, 24, 6, 2, 1, 1))
_EXP_LOWEST, _HALF = np.float32(-87), np.float32(0.5)


@compiled
def exp_of_negative(x: np.float32) -> np.float32:
    """e to the power of `x`, which is at most 0, to 3e-7 of it: in steps that vectors can take."""
    x = max(x, _EXP_LOWEST)
    whole = np.floor(x * _LOG2_E + _HALF)
    rest = x - whole * _LN2_HIGH - whole * _LN2_LOW
    value = _EXP_TERMS[0]
    for term in _EXP_TERMS[1:]:
        value = value * rest + term
    return value * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
