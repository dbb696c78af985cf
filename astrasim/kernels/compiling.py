"""How the kernels of planning and acting are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numba import njit

from . import FASTMATH

F = TypeVar("F", bound=Callable[..., Any])

Int: TypeAlias = int | np.int64
"""What a kernel that other kernels call takes as a whole number. They make ``np.int64`` of what is narrower, or of a
constant, before they call it: numba would compile it once for each type, and once for each constant."""


def kernel(function: F) -> F:
    """Compile ``function``, keep it on disk, and do not count references in it.

    Each access to an array of a named tuple would otherwise count up and down, atomically: serving an agent touches
    fifty of them, which took 1,500 ns where the work takes 200. Numba calls the option internal; it asks that the
    function makes no arrays, and none of these does.
    """
    compiled: F = njit(cache=True, _nrt=False)(function)  # type: ignore[call-overload]
    return compiled


def float_kernel(function: F) -> F:
    """The same for one that reckons with floats, which may be reckoned faster."""
    compiled: F = njit(cache=True, _nrt=False, fastmath=FASTMATH)(function)  # type: ignore[call-overload]
    return compiled


def together_kernel(function: F) -> F:
    """The same for one that lets go of Python's lock, so that two threads can be in it."""
    compiled: F = njit(cache=True, _nrt=False, nogil=True)(function)  # type: ignore[call-overload]
    return compiled
