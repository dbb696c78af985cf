"""Rows sorted into the cells of a grid (a counting sort), so that who is near is found without looking at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .sharing import block_done, take_block, wait_for_blocks

EXACT = {"nsz", "arcp"}
"""Without "contract": fused, dx*dx + dy*dy and dy*dy + dx*dx are rounded differently, and equals would not be equal."""

INFINITY = np.float32(np.inf)
LARGEST, EXPONENT = np.int32(0x7FFF_FFFF), np.int32(0x7F80_0000)
"""Of a float32's bits. All of the exponent are set in what is not finite."""


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


@njit(cache=True, inline="always")
def _rising(bits: np.int32) -> np.int32:
    """The bits of a float as an integer that rises with it, and back. Floats have no vectorised minimum, for there is
    no telling where a NaN is."""
    return bits ^ ((bits >> np.int32(31)) & LARGEST)


@njit(cache=True)
def _extent(x_bits: NDArray[np.int32], y_bits: NDArray[np.int32], count: int) -> tuple[np.float32, ...]:
    """The lowest and the highest x, and of y, of all rows whose position is finite; zeros if there is none."""
    low_x = low_y = LARGEST
    high_x = high_y = -LARGEST
    for i in range(count):
        x, y = x_bits[i], y_bits[i]
        finite = ((x & EXPONENT) != EXPONENT) & ((y & EXPONENT) != EXPONENT)
        x, y = _rising(x), _rising(y)
        low_x, high_x = min(low_x, x if finite else LARGEST), max(high_x, x if finite else -LARGEST)
        low_y, high_y = min(low_y, y if finite else LARGEST), max(high_y, y if finite else -LARGEST)
    if low_x > high_x:
        low_x = low_y = high_x = high_y = np.int32(0)
    return (
        np.int32(_rising(low_x)).view(np.float32), np.int32(_rising(high_x)).view(np.float32),
        np.int32(_rising(low_y)).view(np.float32), np.int32(_rising(high_y)).view(np.float32),
    )  # fmt: skip


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
    low_x, high_x, low_y, high_y = _extent(f[0].view(np.int32), f[1].view(np.int32), count)
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
    return Cells(np.float64(low_x), np.float64(low_y), inverse, int(width * inverse) + 1, int(height * inverse) + 1)


@njit(cache=True)
def room_to_sort(
    row: NDArray[np.int32], x: NDArray[np.float32], y: NDArray[np.float32], count: int, cells: Cells, groups: int,
    parts: int,
) -> tuple[Sorted, NDArray[np.int32]]:  # fmt: skip
    """Room for ``count`` rows to be sorted in so many parts, to the beginning of ``row``, ``x`` and ``y``, which have
    LANES more: the result, and counts of shape (parts, cells + 1)."""
    counts = np.empty((parts, groups * cells.nx * cells.ny + 1), np.int32)
    return Sorted(counts[parts - 1], row, x, y, np.empty(count, np.uint32)), counts


@njit(cache=True, fastmath=EXACT, error_model="numpy", nogil=True)
def sort_rows(
    f: NDArray[np.float32],
    kind: NDArray[np.int16],
    group: NDArray[np.int32],
    count: int,
    cells: Cells,
    into: Sorted,
    counts: NDArray[np.int32],
    counters: NDArray[np.int64],
    phase: int,
) -> None:
    """Sort rows 0..count, of which those of kind k are in group ``group[k]``, ``into`` what :func:`room_to_sort` gave;
    on as many threads as call it with the same arguments. Takes three phases of the counters, from ``phase`` on.

    Those whose position is not finite go to the first cell; no distance to them is within any radius.
    """
    x0, y0, inverse, nx, ny = cells.x0, cells.y0, cells.inverse, cells.nx, cells.ny
    row, xs, ys, place = into.row, into.x, into.y, into.place
    parts = len(counts)
    size = (count + parts - 1) // parts
    # How many of each part are in each cell, one to the right: in the last part what comes of it is ``into.start``.
    part = take_block(counters, phase)
    while part < parts:
        own = counts[part]
        own[:] = 0
        for i in range(part * size, min(part * size + size, count)):
            x, y = f[0, i], f[1, i]
            c = 0
            if abs(x) < INFINITY and abs(y) < INFINITY:
                c = _clamped((np.float64(y) - y0) * inverse, ny) * nx + _clamped((np.float64(x) - x0) * inverse, nx)
            c += group[kind[i]] * nx * ny
            place[i] = c
            own[np.uint32(c + 1)] += 1
        block_done(counters, phase)
        part = take_block(counters, phase)
    wait_for_blocks(counters, phase, parts)
    # Where each part's rows of each cell begin: behind those of the cells before and of the parts before.
    if take_block(counters, phase + 1) == 0:
        begin = np.int32(0)
        for c in range(1, counts.shape[1]):
            for p in range(parts):
                number = counts[p, c]
                counts[p, c] = begin
                begin += number
        block_done(counters, phase + 1)
    wait_for_blocks(counters, phase + 1, 1)
    part = take_block(counters, phase + 2)
    while part < parts:
        own = counts[part]
        for i in range(part * size, min(part * size + size, count)):
            c = place[i] + np.uint32(1)  # where its cell begins; when all are in, where it ends and the next begins
            at = np.uint32(own[c])
            own[c] = at + 1
            row[at], xs[at], ys[at] = i, f[0, i], f[1, i]
            place[i] = at
        block_done(counters, phase + 2)
        part = take_block(counters, phase + 2)
    wait_for_blocks(counters, phase + 2, parts)
