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
