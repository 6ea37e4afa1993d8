"""Numba as the kernels use it: machine code that leaves Python's lock alone, and is kept for the next process.

The exponential function, as vectors can take it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

WORD = 8
"""Bytes that a loop over label files takes at once: most of them are like those before."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Becomes machine code on the first call, and runs without Python's lock."""
    return cast(_Function, numba.njit(nogil=True, error_model="numpy")(function))


def kept(function: _Function) -> _Function:
    """As `compiled`, for functions that only Python calls, and the machine code is kept on disk.

    It lies in `__pycache__` beside the function's file, or in the user's cache where that cannot be written;
    `NUMBA_CACHE_DIR` overrides both. It is compiled anew for another processor, another version of Numba, when it is
    damaged, and when that one file changes: so whatever the function calls belongs into the same file, the operations
    on words below excepted.
    """
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    with contextlib.suppress(RuntimeError):  # no folder can be written: then every process compiles
        dispatcher.enable_caching()

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        try:
            return dispatcher(*arguments)
        except Exception:
            # Unpickling damaged files raises nearly anything; what was wrong with the arguments is raised once more.
            dispatcher._cache.flush()  # type: ignore[attr-defined]  # no public way to drop one function's files
            return dispatcher(*arguments)

    return cast(_Function, call)


def _load(_typing: Any, array: Any, place: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature, arguments), align=1)

    return types.int64(array, types.intp), code


def _store(_typing: Any, array: Any, place: Any, word: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature, arguments), align=1)
        return context.get_dummy_value()

    return types.none(array, types.intp, types.int64), code


def _pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    byte = builder.gep(builder.bitcast(data, ir.IntType(8).as_pointer()), [arguments[1]])
    return builder.bitcast(byte, ir.IntType(64).as_pointer())


def _count_ones(_typing: Any, word: Any) -> Any:
    return types.int64(types.int64), lambda _context, builder, _signature, arguments: builder.ctpop(arguments[0])


def _count_zeros(_typing: Any, word: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.int64), code


word_at: Callable[[Any, int], int] = cast(Any, intrinsic(_load))
"""In compiled code: the 8 bytes from a place (of a byte) of a contiguous array on, the first the lowest; unchecked."""

set_word: Callable[[Any, int, int], None] = cast(Any, intrinsic(_store))
"""In compiled code: sets such 8 bytes; unchecked."""

ones: Callable[[int], int] = cast(Any, intrinsic(_count_ones))
"""In compiled code: how many bits of a word are set."""

zeros_below: Callable[[int], int] = cast(Any, intrinsic(_count_zeros))
"""In compiled code: how many bits lie below the lowest that is set, of a word that is not 0."""


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
