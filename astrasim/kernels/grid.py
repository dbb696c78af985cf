"""Rows sorted into the cells of a grid (a counting sort), so that who is near is found without looking at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .lanes import LANES

EXACT = {"nsz", "arcp"}
"""Without "contract": fused, dx*dx + dy*dy and dy*dy + dx*dx are rounded differently, and equals would not be equal."""

INFINITY = np.float32(np.inf)


class Cells(NamedTuple):
    """Where the cells are. Whatever is outside belongs to the nearest cell at the border."""

    x0: float
    y0: float
    inverse: float
    nx: int
    ny: int


class Sorted(NamedTuple):
    """Rows by group, then by cell. Those of group g in cell (cx, cy) are ``row[start[q] : start[q + 1]]``, rising, with
    q = (g * ny + cy) * nx + cx; x and y are theirs, ``row[place[i]]`` is i. Behind the last is room for LANES more.
    """

    start: NDArray[np.int32]
    row: NDArray[np.int32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    place: NDArray[np.uint32]


@njit(cache=True, inline="always")
def _clamped(position: float, cells: int) -> int:
    return int(min(max(np.floor(position), 0.0), cells - 1.0))


@njit(cache=True)
def _bulk(values: NDArray[np.float32], count: int, low: float, high: float) -> tuple[np.float32, np.float32]:
    """Where nearly all of ``values[:count]`` lie, by a sample of them; within ``low`` and ``high``."""
    step = max(count // 1024, 1)
    sample = np.sort(values[0:count:step])
    sample = sample[np.isfinite(sample)]
    if len(sample) == 0:
        return np.float32(low), np.float32(high)
    cut = len(sample) // 64
    first, last = np.float64(sample[cut]), np.float64(sample[len(sample) - 1 - cut])
    margin = (last - first) / 16
    return np.float32(max(low, first - margin)), np.float32(min(high, last + margin))


@njit(cache=True, fastmath=EXACT)
def lay_cells(f: NDArray[np.float32], count: int, groups: int, cell: float) -> Cells:
    """Cells at least as long as ``cell``, for rows 0..count. Columns 0 and 1 of ``f`` are x and y.

    There are at most about four cells a row, however far apart the rows are (fewer where there are many groups, each of
    which has its own): the grid leaves out far outliers, and if that is not enough, its cells grow.
    """
    low_x = low_y = INFINITY
    high_x = high_y = -INFINITY
    for i in range(count):
        x, y = f[0, i], f[1, i]
        if abs(x) < INFINITY and abs(y) < INFINITY:
            low_x, high_x = min(low_x, x), max(high_x, x)
            low_y, high_y = min(low_y, y), max(high_y, y)
    if low_x > high_x:
        low_x = low_y = high_x = high_y = np.float32(0)
    width, height = np.float64(high_x) - low_x, np.float64(high_y) - low_y
    cells = (4.0 * count + 1024.0) * min(1.0, 4.0 / groups)
    if (np.floor(width / cell) + 1.0) * (np.floor(height / cell) + 1.0) > cells:
        # Without this one stray row, far away, would put all others into a few huge cells.
        low_x, high_x = _bulk(f[0], count, float(low_x), float(high_x))
        low_y, high_y = _bulk(f[1], count, float(low_y), float(high_y))
        width, height = np.float64(high_x) - low_x, np.float64(high_y) - low_y
    while (np.floor(width / cell) + 1.0) * (np.floor(height / cell) + 1.0) > cells:
        cell *= 1.5
    inverse = 1.0 / cell
    return Cells(float(low_x), float(low_y), inverse, int(width * inverse) + 1, int(height * inverse) + 1)


@njit(cache=True, fastmath=EXACT, error_model="numpy")
def sort_rows(
    f: NDArray[np.float32], kind: NDArray[np.int16], group: NDArray[np.int32], groups: int, count: int, cells: Cells
) -> Sorted:
    """Sort rows 0..count, of which those of kind k are in group ``group[k]``.

    Those whose position is not finite go to the first cell; no distance to them is within any radius.
    """
    x0, y0, inverse, nx, ny = cells.x0, cells.y0, cells.inverse, cells.nx, cells.ny
    start = np.zeros(groups * nx * ny + 2, np.int32)
    place = np.empty(count, np.uint32)
    for i in range(count):
        x, y = f[0, i], f[1, i]
        c = 0
        if abs(x) < INFINITY and abs(y) < INFINITY:
            c = _clamped((np.float64(y) - y0) * inverse, ny) * nx + _clamped((np.float64(x) - x0) * inverse, nx)
        c += group[kind[i]] * nx * ny
        place[i] = c
        start[np.uint32(c + 2)] += 1
    for c in range(2, len(start)):
        start[c] += start[c - 1]
    row = np.empty(count + LANES, np.int32)
    xs, ys = np.empty(count + LANES, np.float32), np.empty(count + LANES, np.float32)
    for i in range(count):
        c = place[i] + np.uint32(1)  # what is now the start of the next cell is its own when all are in
        at = np.uint32(start[c])
        start[c] = at + 1
        row[at], xs[at], ys[at] = i, f[0, i], f[1, i]
        place[i] = at
    return Sorted(start, row, xs, ys, place)
