"""Keeping rows dense."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def remap_references(column: NDArray[np.int32], count: int, moved: NDArray[np.int32]) -> None:
    """Rewrite the rows in ``column[:count]``: row ``i`` is now ``moved[i]`` (-1: gone). -1 stays -1."""
    for i in range(count):
        row = column[i]
        if row >= 0:
            column[i] = moved[row]


@njit(cache=True)
def mark(numbers: NDArray[np.int32], marked: NDArray[np.bool_]) -> None:
    """Set ``marked[n]`` for each of ``numbers`` that is there."""
    for n in numbers:
        if 0 <= n < len(marked):
            marked[n] = True
