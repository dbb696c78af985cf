"""Perception: who is near, by a grid of cells with rows sorted into them (a counting sort)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .situating import is_new

EXACT = {"nsz", "arcp"}
"""Without "contract": fused, dx*dx + dy*dy and dy*dy + dx*dx are rounded differently, and equals would not be equal."""

INFINITY = np.float32(np.inf)
NOBODY = np.int64(0x7FFFFFFFFFFFFFFF)


class Grid(NamedTuple):
    """Rows sorted by cell. Cell (cx, cy) holds ``row[start[cy * nx + cx] : start[cy * nx + cx + 1]]``, rising.

    Rows outside the grid are in its nearest border cell.
    """

    start: NDArray[np.int32]
    row: NDArray[np.int32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    bit: NDArray[np.uint64]
    x0: float
    y0: float
    inverse_cell: float
    nx: int
    ny: int


class PerceptTable(NamedTuple):
    """Percepts over one table (agents or things), those of equal relation and radius merged into one channel.

    ``mask[c, k]``: the kinds that an observer of kind k sees in channel c, one bit each. Columns are -1 where a channel
    does not have that output; ``near_ref`` and ``weak_ref`` index references, the others float columns.
    """

    mask: NDArray[np.uint64]
    radius: NDArray[np.float32]
    near_ref: NDArray[np.int32]
    near_distance: NDArray[np.int32]
    total: NDArray[np.int32]
    saturated: NDArray[np.int32]
    cap: NDArray[np.int32]
    weak_ref: NDArray[np.int32]
    weak_distance: NDArray[np.int32]
    weak_by: NDArray[np.int32]


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
def build_grid(f: NDArray[np.float32], kind: NDArray[np.int16], count: int, cell: float) -> Grid:
    """Sort rows 0..count by cell. Columns 0 and 1 of ``f`` are x and y.

    The grid has at most about four cells a row, however far apart the rows are: it leaves out far outliers, and if that
    is not enough, its cells grow. Rows whose position is not finite go to the first cell; no distance to them is within
    any radius.
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
    cells = 4.0 * count + 1024.0
    if (np.floor(width / cell) + 1.0) * (np.floor(height / cell) + 1.0) > cells:
        # Without this one stray row, far away, would put all others into a few huge cells.
        low_x, high_x = _bulk(f[0], count, float(low_x), float(high_x))
        low_y, high_y = _bulk(f[1], count, float(low_y), float(high_y))
        width, height = np.float64(high_x) - low_x, np.float64(high_y) - low_y
    while (np.floor(width / cell) + 1.0) * (np.floor(height / cell) + 1.0) > cells:
        cell *= 1.5
    inverse = 1.0 / cell
    nx, ny = int(width * inverse) + 1, int(height * inverse) + 1
    start = np.zeros(nx * ny + 1, np.int32)
    cell_of = np.empty(count, np.int32)
    for i in range(count):
        x, y = f[0, i], f[1, i]
        c = 0
        if abs(x) < INFINITY and abs(y) < INFINITY:
            c = _clamped((np.float64(y) - low_y) * inverse, ny) * nx + _clamped((np.float64(x) - low_x) * inverse, nx)
        cell_of[i] = c
        start[c + 1] += 1
    for c in range(nx * ny):
        start[c + 1] += start[c]
    fill = start[:-1].copy()
    row = np.empty(count, np.int32)
    xs, ys = np.empty(count, np.float32), np.empty(count, np.float32)
    bit = np.empty(count, np.uint64)
    for i in range(count):
        at = fill[cell_of[i]]
        fill[cell_of[i]] = at + 1
        row[at], xs[at], ys[at] = i, f[0, i], f[1, i]
        bit[at] = np.uint64(1) << np.uint64(kind[i])
    return Grid(start, row, xs, ys, bit, float(low_x), float(low_y), inverse, nx, ny)


