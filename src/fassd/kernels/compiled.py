"""Numba as the kernels use it: machine code that releases Python's lock and is cached for the next process.

Also what several kernels share: operations on 8-byte words, and an exponential function that compilers vectorize.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from fassd.core.files import user_cache_folder

WORD = 8
"""Bytes that a loop over label files takes at once: most of them are like those before."""

_FOLDERS_KEPT = 8
_LOCK = Lock()

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compiles a function that only compiled functions call."""
    # Without what callers in Python and C would need: an eighth of the time that it takes to compile.
    options: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(_Function, numba.njit(nogil=True, error_model="numpy", **options)(function))


def kept(function: _Function) -> _Function:
    """Compiles a function that Python calls, on its first call, and keeps the machine code on disk.

    It is compiled anew when a file of the kernels or of `core`, the version of fassd or Numba, or the processor is
    another (see `code_folder`), and when the file on disk is damaged.
    """
    dispatcher = numba.njit(nogil=True, error_model="numpy")(function)
    if folder := code_folder():
        with _numba_folder(folder), contextlib.suppress(RuntimeError):  # Numba finds that it cannot write there
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


@functools.cache
def code_folder() -> Path | None:
    """Where machine code of exactly these sources is kept; None where no folder can be written.

    It lies in `$NUMBA_CACHE_DIR` if that is set, else in `__pycache__` beside the kernels, else in the user's cache,
    and may be deleted at any time. Its name is a digest of what machine code is made of: the kernels, `core` (the only
    other files that kernels import), the package's own file with its version, and Numba's version. Inside, Numba tells
    processors apart. Several versions may share the place, so that the last few folders are kept.
    """
    package = Path(__file__).parents[1]
    sources = sorted(file for room in ("", "kernels", "core") for file in (package / room).glob("*.py"))
    parts = [numba.__version__.encode(), *(file.read_bytes() for file in sources)]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    named, user = numba.config.CACHE_DIR, user_cache_folder()  # type: ignore[attr-defined]
    for base in [Path(named)] if named else [package / "kernels/__pycache__", *([user] if user else [])]:
        folder = base / "fassd-kernels" / digest[:16]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)  # when it was last used; fails where we may not write
        except OSError:
            continue
        _drop_oldest(folder.parent)
        return folder
    return None


def _drop_oldest(parent: Path) -> None:
    with contextlib.suppress(OSError):  # another process may drop the same
        for folder in sorted(parent.iterdir(), key=lambda other: other.stat().st_mtime)[:-_FOLDERS_KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _numba_folder(folder: Path) -> Iterator[None]:
    """Numba's setting for the folder, changed for a moment: kernels are imported by several threads."""
    with _LOCK:
        before = numba.config.CACHE_DIR  # type: ignore[attr-defined]
        numba.config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            numba.config.CACHE_DIR = before  # type: ignore[attr-defined]


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
