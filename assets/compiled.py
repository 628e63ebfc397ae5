"""Compiling the hot loops: one decorator, and machine code that is kept until its sources change.

numba keeps machine code beside the file of a kernel and renews it when that file changes. A kernel
also has in it what it calls and the constants it names, of other files too: so the mark by which
the kept code is known covers those files. Does not belong here: any loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., Any])
FROZEN = (bool, int, float, str, np.generic)
"""Constants of these types, and tuples of them, become part of the machine code."""


def kernel(function: F) -> F:
    """Compile on first use, without the interpreter's lock; the machine code is kept beside the source."""
    return cast(F, kept(njit(cache=True, nogil=True, error_model="numpy")(function)))


def part(function: F) -> F:
    """Compile as a part of the kernels that call it: a call of its own would cost more than what it does."""
    return cast(F, kept(njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function)))


def kept(compiled: Any) -> Any:
    """The same compiled function, whose kept machine code is renewed when any source that is in it changes.

    ``compiled``: what ``njit(cache=True)`` gives.
    """
    compiled._cache = _Cache(compiled.py_func)
    return compiled


class _Cache(FunctionCache):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file._source_stamp = stamp_of(function)


def stamp_of(function: Callable[..., Any]) -> str:
    """A hash over the function's file, the files of all compiled functions in its reach, and their constants.

    In reach is every compiled function that a file names, called or not: files, not calls, are what
    a change is known by.
    """
    spaces: dict[str, dict[str, Any]] = {}
    waiting = [function.__globals__]
    while waiting:
        space = waiting.pop()
        if space["__file__"] not in spaces:
            spaces[space["__file__"]] = space
            waiting += [value.py_func.__globals__ for value in space.values() if isinstance(value, Dispatcher)]
    told = sorted((_hash_of(file), *_constants(space)) for file, space in spaces.items())
    return hashlib.sha256(repr(told).encode()).hexdigest()


@cache
def _hash_of(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _constants(space: dict[str, Any]) -> list[str]:
    return sorted(
        f"{name}={value!r}"
        for name, value in space.items()
        if not name.startswith("__")
        and all(isinstance(part, FROZEN) for part in (value if isinstance(value, tuple) else (value,)))
    )
