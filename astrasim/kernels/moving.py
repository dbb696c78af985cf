"""Movement, and what stands in its way: bounds, blocked cells, and lines of sight through them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from . import FASTMATH
from .columns import VX, VY, X, Y
from .sharing import block_done, take_block, wait_for_blocks

CHUNK = 256
BLOCK = 8 * CHUNK
"""Rows of which two threads take the next."""


@njit(cache=True, fastmath=FASTMATH, error_model="numpy")
def integrate(
    f: NDArray[np.float32], count: int, dt: float, bounded: bool, width: float, height: float,
    blocked: NDArray[np.uint8], cell: float,
) -> None:  # fmt: skip
    """Move by velocity, stay inside the bounds, and slide along blocked cells (x and y are tried one after the other).

    Who stands in a blocked cell, because it was put there, may walk out. A velocity that is no number moves nobody.
    Only who comes to another cell can run into something, and in one tick few do.
    """
    dt32, far = np.float32(dt), np.float32(np.inf)
    low = np.float32(0) if bounded else -far
    high_x, high_y = (np.float32(width), np.float32(height)) if bounded else (far, far)
    new_x, new_y, crosses = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32), np.empty(CHUNK, np.uint8)
    for begin in range(0, count, CHUNK):
        m = min(CHUNK, count - begin)
        xs, ys = f[X, begin : begin + m], f[Y, begin : begin + m]
        vxs, vys = f[VX, begin : begin + m], f[VY, begin : begin + m]
        for k in range(m):
            x, y = xs[k] + vxs[k] * dt32, ys[k] + vys[k] * dt32
            finite = (abs(x) < far) & (abs(y) < far)
            new_x[k] = min(max(x, low), high_x) if finite else xs[k]
            new_y[k] = min(max(y, low), high_y) if finite else ys[k]
        if blocked.shape[0] > 0:
            for k in range(m):
                same_x = np.floor(xs[k] / cell) == np.floor(new_x[k] / cell)
                crosses[k] = not (same_x & (np.floor(ys[k] / cell) == np.floor(new_y[k] / cell)))
            for k in range(m):
                if crosses[k] and not _is_blocked(blocked, cell, xs[k], ys[k]):
                    if _is_blocked(blocked, cell, new_x[k], ys[k]):
                        new_x[k] = xs[k]
                    if _is_blocked(blocked, cell, new_x[k], new_y[k]):
                        new_y[k] = ys[k]
        for k in range(m):
            xs[k], ys[k] = new_x[k], new_y[k]


@njit(cache=True, fastmath=FASTMATH)  # as where it is called, or the two might divide differently
def _is_blocked(blocked: NDArray[np.uint8], cell: float, x: float, y: float) -> bool:
    cx, cy = int(np.floor(x / cell)), int(np.floor(y / cell))
    return 0 <= cy < blocked.shape[0] and 0 <= cx < blocked.shape[1] and blocked[cy, cx] != 0


@njit(cache=True, error_model="numpy")
def sight(
    f: NDArray[np.float32], seen_f: NDArray[np.float32], reference: NDArray[np.int32], looking: NDArray[np.int64],
    visible: int, blocked: NDArray[np.uint8], cell: float, counters: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write to float column ``visible`` whether no blocked cell lies between the agents ``looking`` and what each sees.

    Walks the cells on the way (Amanatides and Woo, "A fast voxel traversal algorithm for ray tracing", 1987). The two
    end cells do not block: who stands in cover sees out of it.
    """
    observers, seen = np.empty(CHUNK, np.int64), np.empty(CHUNK, np.int64)
    x0, y0, x1, y1 = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    every_x, every_y, next_x, next_y = np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK), np.empty(CHUNK)
    rows, columns = blocked.shape
    blocks = (len(looking) + BLOCK - 1) // BLOCK
    block = take_block(counters, 0)
    while block < blocks:
        for begin in range(block * BLOCK, min(block * BLOCK + BLOCK, len(looking)), CHUNK):
            m = 0
            for k in range(begin, min(begin + CHUNK, len(looking))):
                i = looking[k]
                j = reference[i]
                f[visible, i] = np.float32(j >= 0)
                observers[m], seen[m] = i, j
                m += j >= 0
            if rows == 0:
                continue
            for k in range(m):
                x0[k], y0[k] = f[X, observers[k]], f[Y, observers[k]]
                x1[k], y1[k] = seen_f[X, seen[k]], seen_f[Y, seen[k]]
            for k in range(m):
                x0[k], y0[k], x1[k], y1[k] = x0[k] / cell, y0[k] / cell, x1[k] / cell, y1[k] / cell
                dx, dy = x1[k] - x0[k], y1[k] - y0[k]
                every_x[k] = abs(1 / dx) if dx != 0 else np.inf
                every_y[k] = abs(1 / dy) if dy != 0 else np.inf
                to_x = np.floor(x0[k]) + 1 - x0[k] if dx > 0 else x0[k] - np.floor(x0[k])
                to_y = np.floor(y0[k]) + 1 - y0[k] if dy > 0 else y0[k] - np.floor(y0[k])
                next_x[k] = to_x * every_x[k] if dx != 0 else np.inf
                next_y[k] = to_y * every_y[k] if dy != 0 else np.inf
            for k in range(m):
                if not (abs(x0[k]) < 1e6 and abs(y0[k]) < 1e6 and abs(x1[k]) < 1e6 and abs(y1[k]) < 1e6):
                    f[visible, observers[k]] = 0
                    continue
                cx, cy = int(np.floor(x0[k])), int(np.floor(y0[k]))
                ex, ey = int(np.floor(x1[k])), int(np.floor(y1[k]))
                sx, sy = (1 if x1[k] > x0[k] else -1), (1 if y1[k] > y0[k] else -1)
                at_x, at_y = next_x[k], next_y[k]
                for _ in range(abs(ex - cx) + abs(ey - cy) - 1):
                    along_x = at_x < at_y
                    cx += sx if along_x else 0
                    cy += 0 if along_x else sy
                    at_x += every_x[k] if along_x else 0.0
                    at_y += 0.0 if along_x else every_y[k]
                    if cx == ex and cy == ey:
                        break
                    if 0 <= cy < rows and 0 <= cx < columns and blocked[cy, cx]:
                        f[visible, observers[k]] = 0
                        break
        block_done(counters, 0)
        block = take_block(counters, 0)
    wait_for_blocks(counters, 0, blocks)


@njit(cache=True, nogil=True)
def sight_together(
    f: NDArray[np.float32], seen_f: NDArray[np.float32], reference: NDArray[np.int32], looking: NDArray[np.int64],
    visible: int, blocked: NDArray[np.uint8], cell: float, counters: NDArray[np.int64],
) -> None:  # fmt: skip
    """:func:`sight`, on as many threads as call it with the same arguments."""
    sight(f, seen_f, reference, looking, visible, blocked, cell, counters)
