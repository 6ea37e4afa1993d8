"""Numba as the kernels use it: machine code that leaves Python's lock alone, and is kept for the next process."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Becomes machine code on the first call, and runs without Python's lock."""
    return cast(_Function, numba.njit(nogil=True, error_model="numpy")(function))


def kept(function: _Function) -> _Function:
    """As `compiled`, for functions that only Python calls, and the machine code is kept on disk.

    It lies in `__pycache__` beside the function's file, or in the user's cache where that cannot be written;
    `NUMBA_CACHE_DIR` overrides both. It is compiled anew for another processor, another version of Numba, when it is
    damaged, and when that one file changes: so whatever the function calls belongs into the same file.
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