@njit(cache=True, fastmath=EXACT)
def perceive(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    uid: NDArray[np.int64],
    b: NDArray[np.uint8],
    order: NDArray[np.int32],
    every: int,
    phase: int,
    grid: Grid,
    seen_f: NDArray[np.float32],
    same: bool,
    percepts: PerceptTable,
) -> None:
    """Write the percepts of every ``every``-th agent, chosen by uid, and of those never looked at.

    Args:
        b: the buckets of their features.
        order: the agents' rows, in an order in which neighbours are near each other in memory.
        seen_f: float columns of the table that ``grid`` sorts.
        same: whether that is the observers' own table (nobody sees itself).
    """
    for o in range(len(order)):
        i = order[o]
        if every > 1 and (uid[i] + phase) % every != 0 and not is_new(b, i):
            continue
        x, y = f[0, i], f[1, i]
        me = i if same else -1
        for c in range(len(percepts.radius)):
            mask = percepts.mask[c, kind[i]]
            if mask == 0:
                continue
            radius = percepts.radius[c]
            limit = radius * radius
            count = 0
            # Distance and row in one integer: its least is the nearest, and the lower row of equals. The bits of a
            # float32 that is not negative are in the order of its value.
            nearest = NOBODY
            weak_by = percepts.weak_by[c]
            weakest, weak_row, weak_d2 = INFINITY, -1, INFINITY
            x_low, x_high, y_low, y_high = 0, -1, 0, -1
            if abs(x) < INFINITY and abs(y) < INFINITY:
                # A little more than the radius: d2 is rounded, and so is the division into cells.
                reach = np.float64(radius) * grid.inverse_cell * (1 + 1e-6) + 1e-6
                at_x, at_y = (
                    (np.float64(x) - grid.x0) * grid.inverse_cell,
                    (np.float64(y) - grid.y0) * grid.inverse_cell,
                )
                x_low, x_high = _clamped(at_x - reach, grid.nx), _clamped(at_x + reach, grid.nx)
                y_low, y_high = _clamped(at_y - reach, grid.ny), _clamped(at_y + reach, grid.ny)
            for cy in range(y_low, y_high + 1):
                # Cells of one line are neighbours in memory: one run of candidates a line. No branch in it:
                # whether a candidate counts is as good as random, and a wrong guess costs more than the arithmetic.
                first, last = grid.start[cy * grid.nx + x_low], grid.start[cy * grid.nx + x_high + 1]
                for k in range(first, last):
                    dx, dy = grid.x[k] - x, grid.y[k] - y
                    d2 = dx * dx + dy * dy
                    j = grid.row[k]
                    counts = (d2 <= limit) & (grid.bit[k] & mask != 0) & (j != me)
                    count += counts
                    packed = (np.int64(np.float32(d2).view(np.int32)) << 32) | j
                    nearest = min(nearest, packed if counts else NOBODY)
                if weak_by < 0:
                    continue
                for k in range(first, last):
                    dx, dy = grid.x[k] - x, grid.y[k] - y
                    d2 = dx * dx + dy * dy
                    j = grid.row[k]
                    if d2 <= limit and grid.bit[k] & mask != 0 and j != me:
                        value = seen_f[weak_by, j]
                        if value < weakest or (value == weakest and (weak_row < 0 or j < weak_row)):
                            weakest, weak_row, weak_d2 = value, j, d2
            if percepts.near_ref[c] >= 0:
                found = count > 0
                r[percepts.near_ref[c], i] = np.int32(nearest & 0xFFFFFFFF) if found else -1
                f[percepts.near_distance[c], i] = (
                    np.sqrt(np.int32(nearest >> 32).view(np.float32)) if found else INFINITY
                )
            if percepts.total[c] >= 0:
                f[percepts.total[c], i] = min(count, percepts.cap[c])
                f[percepts.saturated[c], i] = np.float32(count > percepts.cap[c])
            if weak_by >= 0:
                r[percepts.weak_ref[c], i] = weak_row
                f[percepts.weak_distance[c], i] = np.sqrt(weak_d2)


@njit(cache=True, fastmath=EXACT)
def look(
    f: NDArray[np.float32],
    r: NDArray[np.int32],
    kind: NDArray[np.int16],
    uid: NDArray[np.int64],
    b: NDArray[np.uint8],
    count: int,
    every: int,
    phase: int,
    seen_f: NDArray[np.float32],
    seen_kind: NDArray[np.int16],
    seen_count: int,
    same: bool,
    percepts: PerceptTable,
) -> None:
    """Sort what is seen into a grid and :func:`perceive` it. One call, because a grid that passes through Python costs
    a small game more than the looking."""
    # Half the radius: five lines of cells fit the circle better than three of twice the size.
    grid = build_grid(seen_f, seen_kind, seen_count, np.float64(percepts.radius.max()) / 2)
    order = grid.row if same else np.arange(count).astype(np.int32)
    perceive(f, r, kind, uid, b, order, every, phase, grid, seen_f, same, percepts)
